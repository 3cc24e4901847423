/** What a run tells: messages go to the screen, what else matters at its end is kept. */

import { strings } from "../strings.js";
import { interruptsIn, messagesOf } from "./messages.js";

export class Heard {
  #conversation;

  /** Why the run failed, or null. */
  failure = null;
  /** What it asks. */
  questions = [];

  /** @param {object} conversation */
  constructor(conversation) {
    this.#conversation = conversation;
  }

  /** Takes one event; those of subgraphs have the graph's path behind their name. */
  take(event, data) {
    const [name] = event.split("|", 1);
    if (name === "messages") this.#conversation.append(data[0]);
    else if (name === "error") this.failure = data?.message || strings.chat.runFailed;
    else if (name === "values") {
      this.#conversation.sync(messagesOf({ values: data }));
      this.questions = interruptsIn(data);
    } else if (name === "updates" && interruptsIn(data).length > 0) this.questions = interruptsIn(data);
  }
}
