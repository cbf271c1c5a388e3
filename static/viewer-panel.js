// The report panel beside the images: fetched from the server, open where there is room, closed or open as the reader left
// it, and completed by what the viewer finds in the study itself (key images, measurements, segments).
const WIDE_PX = 1100;

// How the reader left it; lives as long as the page.
let wasOpen = null;

export class ReportPanel {
  #contents = new Map();

  constructor() {
    document.addEventListener("click", (event) => this.#click(event));
  }

  get element() {
    return document.querySelector("#panel");
  }

  get #button() {
    return document.querySelector("#panel-button");
  }

  holds(element) {
    return this.element.contains(element);
  }

  // Called for each panel that comes into the page.
  start() {
    this.#button.hidden = false;
    this.#show(wasOpen ?? window.innerWidth >= WIDE_PX);
    const panel = this.element;
    whenOpened(panel.dataset.study, () => panel === this.element && void this.#fetch());
  }

  open() {
    wasOpen = true;
    this.#show(true);
  }

  close() {
    wasOpen = false;
    const hadFocus = this.holds(document.activeElement);
    this.#show(false);
    if (hadFocus) this.#button.focus();
  }

  // What the viewer found in a study: lists of items that lead to a slice.
  showContents(study, objects) {
    this.#contents.set(study, objects);
    if (study === this.element.dataset.study) this.#fill(objects);
  }

  #show(isOpen) {
    this.element.hidden = !isOpen;
    this.#button.setAttribute("aria-expanded", String(isOpen));
  }

  #click(event) {
    if (event.target.closest("#panel-button")) return this.element.hidden ? this.open() : this.close();
    if (event.target.closest("#panel-close")) return this.close();
    if (event.target.closest("#panel-again")) void this.#fetch();
  }

  async #fetch() {
    const panel = this.element;
    const content = panel.querySelector("#panel-content");
    const failed = panel.querySelector("#panel-failed");
    content.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(panel.dataset.panel, { cache: "no-store", credentials: "same-origin" });
      if (!response.ok) throw new Error(String(response.status));
      const words = await response.text();
      // Another study's panel may stand here by now.
      if (panel !== this.element) return;
      content.replaceChildren(document.createRange().createContextualFragment(words));
      const objects = this.#contents.get(panel.dataset.study);
      if (objects) this.#fill(objects);
    } catch {
      if (panel !== this.element) return;
      if (failed) failed.hidden = false;
      panel.querySelector("#panel-waiting")?.setAttribute("hidden", "");
    }
    content.setAttribute("aria-busy", "false");
  }

  // The panel's own templates say how an object and its items look; one without a place for objects shows none.
  #fill(objects) {
    const place = this.element.querySelector("#key-objects");
    if (!place) return;
    place.querySelector("ul").replaceChildren(...objects.map((object) => this.#object(place, object)));
    place.hidden = objects.length === 0;
  }

  #object(place, object) {
    const entry = place.querySelector(`template[data-kind="${object.kind}"]`).content.cloneNode(true);
    say(entry, "title", object.title);
    say(entry, "author", object.author);
    const unsigned = entry.querySelector("[data-unsigned]");
    if (unsigned) unsigned.hidden = !object.isUnsigned;
    entry.querySelector("ul").replaceChildren(...object.items.map((item) => this.#item(place, item)));
    return entry;
  }

  #item(place, item) {
    const entry = place.querySelector('template[data-kind="item"]').content.cloneNode(true);
    const link = entry.querySelector("a");
    const { study, series, instance, over } = item;
    say(entry, "number", item.number);
    entry.querySelector("[data-numbered]").hidden = item.number === undefined;
    say(entry, "label", item.label);
    say(entry, "values", (item.values ?? []).join(", "));
    if (!instance) link.replaceWith(...link.childNodes);
    else {
      Object.assign(link.dataset, { study, instance, ...(series && { series }), ...(over && { over }) });
      const query = new URLSearchParams({ ...(series && { series }), instance });
      link.href = `${place.dataset.viewer}${study}?${query}`;
    }
    return entry;
  }
}

// Behind the study list (static/warm.js) the EHR is asked nothing before the reader has opened that very study.
function whenOpened(study, action) {
  const frame = window.frameElement;
  if ((frame?.dataset.prepared ?? "shown") === "shown") return action();
  const observer = new MutationObserver(() => {
    if (frame.dataset.prepared !== "shown" || frame.dataset.study !== study) return;
    observer.disconnect();
    action();
  });
  observer.observe(frame, { attributes: true, attributeFilter: ["data-prepared", "data-study"] });
}

function say(entry, name, words) {
  const place = entry.querySelector(`[data-say="${name}"]`);
  if (!place) return;
  place.textContent = words ?? "";
  place.hidden = !words;
}
