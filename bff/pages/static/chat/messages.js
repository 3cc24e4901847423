/** What the graph's messages and questions say, as text. */

import { strings } from "../strings.js";

const TITLE_LENGTH = 60;
const LONGEST_TITLE = 200;

/** The words of a message or chunk, whose content is a string or a list of parts. */
export function textOf({ content }) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map(partText).join("");
}

function partText(part) {
  if (typeof part === "string") return part;
  return typeof part?.text === "string" ? part.text : "";
}

/** "human", "ai", "tool", or null for what is not shown. */
export function roleOf({ type }) {
  if (type === "human" || type === "HumanMessageChunk") return "human";
  if (type === "ai" || type === "AIMessageChunk") return "ai";
  return type === "tool" ? "tool" : null;
}

/**
 * The tools an answer called, and with what.
 * @returns {{name: string, args: string}[]}
 */
export function toolCalls({ tool_calls: calls }) {
  if (!Array.isArray(calls)) return [];
  return calls.map(({ name, args }) => ({ name: String(name), args: isEmpty(args) ? "" : JSON.stringify(args, null, 2) }));
}

const isEmpty = (args) => args === null || args === undefined || (typeof args === "object" && Object.keys(args).length === 0);

/** The messages of a thread's state. */
export const messagesOf = (state) => (Array.isArray(state?.values?.messages) ? state.values.messages : []);

/** A title from the first words of a message. */
export function titleFrom(text) {
  const words = text.replace(/\s+/g, " ").trim();
  if (words.length <= TITLE_LENGTH) return words;
  const start = words.slice(0, TITLE_LENGTH);
  return `${start.slice(0, Math.max(start.lastIndexOf(" "), TITLE_LENGTH / 2)).trim()}…`;
}

/** A thread's own title, else the first thing said in it. */
export function titleOf({ metadata, values, extracted }) {
  if (typeof metadata?.title === "string" && metadata.title.trim() !== "") return metadata.title.trim().slice(0, LONGEST_TITLE);
  const first = messagesOf({ values }).find((message) => roleOf(message) === "human") ?? { content: extracted?.first };
  return titleFrom(textOf(first)) || strings.chat.untitled;
}

/** How the last run of a thread broke off: "stopped" by somebody, "failed", or null. It can be tried again. */
export function brokenOff(state) {
  const error = (state?.tasks ?? []).map((task) => task.error).find(Boolean);
  if (!error) return null;
  return String(error).startsWith("CancelledError") ? "stopped" : "failed";
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

/** What a person says; without files it is plain text, which the simplest of graphs understand. */
export function newMessage(text, parts) {
  const content = parts.length === 0 ? text : [...(text === "" ? [] : [{ type: "text", text }]), ...parts];
  return { type: "human", content, id: newId() };
}

/** A fresh id; also where `crypto.randomUUID` is missing (plain http). */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
