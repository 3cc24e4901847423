/** Questions a run stopped for, each with a place for the reply. */

import { byId, h } from "../dom.js";
import { draftOf, keepDraft } from "../drafts.js";
import { strings } from "../strings.js";
import { isTyping, sends } from "./keys.js";
import { questionText, resumeValue } from "./messages.js";
import { isReview, review } from "./review.js";

const words = strings.chat;

export class Questions {
  #place = byId("questions");
  #onReply;
  /** The boxes for replies, by the names under which their drafts are kept. */
  #boxes = new Map();
  #owner = "";
  /** What had the keyboard before all was hidden. */
  #left = null;

  /** @param {(value: unknown) => void} onReply  called with what resumes the run */
  constructor(onReply) {
    this.#onReply = onReply;
  }

  /** Whose drafts are kept; brings back what this person had typed before. */
  setOwner(email) {
    this.#owner = email;
    for (const [draft, box] of this.#boxes) {
      if (box.value === "") box.value = draftOf(draft, email);
      else this.#keep(draft, box.value);
    }
  }

  /**
   * @param {{id?: string, value: unknown}[]} questions
   * @param {string | null} threadId  of the thread that asks
   */
  show(questions, threadId) {
    this.#boxes.clear();
    if (questions.length === 0) {
      this.#place.replaceChildren();
      return;
    }
    const reply = ({ id, value }, i) => (isReview(value) ? review(value, `decide-${i + 1}`) : this.#textReply(value, i, `reply-${threadId}-${id ?? i}`));
    const replies = questions.map(reply);
    const form = h(
      "form",
      { class: "question stack", onsubmit: submit },
      h("h2", { tabindex: "-1" }, words.questionLabel),
      ...replies.map(({ node }) => node),
      h("button", { id: "reply-send", type: "submit", class: "button primary" }, words.replySend),
    );
    const onReply = this.#onReply;
    function submit(event) {
      event.preventDefault();
      onReply(resumeValue(questions, replies.map(({ answer }) => answer())));
    }
    form.addEventListener("keydown", (event) => {
      if (!sends(event) || !event.target.matches("textarea:not([data-lines])")) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.#place.replaceChildren(form);
    // Whoever is typing goes on with that. And never to a choice: keys meant for the message would decide.
    if (!isTyping()) form.querySelector(questions.some(({ value }) => isReview(value)) ? "h2" : "textarea").focus({ preventScroll: true });
  }

  /** While a reply is under way the boxes keep what was typed, out of the way; the messages have the keyboard. */
  setHidden(hidden) {
    if (hidden && this.#place.contains(document.activeElement)) {
      this.#left = document.activeElement;
      byId("scroller").focus({ preventScroll: true });
    }
    this.#place.hidden = hidden;
    if (hidden) return;
    if (document.activeElement === byId("scroller")) this.#left?.focus({ preventScroll: true });
    this.#left = null;
  }

  /** The reply has arrived: its draft is no longer needed. */
  forget() {
    this.#left = null;
    for (const name of this.#boxes.keys()) this.#keep(name, "");
  }

  #keep(draft, text) {
    if (this.#owner !== "") keepDraft(draft, text, this.#owner);
  }

  #textReply(value, i, draft) {
    const [id, textId] = [i === 0 ? "reply" : `reply-${i + 1}`, `question-${i + 1}`];
    const box = h("textarea", { id, rows: "2", required: true, "aria-describedby": textId, oninput: () => this.#keep(draft, box.value) });
    if (this.#owner !== "") box.value = draftOf(draft, this.#owner);
    this.#boxes.set(draft, box);
    return {
      node: h("div", { class: "field" }, h("p", { class: "question-text", id: textId }, questionText(value)), h("label", { for: id }, words.replyLabel), box),
      answer: () => box.value.trim(),
    };
  }
}
