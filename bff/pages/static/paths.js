/**
 * Where a person wanted to go: only ever a path of this origin. While a user interface is
 * developed on another one, which the gateway then names in the page, a page there, too.
 */

const FORBIDDEN = /[\\\u0000-\u001f\u007f-\u009f]/;

/**
 * @param {unknown} value  a path as somebody handed it in
 * @returns {string | null} the normalised path, or null if it could lead anywhere else
 */
export function localPath(value) {
  if (typeof value !== "string" || !value.startsWith("/") || FORBIDDEN.test(value)) return null;
  if (value.startsWith("//")) return null;
  const origin = "http://local.invalid";
  let url;
  try {
    url = new URL(value, origin);
  } catch {
    return null;
  }
  const path = url.pathname + url.search + url.hash;
  return url.origin === origin && !path.startsWith("//") ? path : null;
}

/**
 * @param {unknown} value  an address as somebody handed it in
 * @returns {string | null} it, if it is on an origin that the page names (docs/ui.md, split origin)
 */
function elsewhere(value) {
  const named = document.querySelector('meta[name="return-origins"]')?.content;
  if (!named || typeof value !== "string" || !URL.canParse(value)) return null;
  const { href, origin } = new URL(value);
  return named.split(" ").includes(origin) && href.startsWith(`${origin}/`) ? href : null;
}

/**
 * The `return_to` of a query string; "/" when absent, unsafe, or one of `never` (which would loop).
 * @param {string} search
 * @param {...string} never  pathnames not to return to
 */
export function returnTo(search, ...never) {
  const asked = new URLSearchParams(search).get("return_to");
  const path = elsewhere(asked) ?? localPath(asked);
  return path === null || never.includes(path.split(/[?#]/, 1)[0]) ? "/" : path;
}

/** The address of `page`, from where the person comes back to `path`. */
export const withReturnTo = (page, path) => `${page}?return_to=${encodeURIComponent(path)}`;

/** An http(s) address, absolute or local, fit for a link; null for anything else. */
export function webAddress(value) {
  const path = localPath(value);
  if (path !== null) return path;
  try {
    const url = new URL(value);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
