/** The page of an invitation: signs the person in first, then joins on a click. */

import { request } from "./api.js";
import { byId } from "./dom.js";
import { withReturnTo } from "./paths.js";
import { call, leaveWithTheOthers, signOut } from "./signed_in.js";
import { strings } from "./strings.js";

const words = strings.invite;
const KEPT = "nx-invite";
const HERE = "/invite";
const lead = byId("lead");
const error = byId("error");
const accept = byId("accept");
const other = byId("sign-out");

const token = takeToken();
accept.addEventListener("click", () => void join());
other.addEventListener("click", () => signOut().catch(showProblem));
addEventListener("hashchange", () => location.reload());
leaveWithTheOthers();
void begin();

/** From the fragment, which no server sees; kept for this tab over the sign-in, and out of the history. */
function takeToken() {
  const given = location.hash.slice(1);
  if (given === "") return sessionStorage.getItem(KEPT);
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", HERE);
  return given;
}

async function begin() {
  if (token === null) {
    lead.textContent = words.incomplete;
    return;
  }
  try {
    const session = await request("/auth/session");
    if (!session?.authenticated) {
      location.replace(withReturnTo("/login", HERE));
      return;
    }
    lead.textContent = words.signedInAs(session.email);
    accept.hidden = other.hidden = false;
  } catch (problem) {
    showProblem(problem);
  }
}

async function join() {
  if (accept.getAttribute("aria-disabled") === "true") return;
  accept.setAttribute("aria-disabled", "true");
  error.replaceChildren();
  try {
    await call("/invites/redeem", { method: "POST", json: { token } });
    sessionStorage.removeItem(KEPT);
    location.replace("/");
  } catch (problem) {
    accept.removeAttribute("aria-disabled");
    showProblem(problem);
  }
}

function showProblem(problem) {
  error.replaceChildren(problem.message);
}
