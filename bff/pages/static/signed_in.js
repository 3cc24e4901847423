/** The browser's side of a session: leaving when it is over, here and in the other tabs. */

import { ProblemError, request, send } from "./api.js";
import { webAddress, withReturnTo } from "./paths.js";

const LOGIN = "/login";
const ONBOARDING = "/onboarding";
const OVER = ["not_signed_in", "session_ended"];
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("nx-session") : null;

/** `request` for a signed-in page: without a session it leaves for sign-in, without a tenant for onboarding. */
export const call = (path, options) => leavingIfRefused(request(path, options));

/** `send` for a signed-in page, leaving likewise. */
export const callRaw = (path, options) => leavingIfRefused(send(path, options));

async function leavingIfRefused(answer) {
  try {
    return await answer;
  } catch (error) {
    const page = refuge(error);
    if (page === null) throw error;
    location.assign(withReturnTo(page, location.pathname + location.search));
    return new Promise(() => {}); // the page is leaving: nothing that waits for this should run
  }
}

function refuge(error) {
  if (!(error instanceof ProblemError)) return null;
  // The graph server and others may refuse for reasons of their own: signing in again would lead back here.
  if (error.status === 401 && OVER.includes(error.code)) return LOGIN;
  return error.status === 403 && error.code === "tenant_missing" ? ONBOARDING : null;
}

/**
 * Ends the session on the server (`everywhere`: all of the person's), tells the other tabs, leaves.
 * Rejects if the server could not be reached.
 */
export async function signOut({ everywhere = false } = {}) {
  const response = await send("/auth/logout", { method: "POST", json: { everywhere } });
  sessionStorage.clear();
  channel?.postMessage("signed-out");
  location.replace(webAddress(response.headers.get("X-Logout-Url")) ?? LOGIN);
}

/** Leaves when another tab signs out, and never shows a page kept from before. */
export function leaveWithTheOthers() {
  channel?.addEventListener("message", ({ data }) => {
    if (data !== "signed-out") return;
    sessionStorage.clear();
    location.replace(LOGIN);
  });
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) location.reload();
  });
}
