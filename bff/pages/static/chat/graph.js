/** The calls to the graph server, through the gateway. */

import { call, callRaw } from "../signed_in.js";
import { roleOf } from "./messages.js";

const ASSISTANT = "agent";
const MARK = "nx_mark";
const THREAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const HISTORY_LIMIT = 10;
const HISTORY_PAGES = 20;

/** How many threads a page of the list has. */
export const LIST_LIMIT = 50;

/** Whether a text can be a thread's id; anything else never becomes part of a path. */
export const isThreadId = (value) => THREAD_ID.test(value ?? "");

const thread = (id, ...rest) => ["/graph/threads", encodeURIComponent(id), ...rest].join("/");
const run = (threadId, runId, act) => thread(threadId, "runs", encodeURIComponent(runId), ...(act ? [act] : []));

/**
 * A page of threads, the newest first. Without their values, which can be large: of these only the words of
 * the first message, where it has parts. As a whole it may hold files.
 */
export const searchThreads = (offset = 0) =>
  call("/graph/threads/search", {
    method: "POST",
    json: {
      metadata: {},
      limit: LIST_LIMIT,
      offset,
      sort_by: "updated_at",
      sort_order: "desc",
      select: ["thread_id", "metadata"],
      extract: { first: "values.messages[0].content[0].text" },
    },
  });

export const createThread = (signal) => call("/graph/threads", { method: "POST", json: {}, signal });

export const nameThread = (id, title) => call(thread(id), { method: "PATCH", json: { metadata: { title } } });

export const deleteThread = (id) => call(thread(id), { method: "DELETE" });

export const threadState = (id, signal) => call(thread(id, "state"), { signal });

/** The checkpoint at which the last thing that a person said had just arrived, or null if it is not kept. */
export async function lastQuestion(id, signal) {
  let before = null;
  for (let page = 0; page < HISTORY_PAGES; page += 1) {
    const json = { limit: HISTORY_LIMIT, ...(before && { before }) };
    const states = await call(thread(id, "history"), { method: "POST", json, signal });
    const found = states.find(({ values, next }) => next?.length > 0 && roleOf(values?.messages?.at(-1) ?? {}) === "human");
    if (found) return found.checkpoint;
    if (states.length < HISTORY_LIMIT) return null;
    before = states.at(-1).checkpoint;
  }
  return null;
}

/** The newest run of a thread if it is still going on, else null. */
export async function activeRun(threadId, signal) {
  const [newest] = (await call(thread(threadId, "runs?limit=1"), { signal })) ?? [];
  return newest && isActive(newest) ? newest.run_id : null;
}

/** The newest run of a thread if it carries `mark`, else null. */
export async function markedRun(threadId, mark, signal) {
  const [newest] = (await call(thread(threadId, "runs?limit=1"), { signal })) ?? [];
  return newest?.metadata?.[MARK] === mark ? newest : null;
}

/** Whether a run is still going on. */
export const runIsActive = async (threadId, runId, signal) => isActive(await call(run(threadId, runId), { signal }));

const isActive = ({ status }) => status === "pending" || status === "running";

/**
 * Starts a run; `input`, `command` or `checkpoint` says with what. `mark` tells it from others, should the answer
 * get lost. Resolves with the streaming response.
 */
export function startRun(threadId, what, mark, signal) {
  const json = {
    assistant_id: ASSISTANT,
    ...what,
    metadata: { [MARK]: mark },
    stream_mode: ["messages-tuple", "values"],
    stream_resumable: true,
    on_disconnect: "continue",
  };
  return callRaw(thread(threadId, "runs", "stream"), { method: "POST", json, signal, headers: { Accept: "text/event-stream" } });
}

/** The stream of a run from just after `lastEventId` on ("-1": from its beginning). */
export const joinRun = (threadId, runId, lastEventId, signal) =>
  callRaw(run(threadId, runId, "stream"), { signal, headers: { Accept: "text/event-stream", "Last-Event-ID": lastEventId } });

export const cancelRun = (threadId, runId) => call(run(threadId, runId, "cancel"), { method: "POST", json: {} });

/** The id of the run a streaming response belongs to, or null. */
export const runIdOf = (response) => /\/runs\/([^/?]+)/.exec(response.headers.get("Content-Location") ?? "")?.[1] ?? null;
