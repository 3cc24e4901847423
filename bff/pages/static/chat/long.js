/** Texts too long to lay out at once: their beginning, and more of it on demand. */

import { h } from "../dom.js";
import { strings } from "../strings.js";

/** Characters that are shown at once. */
export const LONGEST = 100_000;

const words = strings.chat;

/**
 * @param {string} text
 * @param {(text: string) => Node | string} show  makes of a text what is shown of it
 * @returns {(Node | string)[]}
 */
export function shortened(text, show) {
  if (text.length <= LONGEST) return [show(text)];
  let at = endOf(text, 0);
  const beginning = show(text.slice(0, at));
  const more = h("button", { type: "button", class: "button small", onclick: next }, words.showMore);
  const note = h("div", { class: "cut" }, h("span", {}, words.longText(words.size(text.length))), more);
  function next() {
    const end = endOf(text, at);
    const piece = h("div", { class: "rest", tabindex: "-1" }, text.slice(at, end));
    note.before(piece);
    piece.focus({ preventScroll: true });
    at = end;
    if (at === text.length) note.remove();
  }
  return [beginning, note];
}

/** Where a piece that begins at `start` ends: never within a character. */
function endOf(text, start) {
  const end = Math.min(start + LONGEST, text.length);
  const isHalf = /[\ud800-\udbff]/.test(text[end - 1]) && end < text.length;
  return isHalf ? end - 1 : end;
}
