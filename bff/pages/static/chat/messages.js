/** What the graph's messages and questions say, as text. */

import { strings } from "../strings.js";

const TITLE_LENGTH = 60;

/** The words of a message or chunk, whose content is a string or a list of parts. */
export function textOf({ content }) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map(partText).join("");
}

function partText(part) {
  if (typeof part === "string") return part;
  if (typeof part?.text === "string") return part.text;
  return ["image", "image_url", "file", "audio"].includes(part?.type) ? strings.chat.attachment : "";
}

/** "human", "ai", "tool", or null for what is not shown. */
export function roleOf({ type }) {
  if (type === "human" || type === "HumanMessageChunk") return "human";
  if (type === "ai" || type === "AIMessageChunk") return "ai";
  return type === "tool" ? "tool" : null;
}

/** Names of the tools an answer called. */
export const toolCalls = (message) => (Array.isArray(message.tool_calls) ? message.tool_calls.map(({ name }) => String(name)) : []);

/** A title from the first words of a message. */
export function titleFrom(text) {
  const words = text.replace(/\s+/g, " ").trim();
  if (words.length <= TITLE_LENGTH) return words;
  const start = words.slice(0, TITLE_LENGTH);
  return `${start.slice(0, Math.max(start.lastIndexOf(" "), TITLE_LENGTH / 2)).trim()}…`;
}

/** A thread's own title, else the first thing said in it. */
export function titleOf({ metadata, values, extracted }) {
  if (typeof metadata?.title === "string" && metadata.title.trim() !== "") return metadata.title.trim();
  const messages = Array.isArray(values?.messages) ? values.messages : [];
  const first = messages.find((message) => roleOf(message) === "human") ?? { content: extracted?.first };
  return titleFrom(textOf(first)) || strings.chat.untitled;
}

/** The open questions of a thread's state: `[{id, value}]`. */
export function questionsOf(state) {
  const fromTasks = (state?.tasks ?? []).flatMap((task) => task.interrupts ?? []);
  return fromTasks.length > 0 ? fromTasks : interruptsIn(state?.values);
}

/** The questions a `values` or `updates` event carries. */
export const interruptsIn = (data) => (Array.isArray(data?.__interrupt__) ? data.__interrupt__ : []);

/** A question's value as text. */
export function questionText(value) {
  if (typeof value === "string") return value;
  for (const key of ["question", "message", "prompt", "description", "text"]) {
    if (typeof value?.[key] === "string") return value[key];
  }
  return JSON.stringify(value, null, 2) ?? "";
}

/** What resumes the run: the reply itself, or a map when several questions are open. */
export const resumeValue = (questions, replies) => (questions.length === 1 ? replies[0] : Object.fromEntries(questions.map(({ id }, i) => [id, replies[i]])));

/** A fresh message id; also where `crypto.randomUUID` is missing (plain http). */
export function newMessageId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
