/** The sign-in page. */

import { ProblemError, request } from "./api.js";
import { busyWhile } from "./busy.js";
import { byId, h } from "./dom.js";
import { returnTo, webAddress, withReturnTo } from "./paths.js";
import { strings } from "./strings.js";

const target = returnTo(location.search, "/login");
const form = byId("sign-in-form");
const button = byId("sign-in");
const error = byId("error");

byId("sso").href = withReturnTo("/auth/sso", target);
const register = byId("register"); // only where people may open an account themselves
if (register) {
  const { pathname, search } = new URL(register.href);
  register.href = withReturnTo(pathname, target) + search.replace("?", "&");
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void busyWhile(button, strings.login.busy, signIn);
});
void goOnIfSignedIn();

async function goOnIfSignedIn() {
  try {
    const session = await request("/auth/session");
    if (session?.authenticated) goOn(session.tenant_id !== null && session.tenant_id !== undefined);
  } catch {
    // Not knowing is no obstacle to signing in.
  }
}

async function signIn() {
  error.replaceChildren();
  const { email, password, otp } = form.elements;
  const code = otp.value.replace(/\s/g, "");
  try {
    const json = { email: email.value.trim(), password: password.value, ...(code && { otp: code }) };
    const answer = await request("/auth/login", { method: "POST", json });
    goOn(answer?.tenant_status === "ready");
    await new Promise(() => {}); // the page is leaving: the button stays as it is
  } catch (problem) {
    show(problem);
  }
}

function goOn(ready) {
  // Whoever is invited joins a workspace instead of founding one.
  location.replace(ready || target === "/invite" ? target : withReturnTo("/onboarding", target));
}

function show(problem) {
  if (!(problem instanceof ProblemError)) throw problem;
  error.append(sentence(problem));
  const next = problem.status === 403 && webAddress(problem.continueUrl);
  if (next) error.append(" ", h("a", { href: next, rel: "noopener noreferrer" }, strings.login.continueLink));
  if (problem.status === 404) {
    form.hidden = true;
    byId("sso").focus();
  } else if (problem.status === 401) {
    form.elements.otp.value = ""; // it counts once
    form.elements.password.focus();
    form.elements.password.select();
  }
  error.scrollIntoView({ block: "nearest" });
}

function sentence({ status, code, detail, retryAfter }) {
  if (status === 401) return strings.login.refused;
  if (status === 403 && code === "account_action_required") return strings.login.actionRequired;
  if (status === 404) return strings.login.passwordOff;
  if (status === 429) return strings.login.limited(retryAfter);
  if (status === 503) return strings.login.unavailable;
  return detail;
}
