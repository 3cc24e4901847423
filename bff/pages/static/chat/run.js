/** One run followed to its end, through broken connections. */

import { ProblemError } from "../api.js";
import { events } from "../sse.js";
import { strings } from "../strings.js";
import { joinRun, markedRun, runIdOf, runIsActive, startRun } from "./graph.js";

const TRIES = 5;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const SILENCE_MS = 30_000; // the graph server sends a heartbeat every 5 s
const AS_WANTED = ["pending", "running", "success"]; // what broke off is begun once more

/** The connection broke and all tries to restore it failed; `resume` continues from there. */
export class LostConnection extends Error {}

export class Run {
  #on;
  #threadId = null;
  #lastEventId = "-1";
  #failures = 0;
  #abort = new AbortController();

  /** The run's id, once known. */
  id = null;

  /**
   * @param {{accepted?: () => void, event: (name: string, data: any) => void, connected: (yes: boolean) => void}} on
   */
  constructor(on) {
    this.#on = on;
  }

  /**
   * Starts the run and follows it. Fails with a ProblemError before `on.accepted` if it is not known to have begun.
   * @param {string} threadId
   * @param {object} what
   * @param {string} mark  its own, by which it is found where it began but the answer got lost
   * @param {boolean} again  whether it may have begun before
   */
  async start(threadId, what, mark, again) {
    this.#threadId = threadId;
    const before = again ? await markedRun(threadId, mark, this.signal) : null;
    this.id = before && AS_WANTED.includes(before.status) ? before.run_id : null;
    const response = this.id === null ? await this.#start(what, mark) : null;
    this.#on.accepted?.();
    await this.#follow(response);
  }

  /** The streaming response, or null where none came although the run began: its id is known then. */
  async #start(what, mark) {
    try {
      const response = await startRun(this.#threadId, what, mark, this.signal);
      this.id = runIdOf(response);
      return response;
    } catch (error) {
      if (this.left || !isUncertain(error)) throw error;
      const begun = await markedRun(this.#threadId, mark, this.signal).catch(() => null); // then nobody knows
      if (begun === null) throw error;
      this.id = begun.run_id;
      return null;
    }
  }

  /** Follows a run that was begun before, from where it was left (or its beginning). */
  async resume(threadId, id) {
    this.#threadId = threadId;
    this.id = id;
    this.#failures = 0;
    await this.#follow(null);
  }

  /** Stops listening; the run itself goes on. */
  leave() {
    this.#abort.abort();
  }

  /** Aborted by `leave`. */
  get signal() {
    return this.#abort.signal;
  }

  /** Whether `leave` was called: what fails afterwards means nothing. */
  get left() {
    return this.signal.aborted;
  }

  async #follow(response) {
    for (;;) {
      try {
        response ??= await this.#join();
        this.#on.connected(true);
        for await (const event of received(response)) this.#take(event);
        if (!(await this.#goesOn())) return;
      } catch (error) {
        if (this.left || !passes(error)) throw error;
        if (this.id === null) throw new LostConnection();
        await this.#pause(error.retryAfter);
        response = null;
        continue;
      }
      await this.#pause(null);
      response = null;
    }
  }

  /** The stream's answer has to begin in time, too. */
  async #join() {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new DOMException("", "TimeoutError")), SILENCE_MS);
    try {
      return await joinRun(this.#threadId, this.id, this.#lastEventId, AbortSignal.any([this.signal, limit.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  #take({ event, data, id }) {
    if (this.left) return;
    this.#failures = 0;
    if (id !== "") this.#lastEventId = id;
    const value = parse(data);
    if (event === "metadata") this.id ??= value.run_id;
    this.#on.event(event, value);
  }

  /** A stream can end cleanly because a server on the way was stopped: only the run itself knows. */
  async #goesOn() {
    try {
      return this.id !== null && (await runIsActive(this.#threadId, this.id, this.signal));
    } catch (error) {
      if (this.left || passes(error)) throw error;
      return false;
    }
  }

  async #pause(retryAfter) {
    this.#failures += 1;
    if (this.#failures > TRIES) throw new LostConnection();
    this.#on.connected(false);
    const growing = Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS);
    await sleep(Math.max(growing, (retryAfter ?? 0) * 1000), this.signal);
  }
}

/** The events of a response; a break or a long silence of the connection becomes a ProblemError. */
async function* received(response) {
  const silence = new AbortController();
  let timer;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  const heard = new TransformStream({
    transform(chunk, controller) {
      listen();
      controller.enqueue(chunk);
    },
  });
  listen();
  try {
    yield* events(response.body.pipeThrough(heard, { signal: silence.signal }));
  } catch {
    throw new ProblemError({ status: 0, code: "stream_broken", detail: strings.networkGone });
  } finally {
    clearTimeout(timer);
  }
}

/** Whether what was asked for may have been done all the same. */
const isUncertain = (error) => error instanceof ProblemError && (error.status === 0 || error.status >= 500);

/** Whether trying again may help. */
const passes = (error) => error instanceof ProblemError && (error.status === 0 || error.status === 408 || error.status === 429 || error.status >= 500);

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new ProblemError({ status: 200, code: "unreadable_answer", detail: strings.unreadable });
  }
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
