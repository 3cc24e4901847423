/**
 * The gateway's session, for any user interface on its origin (docs/ui.md). Needs nothing else.
 *
 *   import { onSignedOut, session, signOut, withSession } from "/static/session.js";
 *
 * Imported from another origin, while a UI is developed there, it speaks to the gateway it came from.
 */

const HOME = new URL("/", import.meta.url);
const AT_HOME = HOME.origin === location.origin;
const ours = (path) => (AT_HOME ? path : new URL(path, HOME).href);
const credentials = AT_HOME ? "same-origin" : "include";
const CHANNEL = "nx-session";
const SIGNED_OUT = "signed-out";
const LONGEST_TIMER_MS = 86_400_000;
const AGAIN_MS = 10_000;
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(CHANNEL) : null;
const listeners = new Set();
let known = null; // the last answer that told of a session
let told = false; // of the end of the one before
let skew = 0; // milliseconds that the gateway's clock is ahead of this one
let renewing = null;

/**
 * Who is signed in; never renews anything. Rejects where the gateway cannot be reached.
 * @returns {Promise<{authenticated: boolean, sub?: string, email?: string, tenant_id?: number | null,
 *   roles?: string[], access_expires_at?: number, session_expires_at?: number}>} times in seconds since 1970
 */
export async function session() {
  const answer = await fetch(ours("/auth/session"), { credentials, cache: "no-store" });
  if (!answer.ok) throw new Error(`the session cannot be asked for (${answer.status})`);
  const date = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isFinite(date)) skew = date - Date.now();
  const found = await answer.json();
  if (found.authenticated) {
    known = found;
    told = false;
  } else if (known !== null) {
    over("ended");
  }
  return found;
}

/**
 * `fetch`, with one try to renew the session on a 401. Answers with the 401 if it is over.
 * A body that is a stream is sent once only.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 */
export async function withSession(input, init) {
  const { origin } = new URL(input instanceof Request ? input.url : input, document.baseURI);
  if (origin !== HOME.origin) return fetch(input, init);
  const request = new Request(input, AT_HOME ? init : { credentials, ...init });
  const again = init?.body instanceof ReadableStream ? null : request.clone();
  const answer = await fetch(request);
  if (answer.status !== 401 || !(await renew())) return answer;
  return again === null ? answer : fetch(again);
}

/**
 * Renews the session now, once for all who ask meanwhile. False if it is over; then listeners hear of it.
 * Rejects where nobody can say.
 * @returns {Promise<boolean>}
 */
export function renew() {
  renewing ??= ask().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function ask() {
  const answer = await fetch(ours("/auth/refresh"), { method: "POST", credentials, cache: "no-store" });
  if (answer.ok) {
    known = { ...known, authenticated: true, ...(await answer.json()) };
    told = false;
    return true;
  }
  if (answer.status !== 401) throw new Error(`the session cannot be renewed now (${answer.status})`);
  over("ended");
  return false;
}

/**
 * Calls `listener` once the session is over: "here" or "elsewhere" (somebody signed out in this tab, in
 * another one), or "ended". Returns what takes the listener away again.
 * @param {(why: "here" | "elsewhere" | "ended") => void} listener
 */
export function onSignedOut(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Ends the session, in all tabs; `everywhere`: all sessions of the person. Rejects if that failed.
 * @param {{everywhere?: boolean}} [options]
 * @returns {Promise<string | null>} where to go to end the identity provider's own session too
 */
export async function signOut({ everywhere = false } = {}) {
  const answer = await fetch(ours("/auth/logout"), {
    method: "POST",
    credentials,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ everywhere }),
  });
  if (!answer.ok) throw new Error(`signing out failed (${answer.status})`);
  channel?.postMessage(SIGNED_OUT);
  over("here");
  return answer.headers.get("X-Logout-Url");
}

/** Where to sign in and come back to this page. */
export function signInUrl() {
  const here = AT_HOME ? location.pathname + location.search + location.hash : location.href;
  return ours(`/login?return_to=${encodeURIComponent(here)}`);
}

/**
 * Calls `tick` with the seconds left, every second of the last `from` seconds of the session. At its end
 * the gateway is asked, and listeners hear if it is over. Returns what stops it.
 * @param {(seconds: number) => void} tick
 * @param {{from?: number}} [options]
 */
export function countdown(tick, { from = 300 } = {}) {
  let timer = 0;
  let stopped = false;
  const later = (ms) => {
    if (!stopped) timer = setTimeout(look, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
  };
  async function look() {
    const ends = known?.session_expires_at;
    const left = ends === undefined ? 0 : Math.ceil((ends * 1000 - skew - Date.now()) / 1000);
    if (left > from) return later((left - from) * 1000);
    if (left > 0) {
      tick(left);
      return later(1000);
    }
    // Not known yet, or over: perhaps another tab has begun a new one.
    const found = await session().catch(() => null);
    if (found === null) later(AGAIN_MS);
    else if (found.authenticated) later(ends === undefined ? 0 : AGAIN_MS);
  }
  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

function over(why) {
  if (told) return;
  told = true;
  known = null;
  for (const listener of [...listeners]) listener(why);
}

channel?.addEventListener("message", ({ data }) => {
  if (data === SIGNED_OUT) over("elsewhere");
});

// A tab that slept, or a page kept from before, has heard nothing.
function look() {
  if (known !== null) session().catch(() => {});
}
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) look();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") look();
});
