/** The audit log, the newest first, older pages on demand. */

import { byId, h } from "../dom.js";
import { Panel } from "../panel.js";
import { call } from "../signed_in.js";
import { strings } from "../strings.js";
import { moment, named } from "../wording.js";

const words = strings.admin.audit;

export class Audit {
  #panel = new Panel("audit");
  #list = byId("audit-list");
  #older = byId("older");
  #area = byId("audit-area");
  #path;
  #next = null;
  #turn = 0;

  constructor(me) {
    this.#path = `/tenants/${me.tenant_id}/audit`;
    this.#area.replaceChildren(...Object.entries(words.areas).map(([area, name]) => h("option", { value: area }, name)));
    this.#area.addEventListener("change", () => this.#begin());
    this.#older.addEventListener("click", () => void this.#panel.run(this.#older, () => this.#goOn()));
    this.#begin();
  }

  #begin() {
    // Nothing of the choice before stays: what is older than it would go on from here.
    this.#list.replaceChildren();
    this.#older.hidden = byId("no-entries").hidden = true;
    void this.#panel.load(async () => {
      this.#next = null;
      await this.#page((rows) => this.#list.replaceChildren(...rows));
    });
  }

  async #goOn() {
    await this.#page((rows) => {
      this.#list.append(...rows);
      this.#panel.say(words.loaded(rows.length));
      rows[0]?.focus();
    });
  }

  /** The next page, unless another choice was made meanwhile. */
  async #page(put) {
    this.#turn += 1;
    const turn = this.#turn;
    const query = new URLSearchParams({ action: this.#area.value });
    if (this.#next !== null) query.set("before", String(this.#next));
    const { entries, next } = await call(`${this.#path}?${query}`);
    if (turn !== this.#turn) return;
    this.#next = next;
    put(entries.map(row));
    this.#older.hidden = next === null;
    byId("no-entries").hidden = this.#list.childElementCount > 0;
  }
}

function row({ at, action, actor, actor_email: email, subject, detail, address, request_id: request }) {
  const who = email ?? actor ?? words.system;
  const whom = typeof detail?.email === "string" && detail.email !== "" ? [" · ", h("bdi", {}, detail.email)] : [];
  const from = address ? [" · ", h("bdi", {}, address)] : [];
  const facts = [[words.action, action], [words.subject, subject], ...Object.entries(detail ?? {}), [words.request, request]].filter(([, value]) => value !== null);
  return h(
    "li",
    { tabindex: "-1" },
    h(
      "div",
      { class: "row-main" },
      h("strong", { class: "row-title" }, named(words.actions, action)),
      ...whom,
      h("p", { class: "hint" }, moment(at), " · ", words.by, " ", h("bdi", {}, who), ...from),
      h("details", { class: "fold" }, h("summary", {}, words.details), h("dl", { class: "facts" }, ...facts.flatMap(pair))),
    ),
  );
}

const pair = ([name, value]) => [h("dt", {}, name), h("dd", {}, textOf(value))];

function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
