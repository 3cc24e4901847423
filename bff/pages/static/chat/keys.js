/** What keys mean. */

const IME = 229; // Safari says so of the Enter that ends a composition, and not `isComposing`

/** Whether a key sends what is in its box. */
export const sends = ({ key, shiftKey, isComposing, keyCode }) => key === "Enter" && !shiftKey && !isComposing && keyCode !== IME;

/** Whether somebody has begun to write something. */
export function isTyping() {
  const at = document.activeElement;
  return at !== null && at.matches("textarea, input[type=text]") && at.value !== "";
}
