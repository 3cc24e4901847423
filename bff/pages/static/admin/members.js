/** The members of the workspace: their roles, their sessions, their going. */

import { ask } from "../ask.js";
import { byId, h } from "../dom.js";
import { Panel, rowButton } from "../panel.js";
import { withReturnTo } from "../paths.js";
import { call } from "../signed_in.js";
import { strings } from "../strings.js";
import { moment, roleNames } from "../wording.js";
import { chosenRoles, roleBoxes } from "./roles.js";

const words = strings.admin.members;

export class Members {
  #panel = new Panel("members");
  #list = byId("member-list");
  #more = byId("more-members");
  #me;
  #path;
  #members = [];
  #next = null;

  constructor(me) {
    this.#me = me;
    this.#path = `/tenants/${me.tenant_id}/members`;
    this.#more.addEventListener("click", () => void this.#panel.run(this.#more, () => this.#goOn()));
    void this.#panel.load(() => this.#page());
  }

  async #page() {
    const after = this.#next === null ? "" : `?after=${encodeURIComponent(this.#next)}`;
    const { members, next } = await call(this.#path + after);
    this.#members.push(...members);
    this.#next = next;
    this.#more.hidden = next === null;
    this.#draw();
  }

  async #goOn() {
    const known = this.#members.length;
    await this.#page();
    this.#panel.say(words.loaded(this.#members.length - known));
    this.#list.children[known]?.querySelector("button").focus();
  }

  #draw(focused = null) {
    this.#list.replaceChildren(...this.#members.map((member) => this.#row(member)));
    this.#list.children[this.#members.indexOf(focused)]?.querySelector("button").focus();
  }

  #row(member) {
    const { roles, joined_at: joined } = member;
    const name = nameOf(member);
    const button = (label, work) => rowButton(label, name, (pressed) => void this.#panel.run(pressed, () => work.call(this, member)));
    return h(
      "li",
      {},
      h(
        "div",
        { class: "row-main" },
        h("bdi", { class: "row-title" }, name),
        ...(this.#isMe(member) ? [" ", h("span", { class: "badge" }, words.you)] : []),
        h("p", { class: "hint" }, roleNames(roles), " · ", words.joined, " ", moment(joined)),
      ),
      h("div", { class: "bar" }, button(words.changeRoles, this.#changeRoles), button(words.endSessions, this.#endSessions), button(words.remove, this.#remove)),
    );
  }

  async #changeRoles(member) {
    let changed = member;
    const own = this.#isMe(member) ? words.own : words.rolesText;
    const question = { title: words.rolesOf(nameOf(member)), text: own, action: words.saveRoles, fields: [roleBoxes(member.roles)] };
    const done = await ask(question, async (data) => {
      changed = await call(this.#pathOf(member), { method: "PATCH", json: { roles: chosenRoles(data) } });
    });
    if (!done || this.#hasLeft(member)) return;
    this.#members = this.#members.map((one) => (one === member ? changed : one));
    this.#draw(changed);
    this.#panel.say(words.rolesChanged(nameOf(changed), roleNames(changed.roles)));
  }

  async #endSessions(member) {
    const name = nameOf(member);
    const question = { title: words.endTitle(name), text: this.#isMe(member) ? words.own : words.endText, action: words.endSessions, danger: true };
    const done = await ask(question, () => call(`${this.#pathOf(member)}/sessions`, { method: "DELETE" }));
    if (done && !this.#hasLeft(member)) this.#panel.say(words.sessionsEnded(name));
  }

  async #remove(member) {
    const name = nameOf(member);
    const question = { title: words.removeTitle(name), text: words.removeText, action: words.remove, danger: true };
    const done = await ask(question, () => call(this.#pathOf(member), { method: "DELETE" }));
    if (!done || this.#hasLeft(member)) return;
    this.#members = this.#members.filter((one) => one !== member);
    this.#draw();
    this.#panel.focus();
    this.#panel.say(words.removed(name));
  }

  #pathOf = ({ user }) => `${this.#path}/${encodeURIComponent(user)}`;

  #isMe = ({ user }) => user === this.#me.sub;

  /** What ends one's own sessions ends this page too. */
  #hasLeft(member) {
    if (!this.#isMe(member)) return false;
    location.assign(withReturnTo("/login", "/account"));
    return true;
  }
}

const nameOf = ({ email, user }) => email ?? user;
