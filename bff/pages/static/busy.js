/** A button that says what it is at, and does nothing meanwhile. */

/**
 * Does `act`, during which `button` shows `label` and takes no other click.
 * @param {HTMLButtonElement} button
 * @param {string} label
 * @param {() => Promise<void>} act
 */
export async function busyWhile(button, label, act) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const before = button.textContent;
  button.setAttribute("aria-disabled", "true");
  button.textContent = label;
  try {
    await act();
  } finally {
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
}
