/** Questions a run stopped for, each with a box for the reply. */

import { byId, h } from "../dom.js";
import { strings } from "../strings.js";
import { questionText, resumeValue } from "./messages.js";

const words = strings.chat;

export class Questions {
  #place = byId("questions");
  #onReply;

  /** @param {(value: unknown) => void} onReply  called with what resumes the run */
  constructor(onReply) {
    this.#onReply = onReply;
  }

  /** @param {{id?: string, value: unknown}[]} questions */
  show(questions) {
    if (questions.length === 0) {
      this.#place.replaceChildren();
      return;
    }
    const boxes = questions.map((_, i) => h("textarea", { id: i === 0 ? "reply" : `reply-${i + 1}`, rows: "2", required: true, "aria-describedby": `question-${i + 1}` }));
    const form = h(
      "form",
      { class: "question stack", onsubmit: (event) => this.#submit(event, questions, boxes) },
      h("h2", {}, words.questionLabel),
      ...questions.map(({ value }, i) =>
        h(
          "div",
          { class: "field" },
          h("p", { class: "question-text", id: `question-${i + 1}` }, questionText(value)),
          h("label", { for: boxes[i].id }, words.replyLabel),
          boxes[i],
        ),
      ),
      h("button", { id: "reply-send", type: "submit", class: "button primary" }, words.replySend),
    );
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target.nodeName !== "TEXTAREA") return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.#place.replaceChildren(form);
    boxes[0].focus({ preventScroll: true });
  }

  /** While a reply is under way the boxes keep what was typed, out of the way. */
  setHidden(hidden) {
    this.#place.hidden = hidden;
  }

  #submit(event, questions, boxes) {
    event.preventDefault();
    this.#onReply(resumeValue(questions, boxes.map((box) => box.value.trim())));
  }
}
