/** On a narrow screen the list of conversations is a drawer. */

import { byId } from "../dom.js";

export class Drawer {
  #drawer = byId("drawer");
  #menu = byId("menu");
  #main = byId("main");

  constructor() {
    this.#menu.addEventListener("click", () => (this.isOpen ? this.close() : this.#open()));
    byId("backdrop").addEventListener("click", () => this.close());
    matchMedia("(min-width: 48rem)").addEventListener("change", () => this.close());
  }

  get isOpen() {
    return this.#menu.getAttribute("aria-expanded") === "true";
  }

  close() {
    if (!this.isOpen) return;
    this.#set(false);
    this.#menu.focus();
  }

  #open() {
    this.#set(true);
    byId("new-thread").focus();
  }

  #set(open) {
    this.#menu.setAttribute("aria-expanded", String(open));
    this.#drawer.classList.toggle("open", open);
    this.#main.inert = open;
  }
}
