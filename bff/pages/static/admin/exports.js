/** Exports: files to download, and sending the best companies to Odoo. */

import { ask } from "../ask.js";
import { byId, h } from "../dom.js";
import { stillHere } from "../moved.js";
import { Panel } from "../panel.js";
import { call, callRaw } from "../signed_in.js";
import { strings } from "../strings.js";
import { inWords, named } from "../wording.js";
import { follow, underWay } from "./follow.js";

const words = strings.admin.exports;
const SYNC = "/export/odoo/sync";

export class Exports {
  #panel = new Panel("exports");
  #form = byId("export-form");
  #sync = byId("sync-form");
  #me;
  #following = null;

  constructor(me) {
    this.#me = me;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#panel.run(event.submitter, () => this.#download(event.submitter.value));
    });
    this.#sync.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#panel.run(byId("sync"), () => this.#send());
    });
    void this.#panel.load(() => this.#look());
  }

  /** Asks first whether there is something to be had: a failed download explains nothing. */
  async #download(format) {
    await stillHere(this.#me);
    const query = new URLSearchParams(new FormData(this.#form));
    const address = `/export/latest_scores.${format}?${query}`;
    try {
      await callRaw(address, { method: "HEAD" });
    } catch (problem) {
      // What has no body does not say why: this leaves for the sign-in if the session is over.
      if (problem.status === 401) await call("/whoami");
      throw problem;
    }
    h("a", { href: address, download: `latest_scores.${format}` }).click();
    this.#panel.say(words.begun);
  }

  async #send() {
    const data = new FormData(this.#sync);
    const score = data.get("min_score");
    const json = { limit: Number(data.get("limit")), ...(score !== "" && { min_score: Number(score) }) };
    const question = { title: words.sendTitle, text: words.sendText(json.limit), action: words.send };
    const send = async () => {
      await stillHere(this.#me);
      this.#draw(await call(SYNC, { method: "POST", json }));
    };
    if (!(await ask(question, send))) return;
    this.#panel.say(words.sending);
    const { state, error } = await this.#look();
    if (state === "failed") this.#panel.warn(error ?? words.failed);
    else this.#panel.say(words.sent);
  }

  #look() {
    this.#following ??= follow(SYNC, {
      seen: (found) => this.#draw(found),
      trouble: (problem) => (problem === null ? this.#panel.clear() : this.#panel.fail(problem)),
      isOver: ({ state }) => !underWay(state),
    }).finally(() => {
      this.#following = null;
    });
    return this.#following;
  }

  #draw(found) {
    const { state, count, created, updated, skipped, refused, errors, error, finished_at: finished } = found;
    byId("sync-state").hidden = state === "none";
    const told = words.numbers({ created, updated, skipped, refused });
    const when = finished ? ` (${inWords(finished)})` : "";
    byId("sync-text").textContent = `${named(words.states, state)}${when}: ${told}${error ? ` ${error}` : ""}`;
    const bar = byId("sync-progress");
    if (count === null && underWay(state)) bar.removeAttribute("value");
    else {
      bar.max = count || 1;
      bar.value = count === 0 ? 1 : created + updated + skipped + refused;
    }
    byId("sync-errors").hidden = errors.length === 0;
    byId("sync-refused").replaceChildren(...errors.map(({ company_id: company, error: why }) => h("li", {}, words.refusal(company, why))));
  }
}
