// Single keys for those who read many studies. They can be switched off (WCAG 2.1.4) and never act while somebody types.
const TYPING = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

export class Keys {
  #rows;
  #filters;
  #dialog;
  #switch;

  constructor(rows, filters, page = document) {
    this.#rows = rows;
    this.#filters = filters;
    this.#dialog = page.getElementById("keys");
    this.#switch = page.getElementById("single-keys");
    page.getElementById("show-keys").addEventListener("click", () => this.#dialog.showModal());
    page.getElementById("close-keys").addEventListener("click", () => this.#dialog.close());
    page.addEventListener("keydown", (event) => this.#onKey(event));
  }

  #onKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || this.#dialog.open) return;
    if (event.key === "Escape") return this.#onEscape(event);
    if (event.target.matches?.(TYPING)) return;
    const row = this.#rows.holding(event.target);
    const action = (row ? this.#inRow(event.key, row) : null) ?? (this.#switch.checked ? this.#anywhere(event.key, row) : null);
    if (!action) return;
    event.preventDefault();
    action();
  }

  // The search field empties itself on Escape; here the chips are cleared too.
  #onEscape(event) {
    if (!this.#filters.isActive || event.target.closest?.(".timeline")) return;
    event.preventDefault();
    this.#filters.clear();
  }

  #inRow(key, row) {
    if (key === "ArrowDown") return () => this.#step(row, 1);
    if (key === "ArrowUp") return () => this.#step(row, -1);
    return null;
  }

  #anywhere(key, row) {
    const actions = {
      "/": () => this.#filters.field.focus(),
      "?": () => this.#dialog.showModal(),
      j: () => this.#step(row, 1),
      k: () => this.#step(row, -1),
    };
    if (row) actions.r = () => toggleReports(row.element);
    return actions[key];
  }

  #step(from, by) {
    // As the page shows them, which is not the order by date when the list is grouped by region.
    const shown = [...document.querySelectorAll("li.study:not([hidden])")];
    const at = from ? shown.indexOf(from.element) + by : by > 0 ? 0 : shown.length - 1;
    if (shown[at]) focusRow(shown[at]);
  }
}

// Focus goes to the study's link, or to the row itself where nothing can be opened.
export function focusRow(element, options) {
  const link = element.querySelector(".title a[href], .images a[href]");
  if (!link) element.tabIndex = -1;
  (link ?? element).focus(options);
}

function toggleReports(element) {
  const reports = [...element.querySelectorAll(".reports details")];
  const isOpen = reports.some((report) => report.open);
  for (const report of reports) report.open = !isOpen;
}
