/** What one message looks like. */

import { copy } from "../copy.js";
import { h } from "../dom.js";
import { markdown } from "../markdown.js";
import { strings } from "../strings.js";
import { shortened } from "./long.js";
import { toolCalls } from "./messages.js";
import { attachmentsOf } from "./parts.js";

const words = strings.chat;
const NAMES = { human: words.you, ai: words.assistant, tool: words.tool };

/**
 * An empty turn: its element, and the part that holds what is said.
 * @param {string} role
 * @param {() => string} textOfTurn  what is copied
 */
export function emptyTurn(role, textOfTurn) {
  const body = h("div", { class: "body" });
  const node = h("article", { class: `turn ${role}`, "data-role": role }, h("h2", { class: "visually-hidden" }, NAMES[role]), body);
  if (role !== "tool") {
    const label = h("span", { "aria-live": "polite" }, words.copy);
    node.append(h("div", { class: "tools" }, toolButton("copy", label, () => void copy(textOfTurn(), body, label), words.copyMessage)));
  }
  return { node, body };
}

/** A small button below a message. */
export const toolButton = (icon, label, onclick, title = null) =>
  h("button", { type: "button", class: "tool-button", title, onclick }, h("span", { class: `icon icon-${icon}`, "aria-hidden": "true" }), label);

/** The nodes that show a whole message. */
export function contentOf(role, message, text) {
  if (role === "tool") return [fold(words.toolResult(message.name), text)];
  const pictures = attachmentsOf(message);
  const before = pictures.length > 0 ? [attachments(pictures)] : [];
  if (role === "human") return [...before, ...shortened(text, (some) => some)];
  const calls = toolCalls(message).map(({ name, args }) => fold(words.toolCall(name), args));
  return [...before, ...shortened(text, markdown), ...calls];
}

function fold(summary, text) {
  return h("details", { class: "fold" }, h("summary", {}, summary), h("pre", { tabindex: "0" }, ...shortened(text || words.nothing, (some) => some)));
}

function attachments(found) {
  const item = ({ name, picture }) =>
    picture === null
      ? h("li", { class: "file" }, h("span", { class: "icon icon-file", "aria-hidden": "true" }), h("span", { class: "file-name" }, name))
      : h("li", {}, h("img", { src: picture, alt: words.image(name), title: name, decoding: "async" }));
  return h("ul", { class: "shots" }, ...found.map(item));
}
