/** The messages on the screen, kept in step with the graph's state. */

import { byId, h } from "../dom.js";
import { markdown } from "../markdown.js";
import { strings } from "../strings.js";
import { shortened } from "./long.js";
import { roleOf, textOf, toolCalls } from "./messages.js";
import { attachmentsOf } from "./parts.js";
import { StickyScroll } from "./scroll.js";
import { GrowingText } from "./streaming.js";
import { contentOf, emptyTurn, toolButton } from "./turn.js";

const ANNOUNCED_LENGTH = 1500;
const words = strings.chat;

/** @typedef {{node: HTMLElement, body: HTMLElement, text: string, signature: string | null, growing: GrowingText | null, pending: boolean}} Entry */

export class Conversation {
  #list = byId("messages");
  #notices = byId("notices");
  #working = byId("working");
  #announcer = byId("announcer");
  #scroll = new StickyScroll(byId("scroller"), byId("latest"));
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** Parts of answers that were never finished: the graph forgets them, the screen does not. */
  #kept = new WeakSet();
  #again = null;

  /** Empties the screen and, for a new conversation, greets. */
  clear({ welcome }) {
    this.#entries.clear();
    this.#list.replaceChildren(...(welcome ? [h("p", { class: "welcome" }, words.welcome)] : []));
    this.clearNotices();
    this.setWorking(false);
    this.#scroll.toEnd();
  }

  /** Shows a message that was just sent, before the graph knows it. */
  addPending(message) {
    this.#list.querySelector(".welcome")?.remove();
    this.#put(message.id, message).pending = true;
    this.#scroll.toEnd();
  }

  /** Takes back a message that was never accepted. */
  remove(id) {
    this.#entries.get(id)?.node.remove();
    this.#entries.delete(id);
  }

  /** Adds the next piece of an answer. */
  append(chunk) {
    const text = textOf(chunk);
    if (text === "" || roleOf(chunk) !== "ai") return;
    const id = chunk.id ?? "streaming";
    if (chunk.type !== "AIMessageChunk") {
      this.#put(id, chunk);
    } else {
      const entry = this.#entries.get(id) ?? this.#create(id, "ai");
      if (entry.growing === null) this.#startGrowing(entry);
      entry.text += text;
      entry.growing.append(text);
    }
    this.setWorking(false);
    this.#scroll.grown();
  }

  /**
   * Brings the screen in step with the whole list of messages.
   * @param {object[]} messages
   * @param {{final?: boolean}} [options]  final: nothing that the list does not hold is still to come
   */
  sync(messages, { final = false } = {}) {
    this.#list.querySelector(".welcome")?.remove();
    const known = new Set();
    let previous = null;
    messages.forEach((message, index) => {
      if (!isShown(message)) return;
      const id = message.id ?? `#${index}`;
      known.add(id);
      const { node } = this.#put(id, message);
      let next = previous === null ? this.#list.firstElementChild : previous.nextElementSibling;
      while (next !== node && next !== null && this.#kept.has(next)) next = next.nextElementSibling;
      if (next !== node) this.#list.insertBefore(node, next);
      previous = node;
    });
    for (const [id, { node, growing, pending }] of this.#entries) {
      const expected = !final && (growing !== null || pending);
      if (!known.has(id) && !expected && !this.#kept.has(node)) this.remove(id);
    }
    this.#scroll.grown();
  }

  /** Ends what is still growing as it stands, for a run that will not go on. */
  settle() {
    for (const entry of this.#entries.values()) {
      entry.pending = false;
      if (entry.growing === null) continue;
      this.#finish(entry, shortened(entry.text, markdown));
      this.#kept.add(entry.node);
    }
    this.#scroll.grown();
  }

  /** Tells listeners the last answer, once it is whole. */
  announceAnswer() {
    const answer = [...this.#entries.values()].findLast(({ node }) => node.dataset.role === "ai");
    const text = answer?.body.innerText.slice(0, ANNOUNCED_LENGTH);
    this.announce(text ? words.answerComplete(text) : words.emptyAnswer);
  }

  announce(text) {
    this.#announcer.textContent = text;
  }

  /** Puts a button below the last answer that has it given again; null takes the button away. */
  offerAgain(act) {
    if (this.#again) this.#keepFocus(this.#again);
    this.#again?.remove();
    this.#again = null;
    const last = this.#list.lastElementChild;
    if (act === null || last?.dataset.role !== "ai") return;
    this.#again = toolButton("again", words.again, act);
    last.querySelector(".tools").append(this.#again);
  }

  /** Shows that an answer is being waited for. */
  setWorking(yes) {
    this.#working.hidden = !yes;
    this.#scroll.grown();
  }

  /** A remark below the messages; an error is announced at once. */
  notice(text, { error = true, action = null } = {}) {
    const button = action && h("button", { type: "button", class: "button small", onclick: action.run }, action.label);
    const attributes = { class: error ? "message error" : "message", role: error ? "alert" : "status" };
    const node = h("div", attributes);
    this.#notices.replaceChildren(node);
    node.append(h("span", {}, text), ...(button ? [button] : []));
    this.#scroll.grown();
  }

  clearNotices() {
    this.#keepFocus(this.#notices);
    this.#notices.replaceChildren();
  }

  /** Call when something else at the end changed its height. */
  grown() {
    this.#scroll.grown();
  }

  /** Where something that has the keyboard goes away, the messages get it. */
  #keepFocus(leaving) {
    if (leaving.contains(document.activeElement)) byId("scroller").focus({ preventScroll: true });
  }

  #put(id, message) {
    const role = roleOf(message);
    const entry = this.#entries.get(id) ?? this.#create(id, role);
    const text = textOf(message);
    const signature = [text, attachmentsOf(message).length, ...toolCalls(message).map(({ name, args }) => name + args)].join("\0");
    entry.pending = false;
    if (entry.growing !== null || entry.signature !== signature) {
      entry.text = text;
      entry.signature = signature;
      entry.node.toggleAttribute("data-wordless", text === ""); // there is nothing to copy
      this.#finish(entry, contentOf(role, message, text));
    }
    return entry;
  }

  #create(id, role) {
    const entry = { ...emptyTurn(role, () => entry.text), text: "", signature: null, growing: null, pending: false };
    this.#entries.set(id, entry);
    this.#list.append(entry.node);
    return entry;
  }

  #startGrowing(entry) {
    this.#kept.delete(entry.node);
    entry.text = "";
    entry.growing = new GrowingText(entry.body);
    entry.node.dataset.streaming = "true";
  }

  #finish(entry, content) {
    entry.growing = null;
    delete entry.node.dataset.streaming;
    entry.body.replaceChildren(...content);
  }
}

const isShown = (message) => {
  const role = roleOf(message);
  return role !== null && (role !== "ai" || textOf(message) !== "" || toolCalls(message).length > 0 || attachmentsOf(message).length > 0);
};
