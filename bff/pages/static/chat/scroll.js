/** Keeps the end in view, but only while the reader is there. */

const NEAR_PX = 60;

export class StickyScroll {
  #scroller;
  #button;
  #sticking = true;
  #lastTop = 0;
  #planned = false;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} button  shown while the reader is elsewhere
   */
  constructor(scroller, button) {
    this.#scroller = scroller;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.#noticeScroll(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.grown()).observe(scroller);
  }

  /** Call after the content changed; as often as you like, it acts once per frame. */
  grown() {
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      if (this.#sticking) this.#scroller.scrollTop = this.#scroller.scrollHeight;
      this.#button.hidden = this.#sticking || this.#nearEnd();
    });
  }

  /** Goes to the end and stays there. */
  toEnd() {
    this.#sticking = true;
    this.grown();
  }

  #noticeScroll() {
    const top = this.#scroller.scrollTop;
    if (this.#nearEnd()) this.#sticking = true;
    else if (top < this.#lastTop) this.#sticking = false;
    this.#lastTop = top;
    this.#button.hidden = this.#sticking;
  }

  #nearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }
}
