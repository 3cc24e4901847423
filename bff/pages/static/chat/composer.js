/** The message box, and the draft that survives a sign-in. */

import { byId } from "../dom.js";
import { strings } from "../strings.js";

const DRAFT = "nx-draft";
const TALLEST_PX = 220;

export class Composer {
  #box = byId("composer");
  #send = byId("send");
  #stop = byId("stop");
  #owner = "";
  #running = false;
  #locked = false;

  /** @param {{send: (text: string) => void, stop: () => void}} on */
  constructor(on) {
    byId("composer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#box.value.trim();
      if (text === "" || this.#running || this.#locked) return;
      this.#fill("");
      on.send(text);
    });
    this.#box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#box.form.requestSubmit();
    });
    this.#box.addEventListener("input", () => {
      this.#keep(this.#box.value);
      this.#fit();
    });
    this.#stop.addEventListener("click", () => on.stop());
    this.#fit();
  }

  /** Whose draft is kept; brings back what this person had typed before. */
  setOwner(email) {
    this.#owner = email;
    const draft = readDraft();
    if (draft?.owner === email && this.#box.value === "") this.#fill(draft.text);
  }

  /** The text arrived: its draft is no longer needed. */
  accepted() {
    this.#keep(this.#box.value);
  }

  /** Puts back a text that did not arrive, above what was typed since. */
  restore(text) {
    const since = this.#box.value;
    this.#fill(since === "" ? text : `${text}\n${since}`);
    this.#keep(this.#box.value);
    this.focus();
  }

  setRunning(running) {
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#running = running;
    this.#stop.hidden = !running;
    this.#send.hidden = running;
    if (hadFocus) this.focus();
    this.#fit();
  }

  /** While a question is open the box waits. */
  setLocked(locked) {
    this.#locked = locked;
    this.#box.disabled = locked;
    this.#box.placeholder = locked ? strings.chat.answerFirst : strings.chat.placeholder;
    this.#fit();
  }

  focus() {
    this.#box.focus();
  }

  #fill(text) {
    this.#box.value = text;
    this.#fit();
  }

  #fit() {
    this.#box.style.height = "auto";
    this.#box.style.height = `${Math.min(this.#box.scrollHeight, TALLEST_PX)}px`;
    this.#send.disabled = this.#locked || this.#box.value.trim() === "";
  }

  #keep(text) {
    if (text === "") sessionStorage.removeItem(DRAFT);
    else sessionStorage.setItem(DRAFT, JSON.stringify({ owner: this.#owner, text }));
  }
}

function readDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT));
  } catch {
    return null;
  }
}
