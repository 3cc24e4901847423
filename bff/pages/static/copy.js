/** Text for the clipboard. */

import { strings } from "./strings.js";

const TOLD_MS = 2000;

/**
 * Copies `text` and says so in `label`; where the browser forbids that, selects `shown` instead.
 * @param {string} text
 * @param {Node} shown
 * @param {Node} label  what says "Copy"
 */
export async function copy(text, shown, label) {
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = strings.chat.copied;
  } catch {
    getSelection().selectAllChildren(shown);
    label.textContent = strings.chat.selected;
  }
  setTimeout(() => (label.textContent = strings.chat.copy), TOLD_MS);
}
