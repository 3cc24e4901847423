/** The choice of a member's roles. */

import { h } from "../dom.js";
import { strings } from "../strings.js";

const words = strings.admin.roles;

/** Boxes for all roles but the one that everybody has. */
export const roleBoxes = (chosen) =>
  h("fieldset", { class: "field" }, h("legend", {}, words.legend), ...Object.keys(words.hints).map((role) => box(role, chosen.includes(role))));

const box = (role, checked) =>
  h(
    "label",
    { class: "check" },
    h("input", { type: "checkbox", name: "roles", value: role, checked }),
    h("span", {}, strings.roles[role], " ", h("span", { class: "hint" }, words.hints[role])),
  );

/** The roles that a form with these boxes gives. */
export const chosenRoles = (data) => ["viewer", ...data.getAll("roles")];
