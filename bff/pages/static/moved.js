/** Noticing that somebody else has signed in in another tab, or that one has gone on in another workspace. */

import { ProblemError, request } from "./api.js";
import { strings } from "./strings.js";

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("nx-moved") : null;

/** Whether this browser is signed in as somebody else or elsewhere by now. To be signed out is another matter. */
async function hasMoved({ sub, tenant_id: tenant }, signal) {
  const now = await request("/auth/session", { signal });
  return now?.authenticated === true && (now.sub !== sub || now.tenant_id !== tenant);
}

/** Has the other tabs look. */
export function tellOfTheMove() {
  channel?.postMessage("moved");
}

/** Rejects with a ProblemError if a page that was made for `person` would act as somebody else, or elsewhere. */
export async function stillHere(person) {
  if (await hasMoved(person)) throw new ProblemError({ status: 409, code: "moved", detail: strings.moved });
}

/**
 * Looks when the page is come back to or another tab tells of a move, and calls `moved` at the first, once.
 * @param {{sub: string, tenant_id: number | null}} person  who the page was made for
 * @param {() => void} moved
 * @returns {() => void} ends the looking
 */
export function onMoved(person, moved) {
  const done = new AbortController();
  const { signal } = done;

  async function look() {
    // Who cannot be asked for now is asked for next time.
    const found = await hasMoved(person, signal).catch(() => false);
    if (signal.aborted || !found) return;
    done.abort();
    moved();
  }

  addEventListener("focus", () => void look(), { signal });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void look(), { signal });
  channel?.addEventListener("message", () => void look(), { signal });
  return () => done.abort();
}
