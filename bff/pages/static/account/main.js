/** The page of one's own account: who I am, where, and from which devices. */

import { ask } from "../ask.js";
import { byId } from "../dom.js";
import { onMoved } from "../moved.js";
import { Panel } from "../panel.js";
import { webAddress } from "../paths.js";
import { call, leaveWithTheOthers, signOut } from "../signed_in.js";
import { strings } from "../strings.js";
import { roleNames } from "../wording.js";
import { Sessions } from "./sessions.js";
import { Workspaces } from "./workspaces.js";

const words = strings.account;
const person = new Panel("person");
const odoo = new Panel("odoo");
const sessions = new Sessions();
const workspaces = new Workspaces({ found: showWorkspace, switched: showTheRest });
let noMoreMoves = () => {};

byId("sign-out").addEventListener("click", ({ currentTarget }) => void person.run(currentTarget, signOut));
byId("sign-out-everywhere").addEventListener("click", ({ currentTarget }) => void person.run(currentTarget, signOutEverywhere));
leaveWithTheOthers();
void workspaces.load();
showTheRest();

function showTheRest() {
  void person.load(showPerson);
  void odoo.load(showOdoo);
  void sessions.load();
}

async function showPerson() {
  const me = await call("/whoami");
  const { email, sub, roles } = me;
  noMoreMoves();
  noMoreMoves = onMoved(me, () => location.reload());
  byId("email").textContent = email ?? sub;
  byId("roles").textContent = roleNames(roles) || words.noRoles;
  byId("to-admin").hidden = !roles.includes("admin");
}

function showWorkspace(name) {
  byId("workspace").textContent = name ?? words.noWorkspace;
}

async function showOdoo() {
  const { odoo: found } = await call("/session/odoo_info");
  const state = found.ready ? words.odooReady : found.exists ? words.odooNotReady : words.odooMissing;
  byId("odoo-state").textContent = found.error ?? state;
  const link = byId("open-odoo");
  const address = found.exists ? webAddress(found.login_url) : null;
  link.hidden = address === null;
  if (address !== null) link.href = address;
}

const signOutEverywhere = () =>
  ask({ title: words.everywhereTitle, text: words.everywhereText, action: words.everywhere, danger: true }, () => signOut({ everywhere: true }));
