/** The message box with its files, and the draft that survives a sign-in. */

import { byId } from "../dom.js";
import { draftOf, keepDraft } from "../drafts.js";
import { strings } from "../strings.js";
import { Files } from "./files.js";
import { sends } from "./keys.js";

const DRAFT = "message";
const TALLEST_PX = 220;
const TALLEST_PART = 0.35; // of the window's height

export class Composer {
  #box = byId("composer");
  #send = byId("send");
  #stop = byId("stop");
  #attach = byId("attach");
  #files = new Files(() => this.#fit());
  #owner = "";
  #running = false;
  #locked = false;

  /** @param {{send: (text: string, parts: object[]) => void, stop: () => void}} on */
  constructor(on) {
    byId("composer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#running || this.#isIncomplete()) return;
      const text = this.#box.value.trim();
      this.#fill("");
      on.send(text, this.#files.take());
    });
    this.#box.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#box.form.requestSubmit();
    });
    this.#box.addEventListener("input", () => {
      this.#keep();
      this.#fit();
    });
    this.#stop.addEventListener("click", () => on.stop());
    this.#fit();
  }

  /** Whose draft is kept; brings back what this person had typed before. */
  setOwner(email) {
    this.#owner = email;
    if (this.#box.value === "") this.#fill(draftOf(DRAFT, email));
    else this.#keep();
  }

  /** The text arrived: its draft is no longer needed. */
  accepted() {
    this.#keep();
  }

  /** Puts back what did not arrive, above what was typed since. */
  restore(text, parts) {
    const since = this.#box.value;
    this.#fill(since === "" || text === "" ? text + since : `${text}\n${since}`);
    this.#files.putBack(parts);
    this.#keep();
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

  /** While a question is open the box waits; who is typing there may go on, but not send it. */
  setLocked(locked) {
    const typing = document.activeElement === this.#box && this.#box.value !== "";
    this.#locked = locked;
    this.#box.disabled = locked && !typing;
    this.#attach.disabled = locked;
    this.#box.placeholder = locked ? strings.chat.answerFirst : strings.chat.placeholder;
    this.#fit();
  }

  /** Takes the keyboard back where only the messages have it. */
  resume() {
    if (document.activeElement === byId("scroller")) this.focus();
  }

  focus() {
    this.#box.focus();
  }

  #isIncomplete() {
    const empty = this.#box.value.trim() === "" && this.#files.count === 0;
    return this.#locked || empty || !this.#files.ready;
  }

  #fill(text) {
    this.#box.value = text;
    this.#fit();
  }

  #fit() {
    this.#box.style.height = "auto";
    this.#box.style.height = `${Math.min(this.#box.scrollHeight, TALLEST_PX, innerHeight * TALLEST_PART)}px`;
    this.#send.disabled = this.#isIncomplete();
  }

  #keep() {
    if (this.#owner !== "") keepDraft(DRAFT, this.#box.value, this.#owner);
  }
}
