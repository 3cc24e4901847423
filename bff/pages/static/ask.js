/** A question before something is done. It stays, with what was entered and the reason, until that worked. */

import { h } from "./dom.js";
import { sentence } from "./panel.js";
import { strings } from "./strings.js";

const words = strings.ask;
let asked = 0;

/**
 * @param {{title: string, text: string, action: string, fields?: Node[], danger?: boolean}} question
 * @param {(data: FormData) => Promise<unknown>} act  what is done on a yes
 * @returns {Promise<boolean>} whether it was done; rejects if that failed after the question was closed
 */
export function ask({ title, text, action, fields = [], danger = false }, act) {
  asked += 1;
  const [titleId, textId] = [`ask-${asked}`, `ask-${asked}-text`];
  const error = h("div", { class: "message error", role: "alert" });
  const cancel = h("button", { type: "button", class: "button", autofocus: danger }, words.cancel);
  const confirm = h("button", { type: "submit", class: danger ? "button danger" : "button primary" }, action);
  const form = h(
    "form",
    { class: "stack" },
    h("div", {}, h("h2", { id: titleId }, title), h("p", { id: textId }, text)),
    ...fields,
    error,
    h("div", { class: "dialog-actions" }, cancel, confirm),
  );
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": titleId, "aria-describedby": textId }, form);
  return new Promise((resolve, reject) => {
    let busy = false;
    let done = false;
    async function go() {
      if (busy) return;
      busy = true;
      confirm.setAttribute("aria-disabled", "true");
      error.replaceChildren();
      try {
        await act(new FormData(form));
        done = true;
        if (dialog.open) dialog.close();
        else resolve(true);
      } catch (problem) {
        if (!dialog.open) reject(problem);
        else error.textContent = sentence(problem);
      } finally {
        busy = false;
        confirm.removeAttribute("aria-disabled");
      }
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void go();
    });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (!busy) resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
