/** The list of conversations. */

import { ProblemError } from "../api.js";
import { byId, h } from "../dom.js";
import { strings } from "../strings.js";
import { deleteThread, searchThreads } from "./graph.js";
import { titleOf } from "./messages.js";

const words = strings.chat;

export class ThreadList {
  #list = byId("threads");
  #note = byId("threads-note");
  #dialog = byId("confirm");
  #threads = [];
  #current = null;
  #on;

  /** @param {{select: (id: string) => void, deleted: (id: string) => void}} on */
  constructor(on) {
    this.#on = on;
  }

  async load() {
    try {
      const loaded = await searchThreads();
      const newer = this.#threads.filter(({ thread_id: id }) => !loaded.some((thread) => thread.thread_id === id));
      this.#threads = [...newer, ...loaded];
      this.#draw();
    } catch (problem) {
      if (!(problem instanceof ProblemError)) throw problem;
      const again = h("button", { type: "button", class: "link", onclick: () => void this.load() }, words.retry);
      this.#note.replaceChildren(words.threadsFailed, " ", again);
    }
  }

  /** Puts a thread on top, with a title if it is known. */
  put(id, title) {
    const old = this.#threads.find((thread) => thread.thread_id === id);
    const thread = { ...old, thread_id: id, metadata: { ...old?.metadata, ...(title && { title }) } };
    this.#threads = [thread, ...this.#threads.filter((other) => other !== old)];
    this.#draw();
  }

  /** Marks the open conversation. */
  setCurrent(id) {
    this.#current = id;
    this.#draw();
  }

  /** The title of a thread, or null if it has none of its own. */
  titleOf(id) {
    const thread = this.#threads.find((one) => one.thread_id === id);
    return thread ? titleOf(thread) : null;
  }

  #draw() {
    const focused = document.activeElement?.closest("[data-thread]")?.dataset.thread;
    this.#list.replaceChildren(...this.#threads.map((thread) => this.#row(thread)));
    this.#note.textContent = this.#threads.length === 0 ? words.noThreads : "";
    if (focused) this.#list.querySelector(`[data-thread="${CSS.escape(focused)}"] a`)?.focus();
  }

  #row(thread) {
    const { thread_id: id } = thread;
    const title = titleOf(thread);
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#on.select(id);
    };
    const href = `/?thread=${encodeURIComponent(id)}`;
    const remove = h(
      "button",
      { type: "button", class: "icon-button delete", title: words.deleteThread(title), onclick: () => void this.#delete(id, title) },
      h("span", { class: "icon icon-trash", "aria-hidden": "true" }),
      h("span", { class: "visually-hidden" }, words.deleteThread(title)),
    );
    return h("li", { "data-thread": id }, h("a", { href, onclick: open, "aria-current": id === this.#current ? "page" : null, title }, title), remove);
  }

  async #delete(id, title) {
    if (!(await this.#confirmed(title))) return;
    try {
      await deleteThread(id);
    } catch (problem) {
      if (!(problem instanceof ProblemError)) throw problem;
      if (problem.status !== 404) {
        this.#note.textContent = problem.detail;
        return;
      }
    }
    this.#threads = this.#threads.filter((thread) => thread.thread_id !== id);
    this.#draw();
    byId("new-thread").focus();
    this.#on.deleted(id);
  }

  #confirmed(title) {
    byId("confirm-text").textContent = words.deleteText(title);
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    return new Promise((resolve) => {
      this.#dialog.addEventListener("close", () => resolve(this.#dialog.returnValue === "delete"), { once: true });
    });
  }
}
