/** What is open and what is running: the acts of the conversation page. */

import { ProblemError } from "../api.js";
import { strings } from "../strings.js";
import { activeRun, cancelRun, createThread, nameThread, threadState } from "./graph.js";
import { interruptsIn, newMessageId, questionsOf, questionText, titleFrom } from "./messages.js";
import { LostConnection, Run } from "./run.js";

const words = strings.chat;

export class Chat {
  #conversation;
  #composer;
  #questions;
  #threads;
  #on;
  #threadId = null;
  #untitled = false;
  #opening = new AbortController();
  /** @type {Run | null} */
  #run = null;
  /** What the current run has told besides messages. */
  #told = { failure: null, questions: [] };

  /**
   * @param {{conversation: object, composer: object, questions: object, threads: object}} parts
   * @param {{opened: (id: string | null) => void, connected: (yes: boolean) => void}} on
   */
  constructor({ conversation, composer, questions, threads }, on) {
    this.#conversation = conversation;
    this.#composer = composer;
    this.#questions = questions;
    this.#threads = threads;
    this.#on = on;
  }

  /** Whether an answer is on its way. */
  get running() {
    return this.#run !== null;
  }

  /** Shows a conversation (null: a new one) and takes up what is running in it. */
  async open(threadId) {
    this.#opening.abort();
    this.#run?.leave();
    this.#setRun(null);
    this.#ask([]);
    this.#conversation.clear({ welcome: threadId === null });
    this.#enter(threadId);
    if (threadId === null) return;
    this.#opening = new AbortController();
    const { signal } = this.#opening;
    try {
      const [state, runId] = await Promise.all([threadState(threadId, signal), activeRun(threadId, signal)]);
      if (signal.aborted) return;
      const messages = messagesOf(state);
      this.#untitled = messages.length === 0;
      this.#conversation.sync(messages);
      if (runId === null) this.#ask(questionsOf(state));
      else await this.#take(this.#newRun(), (run) => run.resume(threadId, runId));
    } catch (error) {
      if (!signal.aborted) this.#showFailure(error);
    }
  }

  /** Sends a message, in a new thread if none is open. */
  async send(text) {
    const id = newMessageId();
    this.#conversation.settle();
    this.#conversation.addPending(id, text);
    await this.#begin(
      { input: { messages: [{ type: "human", content: text, id }] } },
      {
        accepted: () => {
          this.#composer.accepted();
          this.#giveTitle(text);
        },
        refused: () => {
          this.#conversation.remove(id);
          this.#composer.restore(text);
        },
      },
    );
  }

  /** Answers the open questions. */
  async reply(value) {
    if (this.running) return;
    this.#questions.setHidden(true);
    await this.#begin(
      { command: { resume: value } },
      {
        accepted: () => this.#ask([]),
        refused: () => this.#questions.setHidden(false),
      },
    );
  }

  /** Stops listening and ends the run on the server; what has been said so far stays. */
  async stop() {
    const run = this.#run;
    const threadId = this.#threadId;
    if (run === null) return;
    run.leave();
    this.#setRun(null);
    this.#conversation.settle();
    this.#conversation.notice(words.stopped, { error: false });
    this.#composer.focus();
    try {
      const runId = run.id ?? (threadId && (await activeRun(threadId)));
      if (runId) await cancelRun(threadId, runId);
    } catch (error) {
      if (error.status !== 404 && error.status !== 409) this.#showFailure(error);
    }
  }

  async #begin(what, { accepted, refused }) {
    this.#conversation.clearNotices();
    let begun = false;
    const run = this.#newRun(() => {
      begun = true;
      this.#threads.put(this.#threadId);
      accepted();
    });
    await this.#take(run, async () => {
      try {
        await run.start(this.#threadId ?? (await this.#createThread(run.signal)), what);
      } finally {
        if (!begun) refused();
      }
    });
  }

  async #createThread(signal) {
    const { thread_id: id } = await createThread(signal);
    this.#untitled = true;
    this.#enter(id);
    return id;
  }

  #newRun(accepted = () => {}) {
    return new Run({
      accepted,
      connected: (yes) => this.#on.connected(yes),
      event: (name, data) => this.#hear(name.split("|", 1)[0], data),
    });
  }

  /** Lets a run run, and deals with every way in which that can end. */
  async #take(run, act) {
    this.#setRun(run);
    this.#told = { failure: null, questions: [] };
    this.#conversation.setWorking(true);
    try {
      await act(run);
      await this.#complete(run);
    } catch (error) {
      if (run.left) return;
      if (error.status === 404 && run.id !== null) await this.#complete(run);
      else this.#giveUp(run, error);
    }
  }

  #hear(name, data) {
    if (name === "messages") this.#conversation.append(data[0]);
    else if (name === "error") this.#told.failure = data?.message || words.runFailed;
    else if (name === "values") {
      this.#conversation.sync(messagesOf({ values: data }));
      this.#told.questions = interruptsIn(data);
    } else if (name === "updates" && interruptsIn(data).length > 0) this.#told.questions = interruptsIn(data);
  }

  /** The run is over: the thread's state has the last word, if it can be had. */
  async #complete(run) {
    let { failure, questions } = this.#told;
    try {
      const state = await threadState(this.#threadId, run.signal);
      questions = questionsOf(state);
      if (failure === null) this.#conversation.sync(messagesOf(state), { final: true });
    } catch (error) {
      if (run.left) return;
      if (!(error instanceof ProblemError)) throw error;
    }
    this.#conversation.settle();
    this.#setRun(null);
    this.#ask(questions);
    if (failure !== null) this.#conversation.notice(failure);
    else if (questions.length > 0) this.#conversation.announce(words.questionAsked(questions.map(({ value }) => questionText(value)).join(" ")));
    else this.#conversation.announceAnswer();
  }

  #giveUp(run, error) {
    this.#setRun(null);
    if (!(error instanceof LostConnection)) {
      this.#conversation.settle();
      this.#showFailure(error);
      return;
    }
    const again = () => {
      this.#conversation.clearNotices();
      if (run.id === null) void this.open(this.#threadId);
      else void this.#take(run, () => run.resume(this.#threadId, run.id));
    };
    this.#conversation.notice(words.lost, { action: { label: words.retry, run: again } });
  }

  #showFailure(error) {
    if (!(error instanceof ProblemError)) throw error;
    this.#conversation.notice(error.detail);
  }

  #setRun(run) {
    this.#run = run;
    this.#composer.setRunning(run !== null);
    if (run !== null) return;
    this.#conversation.setWorking(false);
    this.#on.connected(true);
  }

  #ask(questions) {
    this.#questions.setHidden(false);
    this.#questions.show(questions);
    this.#composer.setLocked(questions.length > 0);
    this.#conversation.grown();
  }

  #enter(threadId) {
    this.#threadId = threadId;
    this.#threads.setCurrent(threadId);
    this.#on.opened(threadId);
  }

  #giveTitle(text) {
    const title = titleFrom(text);
    if (!this.#untitled || title === "") return;
    this.#untitled = false;
    this.#threads.put(this.#threadId, title);
    this.#on.opened(this.#threadId);
    nameThread(this.#threadId, title).catch(() => {}); // without it, the first message is the title
  }
}

const messagesOf = (state) => (Array.isArray(state?.values?.messages) ? state.values.messages : []);
