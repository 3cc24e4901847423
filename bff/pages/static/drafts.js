/** What was typed and not sent: kept for this tab, over a reload, a sign-in, a server that is away. */

const PREFIX = "nx-draft";

/**
 * @param {string} name
 * @param {string} text  "" forgets it
 * @param {string} [owner]  who typed it: nobody else gets it back
 */
export function keepDraft(name, text, owner = "") {
  const key = `${PREFIX}-${name}`;
  try {
    if (text === "") sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify({ owner, text }));
  } catch {
    sessionStorage.removeItem(key); // too large: no draft is better than half of one
  }
}

/** The text kept under a name for `owner`, or "". */
export function draftOf(name, owner = "") {
  try {
    const kept = JSON.parse(sessionStorage.getItem(`${PREFIX}-${name}`));
    return kept?.owner === owner ? kept.text : "";
  } catch {
    return "";
  }
}
