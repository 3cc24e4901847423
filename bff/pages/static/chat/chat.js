/** What is open and what is running: the acts of the conversation page. */

import { ProblemError } from "../api.js";
import { strings } from "../strings.js";
import { activeRun, cancelRun, createThread, lastQuestion, nameThread, threadState } from "./graph.js";
import { Heard } from "./heard.js";
import { brokenOff, messagesOf, newId, newMessage, questionsOf, questionText, titleFrom } from "./messages.js";
import { attachmentsOf } from "./parts.js";
import { LostConnection, Run } from "./run.js";

const words = strings.chat;
const BROKEN_OFF = { stopped: { text: words.stopped, error: false }, failed: { text: words.runFailed } };

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
  /** The end of the last run that was stopped. */
  #stopping = Promise.resolve();
  /** @type {Heard} what the current run has told */
  #heard;
  /** What was given back to be sent again; it may have arrived for all that. */
  #unsent = null;

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

  /** The conversation that is open, or null. */
  get threadId() {
    return this.#threadId;
  }

  /** Whether an answer is on its way. */
  get running() {
    return this.#run !== null;
  }

  /** Shows a conversation (null: a new one) and takes up what is running in it. */
  async open(threadId) {
    this.#opening.abort();
    this.#opening = new AbortController();
    this.#run?.leave();
    this.#unsent = null;
    this.#untitled = false;
    this.#enter(threadId);
    this.#setRun(null);
    this.#ask([]);
    this.#conversation.clear({ welcome: threadId === null });
    if (threadId === null) return;
    const { signal } = this.#opening;
    try {
      const [state, runId] = await Promise.all([threadState(threadId, signal), activeRun(threadId, signal)]);
      if (signal.aborted || this.running) return; // what is sent meanwhile brings all of it
      const messages = messagesOf(state);
      this.#untitled = messages.length === 0;
      this.#conversation.sync(messages);
      if (runId === null) this.#rest(questionsOf(state), BROKEN_OFF[brokenOff(state)]);
      else await this.#take(this.#newRun(), (run) => run.resume(threadId, runId));
    } catch (error) {
      if (!signal.aborted && !this.running) this.#showFailure(error, { label: words.retry, run: () => void this.open(threadId) });
    }
  }

  /**
   * Sends a message, in a new thread if none is open.
   * @param {string} text
   * @param {object[]} parts  its files
   */
  async send(text, parts) {
    const before = this.#unsent;
    const again = before?.text === text && before.parts.length === parts.length && before.parts.every((part, i) => part === parts[i]);
    const message = again ? before.message : newMessage(text, parts);
    this.#conversation.settle();
    this.#conversation.addPending(message);
    await this.#begin(
      { input: { messages: [message] } },
      {
        mark: message.id,
        again,
        accepted: () => {
          this.#unsent = null;
          this.#composer.accepted();
          this.#giveTitle(text || attachmentsOf(message)[0].name);
        },
        refused: () => {
          this.#conversation.remove(message.id);
          this.#unsent = { text, parts, message };
          this.#composer.restore(text, parts);
        },
      },
    );
  }

  /** Tries again what broke off. */
  async retry() {
    await this.#stopping; // or the server would still be at it
    if (!this.running) await this.#begin({ input: null }, { retry: () => void this.retry() });
  }

  /** Has the last answer given once more. */
  async again() {
    if (this.running) return;
    const { signal } = this.#opening;
    const retry = () => void this.again();
    try {
      const checkpoint = await lastQuestion(this.#threadId, signal);
      if (this.running) return;
      if (checkpoint === null) this.#conversation.notice(words.notAgain, { error: false });
      else await this.#begin({ input: null, checkpoint }, { retry });
    } catch (error) {
      if (!signal.aborted) this.#showFailure(error, { label: words.retry, run: retry });
    }
  }

  /** Answers the open questions. */
  async reply(value) {
    if (this.running) return;
    this.#questions.setHidden(true);
    await this.#begin(
      { command: { resume: value } },
      {
        accepted: () => {
          this.#questions.forget();
          this.#ask([]);
          this.#composer.resume();
        },
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
    await this.#stop(threadId, run.id);
  }

  async #stop(threadId, runId) {
    this.#rest([], BROKEN_OFF.stopped);
    this.#composer.focus();
    this.#stopping = this.#cancel(threadId, runId);
    await this.#stopping;
  }

  async #cancel(threadId, known) {
    try {
      const runId = known ?? (threadId && (await activeRun(threadId)));
      if (runId) await cancelRun(threadId, runId);
    } catch (error) {
      if (error.status === 404 || error.status === 409 || threadId !== this.#threadId || this.running) return;
      this.#showFailure(error, { label: words.stopAgain, run: () => void this.#stop(threadId, known) });
    }
  }

  /** Begins a run. `mark` and `again` are for `Run.start`; `retry` tries once more what has nowhere else to be. */
  async #begin(what, { accepted = () => {}, refused = () => {}, mark = newId(), again = false, retry = null } = {}) {
    this.#conversation.clearNotices();
    let begun = false;
    const run = this.#newRun(() => {
      begun = true;
      this.#threads.put(this.#threadId);
      accepted();
    });
    const act = async () => {
      try {
        if (again) await this.#stopping;
        await run.start(this.#threadId ?? (await this.#createThread(run.signal)), what, mark, again);
      } finally {
        if (!begun) refused();
      }
    };
    await this.#take(run, act, retry && { label: words.retry, run: retry });
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
      event: (name, data) => this.#heard.take(name, data),
    });
  }

  /** Lets a run run, and deals with every way in which that can end; `action` is offered where it failed. */
  async #take(run, act, action = null) {
    this.#setRun(run);
    this.#heard = new Heard(this.#conversation);
    this.#conversation.setWorking(true);
    try {
      await act(run);
      await this.#complete(run);
    } catch (error) {
      if (run.left) return;
      if (error.status === 404 && run.id !== null) await this.#complete(run);
      else this.#giveUp(run, error, action);
    }
  }

  /** The run is over: the thread's state has the last word, if it can be had. */
  async #complete(run) {
    let { failure, questions } = this.#heard;
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
    this.#rest(questions, failure === null ? null : { text: failure });
    if (failure !== null) return;
    if (questions.length > 0) this.#conversation.announce(words.questionAsked(questions.map(({ value }) => questionText(value)).join(" ")));
    else this.#conversation.announceAnswer();
  }

  /** Nothing is running: says what there is to do. `end` tells how the run broke off, if it did. */
  #rest(questions, end = null) {
    this.#ask(questions);
    if (end) this.#conversation.notice(end.text, { ...end, action: { label: words.retry, run: () => void this.retry() } });
    else if (questions.length === 0) this.#conversation.offerAgain(() => void this.again());
  }

  #giveUp(run, error, action) {
    this.#setRun(null);
    if (!(error instanceof LostConnection)) {
      this.#conversation.settle();
      this.#showFailure(error, action);
      return;
    }
    const again = () => {
      this.#conversation.clearNotices();
      if (run.id === null) void this.open(this.#threadId);
      else void this.#take(run, () => run.resume(this.#threadId, run.id));
    };
    this.#conversation.notice(words.lost, { action: { label: words.retry, run: again } });
  }

  #showFailure(error, action = null) {
    if (!(error instanceof ProblemError)) throw error;
    this.#conversation.notice(error.detail, { action });
  }

  #setRun(run) {
    this.#run = run;
    this.#composer.setRunning(run !== null);
    this.#conversation.offerAgain(null);
    if (run !== null) return;
    this.#conversation.setWorking(false);
    this.#on.connected(true);
  }

  #ask(questions) {
    this.#questions.setHidden(false);
    this.#questions.show(questions, this.#threadId);
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
