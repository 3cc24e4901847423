/** Text that grows: whole blocks are rendered once, the last one is a single text node. */

import { h } from "../dom.js";
import { BlockCutter, markdown } from "../markdown.js";

export class GrowingText {
  #cutter = new BlockCutter();
  #tail = document.createTextNode("");
  #holder = h("div", { class: "tail" }, this.#tail);
  #body;

  /** @param {HTMLElement} body  the element to fill */
  constructor(body) {
    this.#body = body;
    body.replaceChildren(this.#holder);
  }

  /** @param {string} text */
  append(text) {
    this.#tail.appendData(text);
    if (!text.includes("\n")) return;
    const end = this.#cutter.cut(this.#tail.data);
    if (end === 0) return;
    this.#holder.before(markdown(this.#tail.data.slice(0, end)));
    this.#tail.deleteData(0, end);
  }
}
