/** The conversation page: who is here, the parts, and what connects them. */

import { ProblemError } from "../api.js";
import { byId, h } from "../dom.js";
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
const composer = new Composer({ send: (text) => void chat.send(text), stop: () => void chat.stop() });
const questions = new Questions((value) => void chat.reply(value));
const threads = new ThreadList({ select: go, deleted: (id) => id === threadInAddress() && go(null) });
const chat = new Chat({ conversation, composer, questions, threads }, { opened, connected });

byId("new-thread").addEventListener("click", () => go(null));
byId("sign-out").addEventListener("click", () => signOut().catch(report));
document.addEventListener("keydown", onEscape);
addEventListener("popstate", () => void chat.open(threadInAddress()));
leaveWithTheOthers();
void begin();

async function begin() {
  void chat.open(threadInAddress());
  focusComposer();
  try {
    const [person] = await Promise.all([call("/whoami"), threads.load()]);
    byId("identity").replaceChildren(...identity(person));
    composer.setOwner(person.email ?? person.sub);
    showTitle(threadInAddress());
  } catch (problem) {
    report(problem);
  }
}

function identity({ email, sub, tenant_id: tenant }) {
  const who = email ?? sub ?? "";
  const where = tenant === null || tenant === undefined ? "" : words.tenant(tenant);
  return [h("span", { class: "who", title: who }, who), h("span", { class: "where" }, where)];
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
  if (event.key !== "Escape" || event.isComposing || byId("confirm").open) return;
  if (drawer.isOpen) drawer.close();
  else if (chat.running) void chat.stop();
}

function report(problem) {
  if (!(problem instanceof ProblemError)) throw problem;
  conversation.notice(problem.detail);
}
