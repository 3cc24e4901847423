/** A small, safe Markdown: text in, nodes out. Never HTML, never an image, links to http(s) only. */

import { copy } from "./copy.js";
import { h } from "./dom.js";
import { inline } from "./inline.js";
import { strings } from "./strings.js";

const MAX_DEPTH = 6;

// No pattern here may backtrack over more than a line once: lines can be megabytes long. Hence the flag s: what
// splits no line here (U+2028) has to be within the reach of a dot.
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/s;
const HEADING = /^ {0,3}(#{1,6}) +(.*)$/s;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:( +)(.*)|)$/s;
const QUOTE = /^ {0,3}> ?/;
const TABLE_RULE = /^\|?(?: *:?-+:? *\|)+(?: *:?-+:?)?$/;

/**
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function markdown(text) {
  return blocks(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}

/** Finds, in text that grows, how much of it is whole blocks that later text will not change. */
export class BlockCutter {
  #scanned = 0;
  #fence = null;
  #afterBlank = false;

  /**
   * @param {string} text  what has not been cut off yet, grown since the last call
   * @returns {number} length of the whole blocks at its start, 0 if none; the caller then drops them
   */
  cut(text) {
    let cut = 0;
    for (let end; (end = text.indexOf("\n", this.#scanned)) >= 0; this.#scanned = end + 1) {
      const line = text.slice(this.#scanned, end);
      if (this.#fence === null && this.#afterBlank && /^\S/.test(line) && !ITEM.test(line)) cut = this.#scanned;
      this.#afterBlank = this.#fence === null && line.trim() === "";
      if (this.#fence === null) this.#fence = opens(line)?.fence ?? null;
      else if (closes(line, this.#fence)) this.#fence = null;
    }
    this.#scanned -= cut;
    return cut;
  }
}

function blocks(lines, depth) {
  const result = document.createDocumentFragment();
  let paragraph = [];
  const flush = () => {
    if (paragraph.length > 0) result.append(h("p", {}, inline(paragraph.join("\n"))));
    paragraph = [];
  };
  for (let i = 0; i < lines.length; ) {
    const blank = lines[i].trim() === "";
    const block = blank ? null : blockAt(lines, i, depth);
    if (blank || block !== null) flush();
    if (block !== null) result.append(block.node);
    else if (!blank) paragraph.push(lines[i].trim());
    i = block?.next ?? i + 1;
  }
  flush();
  return result;
}

function blockAt(lines, i, depth) {
  const line = lines[i];
  let match;
  if ((match = opens(line))) return fenceAt(lines, i, match);
  if ((match = HEADING.exec(line))) return { node: heading(match[1].length, match[2]), next: i + 1 };
  if (RULE.test(line)) return { node: h("hr"), next: i + 1 };
  if (depth >= MAX_DEPTH) return null;
  if (ITEM.test(line)) return listAt(lines, i, depth);
  if (QUOTE.test(line)) return quoteAt(lines, i, depth);
  if (line.includes("|") && TABLE_RULE.test((lines[i + 1] ?? "").trim())) return tableAt(lines, i);
  return null;
}

/** Headings start below those of the page. */
const heading = (level, text) => h(`h${Math.min(level + 3, 6)}`, {}, inline(text.trim().replace(/ #+$/, "")));

function opens(line) {
  const [, fence, rest] = FENCE.exec(line) ?? [];
  if (fence === undefined || (fence[0] === "`" && rest.includes("`"))) return null;
  return { fence, language: rest.trim().split(" ", 1)[0] };
}

const closes = (line, fence) => line.trim().length >= fence.length && line.trim() === fence[0].repeat(line.trim().length);

function fenceAt(lines, i, { fence, language }) {
  let end = i + 1;
  while (end < lines.length && !closes(lines[end], fence)) end += 1;
  return { node: codeBlock(lines.slice(i + 1, end).join("\n"), language), next: end + 1 };
}

function listAt(lines, i, depth) {
  const [, indent, marker] = ITEM.exec(lines[i]);
  const ordered = /\d/.test(marker);
  const start = ordered ? Number.parseInt(marker, 10) : 1;
  const list = h(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null });
  let next = i;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (item === null || item[1].length > indent.length + 1 || item[1].length < indent.length || /\d/.test(item[2]) !== ordered) break;
    const width = item[1].length + item[2].length + Math.min((item[3] ?? " ").length, 4);
    const content = [item[4] ?? ""];
    next += 1;
    while (next < lines.length && belongs(lines, next, indent.length)) {
      content.push(lines[next].replace(new RegExp(`^ {0,${width}}`), ""));
      next += 1;
    }
    list.append(h("li", {}, tight(blocks(content, depth + 1))));
    let after = next;
    while (after < lines.length && lines[after].trim() === "") after += 1;
    if (after < lines.length && ITEM.test(lines[after])) next = after;
  }
  return { node: list, next };
}

/** Whether a line continues the list item whose marker is indented by `indent`. */
function belongs(lines, i, indent) {
  const line = lines[i];
  const lead = line.search(/\S/);
  if (lead < 0) return i + 1 < lines.length && lines[i + 1].search(/\S/) > indent + 1;
  if (lead > indent + 1) return true;
  return lines[i - 1].trim() !== "" && [ITEM, FENCE, HEADING, QUOTE, RULE].every((start) => !start.test(line));
}

/** An item of a single paragraph shows its words without the paragraph around them. */
function tight(item) {
  const [first, ...others] = item.children;
  if (first?.nodeName === "P" && others.every(({ nodeName }) => nodeName !== "P")) {
    const words = document.createDocumentFragment();
    while (first.firstChild) words.append(first.firstChild);
    first.replaceWith(words);
  }
  return item;
}

function quoteAt(lines, i, depth) {
  let next = i;
  while (next < lines.length && QUOTE.test(lines[next])) next += 1;
  const inner = lines.slice(i, next).map((line) => line.replace(QUOTE, ""));
  return { node: h("blockquote", {}, blocks(inner, depth + 1)), next };
}

function tableAt(lines, i) {
  const row = (line, tag) => {
    const tr = h("tr");
    for (const cell of cells(line)) tr.append(h(tag, tag === "th" ? { scope: "col" } : {}, inline(cell)));
    return tr;
  };
  const body = h("tbody");
  let next = i + 2;
  for (; next < lines.length && lines[next].includes("|"); next += 1) body.append(row(lines[next], "td"));
  const table = h("table", {}, h("thead", {}, row(lines[i], "th")), body);
  return { node: h("div", { class: "table", tabindex: "0" }, table), next };
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function codeBlock(text, language) {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "tool-button", "aria-live": "polite", onclick: () => void copy(text, code, button) }, strings.chat.copy);
  const head = h("div", { class: "code-head" }, h("span", {}, language || strings.chat.code), button);
  return h("div", { class: "code" }, head, h("pre", { tabindex: "0" }, code));
}
