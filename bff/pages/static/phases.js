/** The phases of an onboarding, with how long each took, and how long the present one has been at work. */

import { h } from "./dom.js";
import { strings } from "./strings.js";

const words = strings.onboarding;
const PHASES = Object.keys(words.phases);
const TICK_MS = 1000;

export class Phases {
  #list;
  #announce;
  #states = new Map();
  /** When each phase was first seen at work, by the clock of this page: the gateway's may differ. */
  #since = new Map();
  #timer = 0;

  /**
   * How long it took from the first phase's beginning to the last one's end, or null.
   * @type {string | null}
   */
  total = null;

  /**
   * @param {HTMLElement} list
   * @param {(text: string) => void} announce  told what has changed, once it has
   */
  constructor(list, announce) {
    this.#list = list;
    this.#announce = announce;
  }

  /** @param {object[] | null} phases  as /onboarding/status has them; null: there is nothing to show */
  show(phases) {
    clearInterval(this.#timer);
    this.#list.hidden = phases === null;
    if (phases === null) return;
    const known = new Map(phases.map((phase) => [phase.name, phase]));
    const names = [...PHASES, ...[...known.keys()].filter((name) => !PHASES.includes(name))];
    const shown = names.map((name) => known.get(name) ?? { name, state: "pending" });
    this.total = took(phases[0]?.started_at, phases.at(-1)?.finished_at);
    this.#note(shown);
    this.#list.replaceChildren(...shown.map((phase) => this.#item(phase)));
    this.#tick();
    if (this.#since.size > 0) this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Remembers what each phase is at, and tells what is new. */
  #note(shown) {
    const changes = [];
    for (const { name, state } of shown) {
      const before = this.#states.get(name);
      if (before === state) continue;
      if (before !== undefined || state !== "pending") changes.push(words.announce(titleOf(name), wordFor(state)));
      this.#states.set(name, state);
      if (state === "running") this.#since.set(name, performance.now());
      else this.#since.delete(name);
    }
    if (changes.length > 0) this.#announce(changes.join(". "));
  }

  #item({ name, state, detail, started_at: from, finished_at: to }) {
    const time = state === "done" ? took(from, to) : null;
    const end = time === null ? [wordFor(state)] : [h("span", { class: "visually-hidden" }, wordFor(state), " "), time];
    return h(
      "li",
      { "data-phase": name, "data-state": state, "aria-current": state === "running" ? "step" : null },
      h("span", { class: "phase-symbol", "aria-hidden": "true" }, words.symbols[state] ?? "○"),
      h("span", { class: "phase-name" }, titleOf(name), ...(detail ? [h("span", { class: "phase-detail" }, String(detail))] : [])),
      h("span", { class: "phase-state" }, ...end),
    );
  }

  #tick() {
    for (const [name, since] of this.#since) {
      const place = this.#list.querySelector(`[data-phase="${CSS.escape(name)}"] .phase-state`);
      place.textContent = `${wordFor("running")} · ${words.since(Math.floor((performance.now() - since) / 1000))}`;
    }
  }
}

const titleOf = (name) => words.phases[name] ?? name;
const wordFor = (state) => words.states[state] ?? state;

function took(from, to) {
  const ms = Date.parse(to) - Date.parse(from);
  return Number.isFinite(ms) && ms >= 0 ? words.took(ms / 1000) : null;
}
