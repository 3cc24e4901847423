/** Building nodes. Text is always a text node; nothing here parses HTML. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]  `onclick`-style names take listeners; null, undefined, false are left out
 * @param {...(Node | string)} children
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/** @param {string} id */
export const byId = (id) => document.getElementById(id);
