// One tooltip for the timeline's marks: shown on hover and focus, stays while the pointer is on it, goes with Escape.
const HIDE_AFTER_MS = 120;

export class Tip {
  #element;
  #timer = null;

  constructor(element, marks) {
    this.#element = element;
    marks.addEventListener("pointerover", (event) => this.#show(event.target.closest("button")));
    marks.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.#show(event.target));
    marks.addEventListener("pointerout", () => this.#hideSoon());
    marks.addEventListener("focusout", () => this.hide());
    element.addEventListener("pointerenter", () => clearTimeout(this.#timer));
    element.addEventListener("pointerleave", () => this.#hideSoon());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#onEscape(event));
  }

  hide() {
    clearTimeout(this.#timer);
    this.#element.hidden = true;
  }

  // One Escape, one thing: what it took away here it clears nowhere else.
  #onEscape(event) {
    if (this.#element.hidden) return;
    event.preventDefault();
    this.hide();
  }

  #hideSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hide(), HIDE_AFTER_MS);
  }

  #show(mark) {
    if (!mark) return;
    clearTimeout(this.#timer);
    this.#element.textContent = mark.getAttribute("aria-label");
    this.#element.hidden = false;
    const at = mark.getBoundingClientRect();
    const own = this.#element.getBoundingClientRect();
    const parent = this.#element.offsetParent.getBoundingClientRect();
    const middle = at.left + at.width / 2 - own.width / 2;
    const left = Math.min(Math.max(middle, parent.left), parent.right - own.width);
    this.#element.style.left = `${left - parent.left}px`;
    this.#element.style.top = `${at.bottom - parent.top}px`;
  }
}
