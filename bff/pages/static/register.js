/** The page that opens an account: by a form here, or on the identity provider's own page. */

import { ProblemError, request } from "./api.js";
import { busyWhile } from "./busy.js";
import { byId } from "./dom.js";
import { returnTo, withReturnTo } from "./paths.js";
import { pages, strings } from "./strings.js";

const words = strings.register;
const target = returnTo(location.search, "/login", "/register");
const goThere = byId("go-there");
const form = byId("register-form");

byId("sign-in").href = withReturnTo("/login", target);
if (goThere) goThere.href = `${withReturnTo("/auth/sso", target)}&prompt=create`;
if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void busyWhile(byId("submit"), words.busy, () => register());
  });
  byId("again").addEventListener("click", () => show(false));
}

async function register() {
  const { email, full_name: name } = form.elements;
  byId("error").replaceChildren();
  try {
    const json = { email: email.value.trim(), full_name: name.value.trim() };
    const answer = await request("/auth/register", { method: "POST", json });
    // Where the way has been changed since this page was loaded.
    if (answer?.registration_url) location.replace(`${withReturnTo("/auth/sso", target)}&prompt=create`);
    else show(true);
  } catch (problem) {
    if (!(problem instanceof ProblemError)) throw problem;
    byId("error").textContent = sentence(problem);
  }
}

function sentence({ status, detail, retryAfter }) {
  if (status === 404) return words.closed;
  return status === 429 ? words.limited(retryAfter) : detail;
}

/** Shows that the mail is on its way, or the form again. */
function show(sent) {
  const heading = byId("heading");
  heading.textContent = sent ? pages.register.sent : pages.register.title;
  byId("lead").textContent = sent ? pages.register.sentText : pages.register.lead;
  form.hidden = sent;
  byId("again").hidden = !sent;
  if (sent) {
    heading.focus();
    return;
  }
  form.elements.email.focus();
  form.elements.email.select();
}
