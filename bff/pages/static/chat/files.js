/** Files that go with the next message: chosen, dropped or pasted, shown, and removed again. */

import { byId, h } from "../dom.js";
import { strings } from "../strings.js";
import { ACCEPTED, attachmentsOf, kindOf, partOf } from "./parts.js";

const words = strings.chat;
const MOST_FILES = 10;
const MOST_BYTES = 20_000_000;

/** @typedef {{name: string, size: number, part: object | null}} Item  `part` is null while it is read */

/** Whether words were copied, of which some programs add a picture. Of a file they add its name. */
function isText(data) {
  const text = data.getData("text/plain").trim();
  return text !== "" && [...data.files].every(({ name }) => !text.includes(name));
}

export class Files {
  #list = byId("files");
  #note = byId("file-note");
  /** @type {Item[]} */
  #items = [];
  #changed;

  /** @param {() => void} changed  called when something was added, read or removed */
  constructor(changed) {
    this.#changed = changed;
    const input = byId("file-input");
    input.accept = ACCEPTED;
    byId("attach").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      void this.add([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
    byId("composer").addEventListener("paste", (event) => isText(event.clipboardData) || this.#take(event, event.clipboardData));
    // Beside the place for it a file would be opened instead of this page.
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
    const place = byId("main");
    place.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      place.classList.add("dropping");
    });
    place.addEventListener("dragleave", (event) => {
      if (!place.contains(event.relatedTarget)) place.classList.remove("dropping");
    });
    place.addEventListener("drop", (event) => {
      place.classList.remove("dropping");
      this.#take(event, event.dataTransfer);
    });
  }

  get count() {
    return this.#items.length;
  }

  /** Whether all files are read. */
  get ready() {
    return this.#items.every(({ part }) => part !== null);
  }

  /** Adds what may be added, and says why something was not. */
  async add(files) {
    this.#note.textContent = "";
    const items = files.map((file) => this.#accept(file)).filter((item) => item !== null);
    this.#draw();
    await Promise.all(items.map(({ item, file }) => this.#read(item, file)));
  }

  /** The parts to send; the list is empty afterwards. */
  take() {
    const parts = this.#items.map(({ part }) => part);
    this.#items = [];
    this.#note.textContent = "";
    this.#draw();
    return parts;
  }

  /** Puts back what did not arrive, before what was added since. */
  putBack(parts) {
    const items = parts.map((part) => ({ name: attachmentsOf({ content: [part] })[0].name, size: part.data.length * 0.75, part }));
    this.#items = [...items, ...this.#items];
    this.#draw();
  }

  #take(event, { files }) {
    if (files.length === 0) return;
    event.preventDefault();
    void this.add([...files]);
  }

  #accept(file) {
    const refusal = this.#refusal(file);
    if (refusal !== null) {
      this.#note.textContent = refusal;
      return null;
    }
    const item = { name: file.name, size: file.size, part: null };
    this.#items.push(item);
    return { item, file };
  }

  #refusal(file) {
    const bytes = this.#items.reduce((sum, { size }) => sum + size, 0);
    if (kindOf(file) === null) return words.fileKind(file.name);
    if (this.#items.length >= MOST_FILES) return words.filesTooMany(MOST_FILES);
    return bytes + file.size > MOST_BYTES ? words.filesTooLarge(file.name, words.size(MOST_BYTES)) : null;
  }

  async #read(item, file) {
    try {
      item.part = await partOf(file);
    } catch {
      this.#note.textContent = words.fileUnreadable(file.name);
      this.#items = this.#items.filter((other) => other !== item);
    }
    this.#draw();
  }

  #draw() {
    this.#list.hidden = this.#items.length === 0;
    this.#list.replaceChildren(...this.#items.map((item) => this.#row(item)));
    this.#changed();
  }

  #row(item) {
    const { name, size, part } = item;
    const picture = part && attachmentsOf({ content: [part] })[0].picture;
    const remove = h(
      "button",
      { type: "button", class: "icon-button tiny", title: words.removeFile(name), onclick: () => this.#remove(item) },
      h("span", { class: "icon icon-cross", "aria-hidden": "true" }),
      h("span", { class: "visually-hidden" }, words.removeFile(name)),
    );
    const sign = picture ? h("img", { src: picture, alt: "" }) : h("span", { class: "icon icon-file", "aria-hidden": "true" });
    return h("li", { class: "file", "aria-busy": part === null ? "true" : null }, sign, h("span", { class: "file-name" }, name), h("span", { class: "quiet" }, words.size(size)), remove);
  }

  #remove(item) {
    const place = this.#items.indexOf(item);
    this.#items.splice(place, 1);
    this.#draw();
    const next = this.#list.querySelectorAll("button")[Math.min(place, this.#items.length - 1)];
    (next ?? byId("composer")).focus();
  }
}
