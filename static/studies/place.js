// Where the reader is, kept in the history entry alone: back from the viewer, the list looks as it was left.
// Nothing of it goes into the address, and nothing stays after the tab.
const KEY = "studyList";

export class Place {
  #path = location.pathname;

  get kept() {
    return history.state?.[KEY] ?? null;
  }

  keep(part) {
    // The warm viewer changes the address in place; then the entry is not the list's.
    if (location.pathname !== this.#path) return;
    history.replaceState({ ...history.state, [KEY]: { ...this.kept, ...part } }, "");
  }

  // The row at the top of the window with its distance from it.
  keepScroll() {
    const rows = [...document.querySelectorAll("li.study:not([hidden])")];
    const top = rows.find((row) => row.getBoundingClientRect().bottom > 0);
    if (top) this.keep({ at: { uid: top.dataset.uid, top: top.getBoundingClientRect().top, scrolled: scrollY > 0 } });
  }
}
