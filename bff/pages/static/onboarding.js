/** The page that watches a workspace come into being, and looks after its Odoo afterwards. */

import { ProblemError } from "./api.js";
import { busyWhile } from "./busy.js";
import { byId } from "./dom.js";
import { draftOf, keepDraft } from "./drafts.js";
import { returnTo, webAddress } from "./paths.js";
import { Phases } from "./phases.js";
import { call, leaveWithTheOthers, signOut } from "./signed_in.js";
import { strings } from "./strings.js";

const words = strings.onboarding;
const POLL_MS = 2000;
const READY_PAUSE_MS = 1200;
const EVENT_ERRORS = 3;
const DRAFT = "workspace";

const target = returnTo(location.search, "/login", "/onboarding");
const view = {
  lead: byId("lead"),
  form: byId("start-form"),
  name: byId("workspace-name"),
  start: byId("start"),
  link: byId("link"),
  error: byId("error"),
  retry: byId("retry"),
  goOn: byId("continue"),
  odoo: byId("odoo"),
  verify: byId("verify"),
  verified: byId("verified"),
  announcer: byId("announcer"),
};
const phases = new Phases(byId("phases"), (text) => (view.announcer.textContent = text));
/** Whoever was sent here, or has watched, is taken on; whoever came to look stays. */
let movesOn = new URLSearchParams(location.search).has("return_to");
let stopFollowing = () => {};
let leaving = false;
let owner = null;

view.name.addEventListener("input", keepName);
view.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = view.name.value.trim();
  void begin(view.start, name ? { workspace_name: name } : {});
});
view.retry.addEventListener("click", () => void begin(view.retry, {}));
view.goOn.addEventListener("click", () => void moveOn());
view.verify.addEventListener("click", () => void busyWhile(view.verify, words.verifying, verify));
byId("sign-out").addEventListener("click", () => signOut().catch(showProblem));
leaveWithTheOthers();
void look();

/** Brings back what this person had typed before. */
async function meet() {
  const { email, sub } = await call("/auth/session");
  owner = email ?? sub ?? null;
  if (view.name.value === "") view.name.value = owner === null ? "" : draftOf(DRAFT, owner);
  else keepName();
}

function keepName() {
  if (owner !== null) keepDraft(DRAFT, view.name.value, owner);
}

async function look() {
  try {
    if (owner === null) await meet();
    const status = await call("/onboarding/status");
    // A workspace that has its name already needs no question: go ahead.
    if (status.status === "none" && status.tenant_id != null) {
      offer(view.retry);
      await begin(view.retry, {});
      return;
    }
    show(status);
    if (inProgress(status)) follow();
  } catch (problem) {
    showProblem(problem);
    offer(view.retry);
  }
}

const begin = (button, json) =>
  busyWhile(button, words.starting, async () => {
    view.error.replaceChildren();
    try {
      await call("/onboarding/first_login", { method: "POST", json });
      keepDraft(DRAFT, "");
      await look();
    } catch (problem) {
      showProblem(problem);
    }
  });

const inProgress = ({ status }) => !["none", "ready", "error"].includes(status);

/** Follows the events; when they do not come, asks every two seconds instead. */
function follow() {
  stopFollowing();
  movesOn = true;
  const source = new EventSource("/onboarding/events");
  let errors = 0;
  const onDocument = ({ data }) => {
    errors = 0;
    take(JSON.parse(data));
  };
  source.addEventListener("message", onDocument);
  source.addEventListener("status", onDocument);
  source.addEventListener("error", () => {
    errors += 1;
    connected(false);
    if (source.readyState === EventSource.CLOSED || errors >= EVENT_ERRORS) poll();
  });
  stopFollowing = () => source.close();
}

/** Asks once more some time after each answer, so that none overtakes another. */
function poll() {
  stopFollowing();
  let stopped = false;
  let timer = setTimeout(ask, POLL_MS);
  stopFollowing = () => {
    stopped = true;
    clearTimeout(timer);
  };

  async function ask() {
    try {
      const status = await call("/onboarding/status");
      if (!stopped) take(status);
    } catch (problem) {
      if (stopped) return;
      if (problem.status === 0 || problem.status >= 500) {
        connected(false);
      } else {
        stopFollowing();
        connected(true);
        showProblem(problem);
        offer(view.retry);
      }
    }
    if (!stopped) timer = setTimeout(ask, POLL_MS);
  }
}

function take(status) {
  connected(true);
  show(status);
  if (!inProgress(status)) stopFollowing();
}

function connected(yes) {
  view.link.textContent = yes ? "" : words.reconnecting;
}

function show(status) {
  if (leaving) return;
  view.form.hidden = status.status !== "none";
  phases.show(status.status === "none" ? null : (status.phases ?? []));
  view.error.textContent = status.error ?? "";
  view.error.classList.toggle("error", status.status !== "ready");
  if (status.status === "none") {
    view.lead.textContent = words.fresh;
    offer(null);
  } else if (status.status === "error") {
    view.lead.textContent = words.failed;
    view.error.textContent ||= words.failedWithoutReason;
    offer(view.retry);
    void offerOdoo();
  } else if (status.status === "ready") {
    showReady(status);
  } else {
    view.lead.textContent = words.working;
    offer(null);
  }
}

function showReady({ error, attempt }) {
  const total = attempt > 1 ? null : phases.total; // in between it lay where it was
  view.lead.textContent = error ? words.readyWithNote : total ? words.readyIn(total) : words.ready;
  if (movesOn && !error) {
    offer(null);
    view.announcer.textContent = words.ready;
    setTimeout(() => void moveOn(), READY_PAUSE_MS);
    return;
  }
  offer(view.goOn);
  void offerOdoo();
}

/** Shows what can be done with the workspace's Odoo, if there is one. */
async function offerOdoo() {
  try {
    const { odoo } = await call("/session/odoo_info");
    const address = odoo.exists ? webAddress(odoo.login_url) : null;
    view.verify.hidden = !odoo.exists;
    view.odoo.hidden = address === null;
    if (address !== null) view.odoo.href = address;
  } catch (problem) {
    showProblem(problem);
  }
}

async function verify() {
  view.verified.textContent = "";
  view.verified.classList.remove("error");
  try {
    const { smoke, error } = await call("/onboarding/verify_odoo");
    view.verified.textContent = smoke ? words.verified : (error ?? words.notVerified);
    view.verified.classList.toggle("error", !smoke);
  } catch (problem) {
    showProblem(problem);
  }
}

function offer(button) {
  view.retry.hidden = button !== view.retry;
  view.goOn.hidden = button !== view.goOn;
  view.odoo.hidden = view.verify.hidden = true;
  view.verified.textContent = "";
}

async function moveOn() {
  if (leaving) return;
  leaving = true;
  try {
    if (!(await hasTenant())) await call("/auth/refresh", { method: "POST" });
    if (await hasTenant()) {
      location.replace(target);
      return;
    }
    view.error.textContent = words.notAttached;
  } catch (problem) {
    showProblem(problem);
  }
  leaving = false;
  offer(view.goOn);
}

async function hasTenant() {
  const { tenant_id: tenant } = await call("/auth/session");
  return tenant !== null && tenant !== undefined;
}

function showProblem(problem) {
  if (!(problem instanceof ProblemError)) throw problem;
  const closed = problem.code === "onboarding_closed";
  view.error.classList.add("error");
  view.error.textContent = closed ? problem.detail || words.closed : problem.detail;
  if (!closed) return;
  view.form.hidden = true;
  phases.show(null);
  view.lead.hidden = true;
  offer(null);
}
