/** The menu of whoever is signed in: who they are, where they can go. */

import { byId, h } from "./dom.js";
import { webAddress } from "./paths.js";
import { call } from "./signed_in.js";
import { strings } from "./strings.js";

const words = strings.chat;

/**
 * Fills the menu at the top of a page.
 * @param {{email?: string, sub?: string, tenant_id?: number | null, roles?: string[]}} person  what /whoami says
 */
export function showPerson({ email, sub, tenant_id: tenant, roles }) {
  const who = email ?? sub ?? "";
  const where = h("span", { class: "where" }, tenant == null ? "" : words.tenant(tenant));
  byId("identity").replaceChildren(h("span", { class: "who", title: who }, who), where);
  byId("me-menu").querySelector(".menu-who").textContent = who;
  byId("to-admin").hidden = !roles?.includes("admin");
  if (tenant == null) return;
  // Neither is worth a word where it cannot be had: the number and the other links will do.
  nameWorkspace(where).catch(() => {});
  offerOdoo().catch(() => {});
}

async function nameWorkspace(place) {
  const { tenants } = await call("/auth/tenants");
  const name = tenants.find(({ current }) => current)?.name;
  if (name) place.textContent = name;
}

async function offerOdoo() {
  const { odoo } = await call("/session/odoo_info");
  const address = odoo.ready ? webAddress(odoo.login_url) : null;
  if (address === null) return;
  byId("to-odoo").href = address;
  byId("to-odoo").hidden = false;
}
