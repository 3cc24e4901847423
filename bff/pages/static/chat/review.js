/** Actions to decide on, as LangChain's HumanInTheLoopMiddleware asks for them. */

import { h } from "../dom.js";
import { strings } from "../strings.js";

const words = strings.chat.review;
const DECISIONS = ["approve", "edit", "reject"];

/** Whether a question's value asks for decisions. */
export const isReview = (value) => Array.isArray(value?.action_requests) && value.action_requests.length > 0;

/**
 * @param {{action_requests: object[], review_configs?: object[]}} value
 * @param {string} id  what the ids and names of its controls begin with
 * @returns {{node: Node, answer: () => object}}  `answer` is what resumes the run
 */
export function review({ action_requests: actions, review_configs: configs }, id) {
  const decided = actions.map((action, i) => decision(action, allowed(configs, action.name), `${id}-${i + 1}`));
  return {
    node: h("div", { class: "stack" }, ...decided.map(({ node }) => node)),
    answer: () => ({ decisions: decided.map(({ answer }) => answer()) }),
  };
}

function allowed(configs, name) {
  const said = Array.isArray(configs) ? configs.find((one) => one?.action_name === name)?.allowed_decisions : null;
  const known = DECISIONS.filter((one) => said?.includes(one));
  return known.length > 0 ? known : ["approve", "reject"];
}

function decision({ name, args, description }, choices, id) {
  const written = JSON.stringify(args ?? {}, null, 2);
  const radios = choices.map((type) => h("input", { type: "radio", id: `${id}-${type}`, name: id, value: type, required: true }));
  const edited = field(`${id}-args`, words.args, h("textarea", { id: `${id}-args`, rows: "4", class: "mono", spellcheck: "false", "data-lines": true }, written));
  const why = field(`${id}-why`, words.why, h("textarea", { id: `${id}-why`, rows: "2" }));
  const chosen = () => radios.find(({ checked }) => checked)?.value;
  const node = h(
    "fieldset",
    { class: "stack", onchange: show, oninput: show },
    h("legend", {}, words.action(String(name))),
    ...(typeof description === "string" ? [h("p", { class: "question-text" }, description)] : []),
    h("pre", { class: "args", tabindex: "0" }, written),
    h("div", { class: "bar" }, ...radios.map((radio) => h("label", { class: "check", for: radio.id }, radio, words.decisions[radio.value]))),
    edited.node,
    why.node,
  );
  function show() {
    edited.node.hidden = chosen() !== "edit";
    why.node.hidden = chosen() !== "reject";
    edited.box.setCustomValidity(chosen() !== "edit" || parsed(edited.box.value) ? "" : words.noJson);
  }
  show();
  return { node, answer: () => answerOf(chosen(), name, edited.box.value, why.box.value.trim()) };
}

function field(id, label, box) {
  return { node: h("div", { class: "field" }, h("label", { for: id }, label), box), box };
}

function answerOf(type, name, edited, why) {
  if (type === "edit") return { type, edited_action: { name, args: parsed(edited) } };
  return type === "reject" && why !== "" ? { type, message: why } : { type };
}

/** The arguments, which are a JSON object; null if this is none. */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
