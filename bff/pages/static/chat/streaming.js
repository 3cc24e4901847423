/** Text that grows: whole blocks are rendered once, the last one is a single text node. */

import { h } from "../dom.js";
import { BlockCutter, markdown } from "../markdown.js";
import { LONGEST } from "./long.js";

export class GrowingText {
  #cutter = new BlockCutter();
  #tail = document.createTextNode("");
  #holder = h("div", { class: "tail" }, this.#tail);
  #room = LONGEST;

  /** @param {HTMLElement} body  the element to fill */
  constructor(body) {
    body.replaceChildren(this.#holder);
  }

  /** Adds a piece; of a text that is very long, no more is shown while it grows. */
  append(text) {
    if (this.#room === 0) return;
    const piece = text.slice(0, this.#room);
    this.#room -= piece.length;
    this.#tail.appendData(piece);
    if (!piece.includes("\n")) return;
    const end = this.#cutter.cut(this.#tail.data);
    if (end === 0) return;
    this.#holder.before(markdown(this.#tail.data.slice(0, end)));
    this.#tail.deleteData(0, end);
  }
}
