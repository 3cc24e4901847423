/** The workspaces that one belongs to, and going on in another. */

import { byId, h } from "../dom.js";
import { tellOfTheMove } from "../moved.js";
import { Panel, rowButton } from "../panel.js";
import { call } from "../signed_in.js";
import { strings } from "../strings.js";
import { roleNames } from "../wording.js";

const words = strings.account;

export class Workspaces {
  #panel = new Panel("workspaces");
  #list = byId("workspace-list");
  #on;
  #tenants = [];

  /** @param {{found: (name: string | null) => void, switched: () => void}} on */
  constructor(on) {
    this.#on = on;
  }

  load() {
    return this.#panel.load(async () => {
      ({ tenants: this.#tenants } = await call("/auth/tenants"));
      this.#draw();
    });
  }

  #draw() {
    this.#list.replaceChildren(...this.#tenants.map((tenant) => this.#row(tenant)));
    byId("no-workspace").hidden = this.#tenants.length > 0;
    const here = this.#tenants.find(({ current }) => current);
    this.#on.found(here ? nameOf(here) : null);
  }

  #row(tenant) {
    const go = rowButton(words.switchTo, nameOf(tenant), (button) => void this.#panel.run(button, () => this.#switch(tenant)));
    return h(
      "li",
      { "aria-current": tenant.current ? "true" : null },
      h("div", { class: "row-main" }, h("bdi", { class: "row-title" }, nameOf(tenant)), h("p", { class: "hint" }, roleNames(tenant.roles))),
      tenant.current ? h("span", { class: "badge" }, words.here) : go,
    );
  }

  async #switch(tenant) {
    await call("/auth/tenant", { method: "POST", json: { tenant_id: tenant.tenant_id } });
    tellOfTheMove();
    // Known without asking: a list that cannot be had must not make this look as if it had failed.
    this.#tenants = this.#tenants.map((one) => ({ ...one, current: one === tenant }));
    this.#draw();
    this.#panel.focus();
    this.#panel.say(words.switched(nameOf(tenant)));
    this.#on.switched();
  }
}

const nameOf = ({ name, tenant_id: id }) => name || words.unnamed(id);
