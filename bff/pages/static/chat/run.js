/** One run followed to its end, through broken connections. */

import { ProblemError } from "../api.js";
import { events } from "../sse.js";
import { strings } from "../strings.js";
import { joinRun, runIdOf, runIsActive, startRun } from "./graph.js";

const TRIES = 5;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const SILENCE_MS = 30_000; // the graph server sends a heartbeat every 5 s

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

  /** Starts the run and follows it. Fails with a ProblemError before `on.accepted` if it never began. */
  async start(threadId, what) {
    this.#threadId = threadId;
    const response = await startRun(this.#threadId, what, this.signal);
    this.id = runIdOf(response);
    this.#on.accepted?.();
    await this.#follow(response);
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
        response ??= await joinRun(this.#threadId, this.id, this.#lastEventId, this.signal);
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
