/** The calls to the graph server, through the gateway. */

import { call, callRaw } from "../signed_in.js";

const ASSISTANT = "agent";
const THREAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const LIST_LIMIT = 50;

/** Whether a text can be a thread's id; anything else never becomes part of a path. */
export const isThreadId = (value) => THREAD_ID.test(value ?? "");

const thread = (id, ...rest) => ["/graph/threads", encodeURIComponent(id), ...rest].join("/");
const run = (threadId, runId, act) => thread(threadId, "runs", encodeURIComponent(runId), ...(act ? [act] : []));

/** The newest threads, without their values, which can be large: of these only the first message. */
export const searchThreads = () =>
  call("/graph/threads/search", {
    method: "POST",
    json: {
      metadata: {},
      limit: LIST_LIMIT,
      sort_by: "updated_at",
      sort_order: "desc",
      select: ["thread_id", "metadata"],
      extract: { first: "values.messages[0].content" },
    },
  });

export const createThread = (signal) => call("/graph/threads", { method: "POST", json: {}, signal });

export const nameThread = (id, title) => call(thread(id), { method: "PATCH", json: { metadata: { title } } });

export const deleteThread = (id) => call(thread(id), { method: "DELETE" });

export const threadState = (id, signal) => call(thread(id, "state"), { signal });

/** The newest run of a thread if it is still going on, else null. */
export async function activeRun(threadId, signal) {
  const [newest] = (await call(thread(threadId, "runs?limit=1"), { signal })) ?? [];
  return newest && isActive(newest) ? newest.run_id : null;
}

/** Whether a run is still going on. */
export const runIsActive = async (threadId, runId, signal) => isActive(await call(run(threadId, runId), { signal }));

const isActive = ({ status }) => status === "pending" || status === "running";

/** Starts a run; `input` or `command` says with what. Resolves with the streaming response. */
export function startRun(threadId, what, signal) {
  const json = {
    assistant_id: ASSISTANT,
    ...what,
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
