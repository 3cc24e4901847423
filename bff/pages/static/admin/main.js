/** The page for the admins of a workspace; others read why it is not for them. */

import { request } from "../api.js";
import { byId, h } from "../dom.js";
import { onMoved } from "../moved.js";
import { Panel } from "../panel.js";
import { call, leaveWithTheOthers } from "../signed_in.js";
import { strings } from "../strings.js";
import { roleNames } from "../wording.js";
import { Audit } from "./audit.js";
import { Exports } from "./exports.js";
import { Invites } from "./invites.js";
import { Members } from "./members.js";
import { Odoo } from "./odoo.js";

const words = strings.admin;
const refusal = new Panel("refusal");

leaveWithTheOthers();
void begin();

async function begin() {
  try {
    const me = await call("/whoami");
    if (me.tenant_id !== null && me.roles.includes("admin")) show(me);
    else refuse(me);
  } catch (problem) {
    byId("lead").textContent = "";
    refusal.hidden = false;
    byId("refusal-title").textContent = words.notLoaded;
    refusal.fail(problem, () => location.reload());
  }
}

function show(me) {
  byId("lead").textContent = words.signedInAs(me.email ?? me.sub, strings.account.unnamed(me.tenant_id));
  // The number will do where the name cannot be had.
  nameWorkspace(me).catch(() => {});
  byId("board").hidden = false;
  for (const Part of [Members, Invites, Odoo, Exports, Audit]) new Part(me);
  if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
  onMoved(me, leave);
}

async function nameWorkspace(me) {
  const { tenants } = await request("/auth/tenants");
  const name = tenants.find(({ tenant_id: id }) => id === me.tenant_id)?.name;
  if (name) byId("lead").textContent = words.signedInAs(me.email ?? me.sub, name);
}

/** Takes away what another tab has left behind: it would act in the other workspace, or as somebody else. */
function leave() {
  for (const question of document.querySelectorAll("dialog[open]")) question.close();
  byId("board").hidden = true;
  byId("lead").textContent = "";
  byId("moved").replaceChildren(strings.moved, " ", h("a", { href: "/admin" }, words.reload));
}

function refuse({ email, sub, tenant_id: tenant, roles }) {
  const who = email ?? sub;
  byId("lead").textContent = "";
  byId("refusal-text").textContent = tenant === null ? words.noWorkspace(who) : words.refused(who, tenant, roleNames(roles));
  refusal.hidden = false;
}
