/** Invitations: made with a link that is shown once, listed, taken back. */

import { ask } from "../ask.js";
import { byId, h } from "../dom.js";
import { Panel, rowButton } from "../panel.js";
import { call } from "../signed_in.js";
import { strings } from "../strings.js";
import { inWords, moment, roleNames } from "../wording.js";
import { chosenRoles, roleBoxes } from "./roles.js";

const words = strings.admin.invites;

export class Invites {
  #panel = new Panel("invites");
  #form = byId("invite-form");
  #list = byId("invite-list");
  #made = byId("made");
  #link = byId("invite-link");
  #me;
  #path;
  #invites = [];

  constructor(me) {
    this.#me = me;
    this.#path = `/tenants/${me.tenant_id}/invites`;
    byId("invite-roles").replaceChildren(roleBoxes([]));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#panel.run(byId("invite"), () => this.#make());
    });
    byId("copy-link").addEventListener("click", () => void this.#copy());
    void this.#panel.load(async () => {
      ({ invites: this.#invites } = await call(this.#path));
      this.#draw();
    });
  }

  async #make() {
    const data = new FormData(this.#form);
    const email = data.get("email").trim();
    const made = await call(this.#path, { method: "POST", json: { roles: chosenRoles(data), ...(email && { email }) } });
    this.#form.reset();
    this.#link.value = made.invite_url;
    byId("made-note").textContent = words.shownOnce(inWords(made.expires_at));
    this.#made.dataset.invite = made.invite_id;
    this.#made.hidden = false;
    this.#invites.unshift({ ...made, invited_by: this.#me.email });
    this.#draw();
    this.#panel.say(words.made);
    byId("copy-link").focus();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#link.value);
      this.#panel.say(words.copied);
    } catch {
      this.#link.focus();
      this.#link.select();
      this.#panel.say(words.selected);
    }
  }

  #draw() {
    this.#list.replaceChildren(...this.#invites.map((invite) => this.#row(invite)));
    byId("no-invites").hidden = this.#invites.length > 0;
  }

  #row(invite) {
    const name = invite.email ?? words.anybody;
    const revoke = rowButton(words.revoke, name, (button) => void this.#panel.run(button, () => this.#revoke(invite, name)));
    const by = invite.invited_by ? [" · ", words.by, " ", h("bdi", {}, invite.invited_by)] : [];
    const until = [" · ", words.until, " ", moment(invite.expires_at)];
    return h(
      "li",
      {},
      h("div", { class: "row-main" }, h("bdi", { class: "row-title" }, name), h("p", { class: "hint" }, roleNames(invite.roles), ...until, ...by)),
      revoke,
    );
  }

  async #revoke(invite, name) {
    const path = `${this.#path}/${encodeURIComponent(invite.invite_id)}`;
    const question = { title: words.revokeTitle(name), text: words.revokeText, action: words.revoke, danger: true };
    if (!(await ask(question, () => call(path, { method: "DELETE" })))) return;
    this.#invites = this.#invites.filter((one) => one !== invite);
    if (this.#made.dataset.invite === invite.invite_id) {
      this.#made.hidden = true;
      this.#link.value = "";
    }
    this.#draw();
    this.#panel.focus();
    this.#panel.say(words.revoked);
  }
}
