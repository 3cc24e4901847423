/** The list of conversations. */

import { ProblemError } from "../api.js";
import { ask } from "../ask.js";
import { byId, h } from "../dom.js";
import { strings } from "../strings.js";
import { deleteThread, LIST_LIMIT, nameThread, searchThreads } from "./graph.js";
import { titleOf } from "./messages.js";

const words = strings.chat;

export class ThreadList {
  #list = byId("threads");
  #note = byId("threads-note");
  #more = byId("more");
  #threads = [];
  #current = null;
  /** Whether the server has told of any, or that there are none. */
  #loaded = false;
  #on;

  /** @param {{select: (id: string) => void, renamed: () => void, deleted: (id: string) => void}} on */
  constructor(on) {
    this.#on = on;
    this.#more.addEventListener("click", () => void this.load(this.#threads.length));
  }

  /** Loads a page of the list; what is in it already stays where it is. */
  async load(offset = 0) {
    try {
      const loaded = await searchThreads(offset);
      const known = new Set(loaded.map((thread) => thread.thread_id));
      const others = this.#threads.filter((thread) => !known.has(thread.thread_id));
      this.#threads = [...others, ...loaded];
      this.#loaded = true;
      const at = document.activeElement;
      const leaving = at === this.#more || this.#note.contains(at);
      this.#more.hidden = loaded.length < LIST_LIMIT;
      this.#draw();
      if (leaving) this.#focusOn(loaded[0]?.thread_id);
    } catch (problem) {
      if (!(problem instanceof ProblemError)) throw problem;
      const again = h("button", { type: "button", class: "link", onclick: () => void this.load(offset) }, words.retry);
      this.#note.replaceChildren(words.threadsFailed, " ", again);
    }
  }

  /** What was clicked to load is gone, or below: on with the first that came. */
  #focusOn(id) {
    const row = id && this.#list.querySelector(`[data-thread="${CSS.escape(id)}"] a`);
    (row ?? byId("new-thread")).focus();
  }

  /** Puts a thread on top, with a title if it is known. */
  put(id, title) {
    const old = this.#threads.find((thread) => thread.thread_id === id);
    const thread = { ...old, thread_id: id, metadata: { ...old?.metadata, ...(title && { title }) } };
    this.#threads = [thread, ...this.#threads.filter((other) => other !== old)];
    this.#draw();
  }

  /** Marks the open conversation. */
  setCurrent(id) {
    this.#current = id;
    this.#draw();
  }

  /** The title of a thread, or null if it has none of its own. */
  titleOf(id) {
    const thread = this.#threads.find((one) => one.thread_id === id);
    return thread ? titleOf(thread) : null;
  }

  #draw() {
    const focused = document.activeElement?.closest("[data-thread]")?.dataset.thread;
    this.#list.replaceChildren(...this.#threads.map((thread) => this.#row(thread)));
    if (this.#loaded) this.#note.textContent = this.#threads.length === 0 ? words.noThreads : "";
    if (focused) this.#list.querySelector(`[data-thread="${CSS.escape(focused)}"] a`)?.focus();
  }

  #row(thread) {
    const { thread_id: id } = thread;
    const title = titleOf(thread);
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#on.select(id);
    };
    const href = `/?thread=${encodeURIComponent(id)}`;
    return h(
      "li",
      { "data-thread": id },
      h("a", { href, onclick: open, "aria-current": id === this.#current ? "page" : null, title }, title),
      iconButton("pencil", words.renameThread(title), () => void this.#rename(id, title)),
      iconButton("trash", words.deleteThread(title), () => void this.#delete(id, title)),
    );
  }

  async #rename(id, title) {
    const box = h("input", { id: "thread-title", name: "title", type: "text", maxlength: "200", required: true, autocomplete: "off", value: title });
    const fields = [h("div", { class: "field" }, h("label", { for: "thread-title" }, words.renameLabel), box)];
    const asked = ask({ title: words.renameTitle, text: words.renameText, action: words.renameIt, fields }, async () => {
      const given = box.value.trim();
      await nameThread(id, given);
      this.#threads = this.#threads.map((thread) => (thread.thread_id === id ? { ...thread, metadata: { ...thread.metadata, title: given } } : thread));
    });
    box.focus();
    box.select();
    if (!(await asked)) return;
    this.#draw();
    this.#list.querySelector(`[data-thread="${CSS.escape(id)}"] button`)?.focus();
    this.#on.renamed();
  }

  async #delete(id, title) {
    const question = { title: words.deleteTitle, text: words.deleteText(title), action: words.deleteIt, danger: true };
    const done = await ask(question, async () => {
      try {
        await deleteThread(id);
      } catch (problem) {
        if (problem.status !== 404) throw problem; // it is gone already
      }
    });
    if (!done) return;
    this.#threads = this.#threads.filter((thread) => thread.thread_id !== id);
    this.#draw();
    byId("new-thread").focus();
    this.#on.deleted(id);
  }
}

const iconButton = (icon, label, onclick) =>
  h(
    "button",
    { type: "button", class: "icon-button tiny", title: label, onclick },
    h("span", { class: `icon icon-${icon}`, "aria-hidden": "true" }),
    h("span", { class: "visually-hidden" }, label),
  );
