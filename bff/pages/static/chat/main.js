/** The conversation page: who is here, the parts, and what connects them. */

import { ProblemError } from "../api.js";
import { byId } from "../dom.js";
import { onMoved } from "../moved.js";
import { showPerson } from "../person.js";
import { call, leaveWithTheOthers, signOut } from "../signed_in.js";
import { strings } from "../strings.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { Drawer } from "./drawer.js";
import { isThreadId } from "./graph.js";
import { Questions } from "./questions.js";
import { ThreadList } from "./threads.js";

const words = strings.chat;

const drawer = new Drawer();
const conversation = new Conversation();
const composer = new Composer({ send: (text, parts) => void chat.send(text, parts), stop: () => void chat.stop() });
const questions = new Questions((value) => void chat.reply(value));
const threads = new ThreadList({ select: go, renamed: () => showTitle(threadInAddress()), deleted: (id) => id === threadInAddress() && go(null) });
const chat = new Chat({ conversation, composer, questions, threads }, { opened, connected });

byId("new-thread").addEventListener("click", () => go(null));
byId("sign-out").addEventListener("click", () => signOut().catch((problem) => report(problem)));
document.addEventListener("keydown", onEscape);
addEventListener("popstate", () => {
  // The link past the navigation changes the address as well.
  if (threadInAddress() !== chat.threadId) void chat.open(threadInAddress());
});
leaveWithTheOthers();
void chat.open(threadInAddress());
focusComposer();
void meet();

/** Learns who is here. What was typed before stays, however many tries that takes. */
async function meet() {
  try {
    const loading = threads.load();
    const person = await call("/whoami");
    const owner = person.email ?? person.sub;
    composer.setOwner(owner);
    questions.setOwner(owner);
    showPerson(person);
    // The thread in the address is of the workspace before; drafts are kept for who typed them.
    onMoved(person, () => location.replace("/"));
    await loading;
    showTitle(threadInAddress());
  } catch (problem) {
    report(problem, { label: words.retry, run: meetAgain });
  }
}

function meetAgain() {
  conversation.clearNotices();
  void meet();
}

/** Not where it would bring up a keyboard on the screen. */
function focusComposer() {
  if (matchMedia("(hover: hover)").matches) composer.focus();
}

function threadInAddress() {
  const id = new URLSearchParams(location.search).get("thread");
  return isThreadId(id) ? id : null;
}

function go(threadId) {
  drawer.close();
  focusComposer();
  void chat.open(threadId);
}

function opened(threadId) {
  if (threadId !== threadInAddress()) history.pushState(null, "", threadId === null ? "/" : `/?thread=${threadId}`);
  showTitle(threadId);
}

function showTitle(threadId) {
  const title = threadId === null ? words.untitled : (threads.titleOf(threadId) ?? words.untitled);
  byId("title").textContent = title;
  document.title = threadId === null ? words.product : `${title} · ${words.product}`;
}

function connected(yes) {
  byId("link").textContent = yes ? "" : words.reconnecting;
}

function onEscape(event) {
  // A dialogue and the menu close by themselves, and that is all that the key is to do then.
  if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open], :popover-open")) return;
  if (drawer.isOpen) drawer.close();
  else if (chat.running) void chat.stop();
}

function report(problem, action = null) {
  if (!(problem instanceof ProblemError)) throw problem;
  conversation.notice(problem.detail, { action });
}
