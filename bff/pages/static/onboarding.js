/** The page that watches a workspace come into being. */

import { ProblemError } from "./api.js";
import { byId, h } from "./dom.js";
import { returnTo } from "./paths.js";
import { call, leaveWithTheOthers, signOut } from "./signed_in.js";
import { strings } from "./strings.js";

const words = strings.onboarding;
const PHASES = Object.keys(words.phases);
const POLL_MS = 2000;
const READY_PAUSE_MS = 1200;
const EVENT_ERRORS = 3;

const target = returnTo(location.search, "/login", "/onboarding");
const view = {
  lead: byId("lead"),
  form: byId("start-form"),
  start: byId("start"),
  phases: byId("phases"),
  error: byId("error"),
  retry: byId("retry"),
  goOn: byId("continue"),
  announcer: byId("announcer"),
};
const shown = new Map(PHASES.map((name) => [name, "pending"]));
let stopFollowing = () => {};
let leaving = false;

view.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("workspace-name").value.trim();
  void begin(view.start, name ? { workspace_name: name } : {});
});
view.retry.addEventListener("click", () => void begin(view.retry, {}));
view.goOn.addEventListener("click", () => void moveOn());
byId("sign-out").addEventListener("click", () => signOut().catch(showProblem));
leaveWithTheOthers();
void look();

async function look() {
  try {
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

async function begin(button, json) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const label = button.textContent;
  button.setAttribute("aria-disabled", "true");
  button.textContent = words.starting;
  view.error.replaceChildren();
  try {
    await call("/onboarding/first_login", { method: "POST", json });
    await look();
  } catch (problem) {
    showProblem(problem);
  } finally {
    button.removeAttribute("aria-disabled");
    button.textContent = label;
  }
}

const inProgress = ({ status }) => !["none", "ready", "error"].includes(status);

/** Follows the events; when they do not come, asks every two seconds instead. */
function follow() {
  stopFollowing();
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
    if (source.readyState === EventSource.CLOSED || errors >= EVENT_ERRORS) poll();
  });
  stopFollowing = () => source.close();
}

function poll() {
  stopFollowing();
  const timer = setInterval(async () => {
    try {
      take(await call("/onboarding/status"));
    } catch (problem) {
      if (problem.status !== 0 && problem.status < 500) {
        stopFollowing();
        showProblem(problem);
        offer(view.retry);
      }
    }
  }, POLL_MS);
  stopFollowing = () => clearInterval(timer);
}

function take(status) {
  show(status);
  if (!inProgress(status)) stopFollowing();
}

function show(status) {
  if (leaving) return;
  view.form.hidden = status.status !== "none";
  view.phases.hidden = status.status === "none";
  showPhases(status.phases ?? []);
  if (status.status === "none") {
    view.lead.textContent = words.fresh;
    offer(null);
  } else if (status.status === "error") {
    view.lead.textContent = words.failed;
    view.error.textContent = status.error || words.failedWithoutReason;
    offer(view.retry);
  } else if (status.status === "ready") {
    showReady(status);
  } else {
    view.lead.textContent = words.working;
    view.error.replaceChildren();
    offer(null);
  }
}

function showReady({ error }) {
  view.lead.textContent = error ? words.readyWithNote : words.ready;
  view.error.textContent = error ?? "";
  view.error.classList.remove("error");
  offer(error ? view.goOn : null);
  if (error) return;
  view.announcer.textContent = words.ready;
  setTimeout(() => void moveOn(), READY_PAUSE_MS);
}

function showPhases(phases) {
  const changes = [];
  const known = new Map(phases.map((phase) => [phase.name, phase]));
  const names = [...PHASES, ...[...known.keys()].filter((name) => !PHASES.includes(name))];
  view.phases.replaceChildren(
    ...names.map((name) => {
      const { state, detail } = known.get(name) ?? { state: "pending", detail: null };
      if (known.has(name) && shown.get(name) !== state) changes.push(words.announce(title(name), words.states[state] ?? state));
      shown.set(name, state);
      return phaseItem(name, state, detail);
    }),
  );
  if (changes.length > 0) view.announcer.textContent = changes.join(". ");
}

function phaseItem(name, state, detail) {
  return h(
    "li",
    { "data-phase": name, "data-state": state, "aria-current": state === "running" ? "step" : null },
    h("span", { class: "phase-symbol", "aria-hidden": "true" }, words.symbols[state] ?? "○"),
    h("span", { class: "phase-name" }, title(name), ...(detail ? [h("span", { class: "phase-detail" }, String(detail))] : [])),
    h("span", { class: "phase-state" }, words.states[state] ?? state),
  );
}

const title = (name) => words.phases[name] ?? name;

function offer(button) {
  view.retry.hidden = button !== view.retry;
  view.goOn.hidden = button !== view.goOn;
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
  view.phases.hidden = true;
  view.lead.hidden = true;
  offer(null);
}
