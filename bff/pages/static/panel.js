/** A part of a page with a line that tells what came of what was done there. */

import { ProblemError } from "./api.js";
import { byId, h } from "./dom.js";
import { strings } from "./strings.js";

const words = strings.panel;

/** What failed and how to go on, for a person. What is no refusal is our own fault, and thrown on. */
export function sentence(problem) {
  if (!(problem instanceof ProblemError)) throw problem;
  const { status, code, detail, retryAfter } = problem;
  if (status === 404 && (code === "not_found" || code === "")) return words.gone;
  return status === 429 && retryAfter ? words.wait(detail, retryAfter) : detail;
}

/** A button of a row; its name says which row, to who does not see it. */
export const rowButton = (label, of, onclick) =>
  h("button", { type: "button", class: "button small", onclick: ({ currentTarget }) => onclick(currentTarget) }, label, h("span", { class: "visually-hidden" }, " ", of));

export class Panel {
  #section;
  #outcome;

  /** @param {string} id  of a section with a heading and an `.outcome` */
  constructor(id) {
    this.#section = byId(id);
    this.#outcome = this.#section.querySelector(".outcome");
  }

  set hidden(yes) {
    this.#section.hidden = yes;
  }

  /** Says what was done. */
  say(text) {
    this.#outcome.replaceChildren(h("p", { class: "message" }, text));
  }

  /** Says what is not as it should be. */
  warn(text) {
    this.#outcome.replaceChildren(h("p", { class: "message error" }, text));
  }

  /** Says what failed; with `again` there is a button to try it once more. */
  fail(problem, again = null) {
    const line = h("p", { class: "message error" }, sentence(problem));
    const retry = () => {
      this.focus();
      again();
    };
    if (again) line.append(" ", h("button", { type: "button", class: "link", onclick: retry }, words.again));
    this.#outcome.replaceChildren(line);
  }

  clear() {
    this.#outcome.replaceChildren();
  }

  /** Takes the focus, where what had it is gone. */
  focus() {
    this.#section.querySelector("h2").focus();
  }

  /** Does what a button is for, one at a time; what fails is told here. */
  async run(button, work) {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    this.clear();
    try {
      await work();
    } catch (problem) {
      this.fail(problem);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }

  /** Loads what is shown here; if that fails, there is a button for it. */
  async load(work) {
    this.clear();
    try {
      await work();
    } catch (problem) {
      this.fail(problem, () => void this.load(work));
    }
  }
}
