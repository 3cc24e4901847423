/** The list of one's own sessions, each of which can be ended. */

import { ask } from "../ask.js";
import { byId, h } from "../dom.js";
import { Panel, rowButton } from "../panel.js";
import { call } from "../signed_in.js";
import { strings } from "../strings.js";
import { deviceName, moment } from "../wording.js";

const words = strings.account;

export class Sessions {
  #panel = new Panel("sessions");
  #list = byId("session-list");
  #sessions = [];

  load() {
    return this.#panel.load(async () => {
      this.#sessions = await call("/auth/sessions");
      this.#draw();
    });
  }

  #draw() {
    const rows = this.#sessions.toSorted((one, other) => Number(other.current) - Number(one.current));
    this.#list.replaceChildren(...rows.map((session) => this.#row(session)));
  }

  #row(session) {
    const { current, device, created_at: begun } = session;
    const name = deviceName(device);
    const end = rowButton(words.endSession, name, (button) => void this.#panel.run(button, () => this.#end(session, name)));
    return h(
      "li",
      { "aria-current": current ? "true" : null },
      h("div", { class: "row-main" }, h("bdi", { class: "row-title", title: device }, name), h("p", { class: "hint" }, words.begun, " ", moment(begun))),
      current ? h("span", { class: "badge" }, words.thisSession) : end,
    );
  }

  async #end(session, name) {
    const question = { title: words.endTitle(name), text: words.endText, action: words.endSession, danger: true };
    if (!(await ask(question, () => call(`/auth/sessions/${encodeURIComponent(session.id)}`, { method: "DELETE" })))) return;
    this.#sessions = this.#sessions.filter((one) => one !== session);
    this.#draw();
    this.#panel.focus();
    this.#panel.say(words.sessionEnded(name));
  }
}
