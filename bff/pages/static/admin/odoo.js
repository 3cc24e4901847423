/** The workspace's own Odoo: how it is, a repair, another key. */

import { ask } from "../ask.js";
import { byId, h } from "../dom.js";
import { stillHere } from "../moved.js";
import { Panel } from "../panel.js";
import { webAddress } from "../paths.js";
import { call } from "../signed_in.js";
import { strings } from "../strings.js";
import { inWords, moment, named } from "../wording.js";
import { follow, underWay } from "./follow.js";

const words = strings.admin.odoo;

export class Odoo {
  #panel = new Panel("odoo");
  #me;
  #path;
  #following = null;

  constructor(me) {
    this.#me = me;
    this.#path = `/tenants/${me.tenant_id}/odoo`;
    const on = (id, work) => byId(id).addEventListener("click", ({ currentTarget }) => void this.#panel.run(currentTarget, () => work.call(this)));
    on("check-odoo", this.#check);
    on("repair-odoo", this.#repair);
    on("rotate-key", this.#rotate);
    void this.#panel.load(() => this.#look());
  }

  /** Shows how it is until nothing is under way; once for all who ask meanwhile. */
  #look() {
    this.#following ??= follow(this.#path, {
      seen: (found) => this.#draw(found),
      trouble: (problem) => (problem === null ? this.#panel.clear() : this.#panel.fail(problem)),
      isOver: ({ tasks }) => !underWay(tasks.rotate?.state) && !underWay(tasks.repair?.state),
    }).finally(() => {
      this.#following = null;
    });
    return this.#following;
  }

  async #check() {
    await stillHere(this.#me);
    this.#panel.say(words.checking);
    const { ready, smoke, error } = await call("/onboarding/verify_odoo");
    await this.#look();
    if (ready) this.#panel.say(words.well);
    else this.#panel.warn(error ?? (smoke ? words.wellButNotReady : words.notWell));
  }

  async #repair() {
    const question = { title: words.repairTitle, text: words.repairText, action: words.repair };
    if (!(await ask(question, () => call(`${this.#path}/repair`, { method: "POST" })))) return;
    this.#panel.say(words.repairing);
    const { tasks } = await this.#look();
    this.#tell(tasks.repair, words.repaired);
  }

  async #rotate() {
    const question = { title: words.rotateTitle, text: words.rotateText, action: words.rotate };
    const done = await ask(question, () => call(`${this.#path}/api-key/rotate`, { method: "POST" }));
    if (done) this.#panel.say(words.rotated);
    await this.#look();
  }

  #tell(task, good) {
    if (task?.state === "failed") this.#panel.warn(task.error ?? words.failed);
    else this.#panel.say(good);
  }

  #draw(found) {
    byId("odoo-actions").hidden = !found.exists;
    const link = byId("open-odoo");
    const address = found.exists ? webAddress(found.login_url) : null;
    link.hidden = address === null;
    if (address !== null) link.href = address;
    const facts = found.exists ? described(found) : [[words.state, words.missing]];
    byId("odoo-facts").replaceChildren(...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }
}

function described({ error, db_name: database, base_url: address, checked_at: checked, key_expires_at: expires, tasks }) {
  return [
    [words.state, error ?? words.noProblem],
    [words.database, database],
    [words.address, address],
    [words.checked, checked ? moment(checked) : words.never],
    ...(expires ? [[words.keyEnds, moment(expires)]] : []),
    ...(tasks.rotate ? [[words.lastRotation, outcome(tasks.rotate)]] : []),
    ...(tasks.repair ? [[words.lastRepair, outcome(tasks.repair)]] : []),
  ].map(([name, value]) => [name, value instanceof Node ? value : String(value)]);
}

function outcome({ state, error, asked_at: asked, finished_at: finished }) {
  const said = words.outcome(named(words.states, state), inWords(finished ?? asked));
  return error ? `${said}: ${error}` : said;
}
