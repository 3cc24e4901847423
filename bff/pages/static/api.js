/** Talking to the gateway: same-origin JSON, every failure one kind of error. */

import { strings } from "./strings.js";

const PATIENCE_MS = 60_000;

/** A refused or failed request. `status` is 0 when no answer came at all. */
export class ProblemError extends Error {
  /** @param {{status: number, code?: string, detail?: string, retryAfter?: number | null, continueUrl?: string | null}} problem */
  constructor({ status, code = "", detail = "", retryAfter = null, continueUrl = null }) {
    super(detail || strings.problem(status));
    this.name = "ProblemError";
    this.status = status;
    this.code = code;
    this.detail = this.message;
    this.retryAfter = retryAfter;
    this.continueUrl = continueUrl;
  }
}

/**
 * One request; resolves with a 2xx response whose body has not been read.
 * @param {string} path
 * @param {{method?: string, json?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 */
export async function send(path, { method = "GET", json, headers = {}, signal } = {}) {
  const init = { method, signal, headers: { Accept: "application/json", ...headers }, credentials: "same-origin", cache: "no-store" };
  if (json !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(json);
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    throw asProblem(error);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Like `send`, but reads the JSON body (null if empty) and gives up after a minute. */
export async function request(path, options = {}) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  const response = await send(path, { ...options, signal });
  let text;
  try {
    text = await response.text();
  } catch (error) {
    throw asProblem(error);
  }
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new ProblemError({ status: response.status, code: "unreadable_answer", detail: strings.unreadable });
  }
}

function asProblem(error) {
  if (error.name === "AbortError") return error;
  return new ProblemError({ status: 0, code: "network_gone", detail: strings.networkGone });
}

async function problemOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // An intermediary's page: the status alone has to do.
  }
  const text = (value) => (typeof value === "string" ? value : "");
  return new ProblemError({
    status: response.status,
    code: text(body?.code),
    detail: text(body?.detail),
    retryAfter: secondsOf(response.headers.get("Retry-After")),
    continueUrl: text(body?.continue_url) || null,
  });
}

function secondsOf(value) {
  if (value === null) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.max(seconds, 0) : null;
}
