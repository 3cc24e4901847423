/**
 * Markdown within a line: text in, nodes out. One pass from left to right, at most one open frame per kind
 * of emphasis, so that no input makes it slow. Links lead to http(s) only.
 */

import { h } from "./dom.js";

const SPECIAL = /\\[!-/:-@[-`{-~]|`+|\*\*?|__?|!?\[|<(?=https?:)|\bhttps?:\/\/|\n/g;
const LINK = /!?\[([^[\]\n]{1,500})\]\(<?([^()\s<>]{1,2000}(?:\([^()\s<>]{0,500}\)[^()\s<>]{0,500})?)>?(?: +"[^"\n]{0,500}")?\)/y;
const BARE = /https?:\/\/[^\s<>"'`|]{1,2000}/y;
const TAGS = { "**": "strong", __: "strong", "*": "em", _: "em" };

/**
 * @param {string} text
 * @param {boolean} [withLinks]
 * @returns {DocumentFragment}
 */
export function inline(text, withLinks = true) {
  const frames = [frame("")];
  const put = (node) => frames.at(-1).content.append(node);
  const ticks = tickRuns(text);
  let at = 0;
  const scanner = new RegExp(SPECIAL);
  for (let match; (match = scanner.exec(text)); scanner.lastIndex = at) {
    const inner = frames.at(-1).marker;
    const triple = match[0].length === 2 && inner === match[0][0] && text[match.index + 2] === inner;
    const token = triple ? inner : match[0];
    const from = match.index;
    if (from > at) put(text.slice(at, from));
    at = from + token.length;
    if (token === "\n") put(h("br"));
    else if (token[0] === "\\") put(token[1]);
    else if (token[0] === "`") at = codeSpan(text, from, token, ticks, put);
    else if (token in TAGS) emphasis(text, from, token, frames);
    else at = (withLinks && link(text, token === "<" ? from + 1 : from, put)) || literal(token, at, put);
    if (token === "<" && text[at] === ">") at += 1;
  }
  put(text.slice(at));
  while (frames.length > 1) unwrap(frames);
  return frames[0].content;
}

const frame = (marker) => ({ marker, content: document.createDocumentFragment() });

function literal(token, at, put) {
  put(token);
  return at;
}

function tickRuns(text) {
  const runs = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!runs.has(run.length)) runs.set(run.length, []);
    runs.get(run.length).push(index);
  }
  for (const starts of runs.values()) starts.reverse();
  return runs;
}

function codeSpan(text, from, token, ticks, put) {
  const starts = ticks.get(token.length) ?? [];
  while (starts.length > 0 && starts.at(-1) <= from) starts.pop();
  const end = starts.at(-1);
  if (end === undefined) return literal(token, from + token.length, put);
  const code = text.slice(from + token.length, end).replaceAll("\n", " ");
  const padded = code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "";
  put(h("code", {}, padded ? code.slice(1, -1) : code));
  return end + token.length;
}

function emphasis(text, from, marker, frames) {
  const before = text[from - 1] ?? " ";
  const after = text[from + marker.length] ?? " ";
  const inWord = marker[0] === "_" && /[\p{L}\p{N}]/u.test(before) && /[\p{L}\p{N}]/u.test(after);
  const open = frames.findLastIndex((one) => one.marker === marker);
  if (open > 0 && /\S/.test(before) && !inWord) {
    while (frames.length - 1 > open) unwrap(frames);
    const { content } = frames.pop();
    frames.at(-1).content.append(h(TAGS[marker], {}, content));
  } else if (open < 0 && /\S/.test(after) && !inWord) {
    frames.push(frame(marker));
  } else {
    frames.at(-1).content.append(marker);
  }
}

function unwrap(frames) {
  const { marker, content } = frames.pop();
  frames.at(-1).content.append(marker, content);
}

/** Puts the link that starts at `from`, if there is one, and says where it ends; 0 otherwise. */
function link(text, from, put) {
  LINK.lastIndex = from;
  const written = LINK.exec(text);
  if (written !== null) {
    const href = absolute(written[2]);
    if (href === null) return 0;
    put(anchor(href, inline(written[1], false)));
    return LINK.lastIndex;
  }
  BARE.lastIndex = from;
  const bare = withoutEnd(BARE.exec(text)?.[0] ?? "");
  const href = bare ? absolute(bare) : null;
  if (href === null) return 0;
  put(anchor(href, bare));
  return from + bare.length;
}

/** An address without the punctuation behind it. A pattern would look from each mark to the end. */
function withoutEnd(address) {
  let end = address.length;
  while (end > 0 && ".,;:!?)]}*_".includes(address[end - 1])) end -= 1;
  return address.slice(0, end);
}

const anchor = (href, content) => h("a", { href, title: href, target: "_blank", rel: "noopener noreferrer" }, content);

function absolute(value) {
  if (!/^https?:\/\//i.test(value)) return null;
  try {
    return new URL(value).href;
  } catch {
    return null;
  }
}
