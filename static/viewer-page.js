// The page around the viewer: the report beside the images, key images and priors by a click, and the end of the session,
// which hides the images. All words stand in the HTML.
//
// startViewerPage(root, { frame }) begins; `root` holds what templates/smart/viewer.html writes into the body, `frame` is
// the viewer's iframe where it is not in there, `isReady` whether that one has already said so. The answer:
// { send(command), adopt(page), stop() }.
import { ReportPanel } from "./viewer-panel.js";

const POLL_MS = 30000;
const PAGE = "imaging-cds-page";

export function startViewerPage(root, { frame = root.querySelector("#viewer"), isReady = false } = {}) {
  const page = new ViewerPage(root, frame, isReady);
  page.start();
  return page;
}

class ViewerPage {
  #root;
  #frame;
  #panel;
  #stopping = new AbortController();
  #asked = null;
  #sought = null;
  #endsAt = Infinity;
  #isReady;

  constructor(root, frame, isReady) {
    this.#root = root;
    this.#frame = frame;
    this.#isReady = isReady;
    this.#panel = new ReportPanel(root, this.#stopping.signal);
  }

  start() {
    const { signal } = this.#stopping;
    window.addEventListener("message", (event) => this.#hear(event), { signal });
    document.addEventListener("visibilitychange", () => !document.hidden && void this.#look(), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#root.addEventListener("click", (event) => this.#click(event), { signal });
    this.#root.addEventListener("submit", (event) => void this.#openWindow(event), { signal });
    window.addEventListener("popstate", () => void this.#follow(location.href, { isBack: true }), { signal });
    this.#panel.start();
    this.#seek();
    this.#poll();
  }

  stop() {
    this.#stopping.abort();
  }

  send(command) {
    this.#frame.contentWindow?.postMessage({ source: PAGE, ...command }, location.origin);
  }

  // Takes the header, the study line and the report panel out of another viewer page's document. The images stay.
  adopt(page) {
    for (const wanted of ["header.banner", ".study-line", "#panel"]) {
      this.#part(wanted).replaceWith(document.importNode(page.querySelector(wanted), true));
    }
    const [mine, theirs] = [this.#stage, page.querySelector("#stage")];
    for (const name of ["studies", "source", "series"]) mine.dataset[name] = theirs.dataset[name];
    this.#frame.title = page.querySelector("#viewer").title;
    document.title = page.title;
    this.#sayEnding();
    this.#panel.start();
  }

  get #stage() {
    return this.#part("#stage");
  }

  get #mask() {
    return this.#part("#mask");
  }

  get #hasEnded() {
    return !this.#mask.hidden;
  }

  #part(selector) {
    return this.#root.querySelector(selector);
  }

  // Only our own viewer is heard.
  #hear({ origin, source, data }) {
    const isViewer = origin === location.origin && source === this.#frame.contentWindow;
    if (!isViewer || data?.source !== this.#stage.dataset.viewerMessages) return;
    if (data.event === "ready") this.#isReady = true;
    if (data.event === "session-ended") this.#end(data.reason);
    // What cannot be shown in the running viewer is asked for as a page, once.
    if (data.event === "failed" && this.#asked && !this.#hasEnded) location.assign(this.#asked);
    if (data.event === "leave-images") this.#moveOn(data.isBackwards ? -1 : 1, 1);
    if (data.event === "contents") this.#showContents(data.study, data.objects);
  }

  // A card or a chart may lead to a series without pictures of its own: key images, measurements, a segmentation.
  #seek() {
    this.#sought = this.#stage.dataset.series || null;
    // A viewer that was there first has told already what it is asked for here.
    this.send({ type: "contents" });
  }

  #showContents(study, objects) {
    this.#panel.showContents(study, objects);
    const { items = [] } = objects.find(({ series }) => series === this.#sought) ?? {};
    const placed = items.find(({ instance }) => instance);
    if (!placed) return;
    this.#sought = null;
    const { study: shown, series, instance } = placed;
    this.send({ type: "jump", study: shown, series, instance });
  }

  #end(reason) {
    if (this.#hasEnded) return;
    const reasons = [...this.#mask.querySelectorAll("[data-why]")];
    const known = reasons.find(({ dataset }) => dataset.why === reason) ?? reasons[0];
    for (const words of reasons) words.hidden = words !== known;
    this.#mask.hidden = false;
    this.#frame.inert = true;
    // The pixels leave the page, not only the eye.
    this.#frame.src = "about:blank";
    this.#panel.close();
    this.#mask.focus();
  }

  #poll() {
    const timer = setInterval(() => void this.#look(), POLL_MS);
    this.#stopping.signal.addEventListener("abort", () => clearInterval(timer));
  }

  async #look() {
    if (this.#hasEnded) return;
    try {
      const response = await fetch(this.#stage.dataset.state, { cache: "no-store", credentials: "same-origin" });
      if (response.status === 401 || response.status === 403) return this.#end("session");
      if (!response.ok) return;
      const { alive, seconds_left: left } = await response.json();
      if (alive === false) return this.#end("session");
      // What the server counts is the time that no renewal can prolong.
      this.#endsAt = Number.isFinite(left) ? Date.now() + left * 1000 : Infinity;
      this.#sayEnding();
    } catch {
      // The network is away for a moment: that ends nothing.
    }
  }

  // Near the end only, by the narrowest of the page's sentences that holds.
  #sayEnding() {
    const left = (this.#endsAt - Date.now()) / 1000;
    const sentences = [...this.#root.querySelectorAll("#ending [data-within]")];
    const holding = sentences.filter(({ dataset }) => left < Number(dataset.within));
    const narrowest = Math.min(...holding.map(({ dataset }) => Number(dataset.within)));
    for (const sentence of sentences) sentence.hidden = Number(sentence.dataset.within) !== narrowest;
  }

  #click(event) {
    const skip = event.target.closest("a.skip[data-go]");
    if (skip) return this.#go(event, skip.dataset.go);
    const link = event.target.closest("a[data-jump], a[data-open]");
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    // Without a running viewer the link does what it says: it loads the page.
    if (!link || !isPlain || !this.#isReady || this.#hasEnded) return;
    event.preventDefault();
    const { study, series, instance } = link.dataset;
    if ("jump" in link.dataset && this.#shown.includes(study)) {
      this.#asked = link.href;
      this.send({ type: "jump", study, series, instance });
    } else void this.#follow(link.href);
  }

  get #shown() {
    return this.#stage.dataset.studies.split(",");
  }

  // Another study, or a prior beside this one: the server checks it as for any page, the viewer stays as it is.
  async #follow(address, { isBack = false } = {}) {
    if (this.#hasEnded) return;
    const target = new URL(address, location.href);
    const page = await viewerPage(target);
    // The running viewer knows the image servers that it began with.
    const isElsewhere = page?.querySelector("#stage").dataset.source !== this.#stage.dataset.source;
    if (page === null || isElsewhere) return location.assign(target);
    this.#asked = target;
    this.adopt(page);
    if (!isBack) history.pushState(null, "", target);
    const [series, instance] = ["series", "instance"].map((name) => target.searchParams.get(name) ?? undefined);
    const dataSource = this.#stage.dataset.source || undefined;
    const type = this.#shown.length === 2 ? "compare" : "open";
    this.send({ type, studies: this.#shown, dataSource, series, instance });
    this.#seek();
    this.#frame.focus();
  }

  // F6 leads from part to part and round again, as in other programs with panes; in the images it is heard by the viewer.
  #key(event) {
    if (event.key === "F6") {
      event.preventDefault();
      const parts = this.#landmarks();
      const here = parts.findIndex((part) => part.contains(document.activeElement));
      this.#moveOn(event.shiftKey ? -1 : 1, here);
    }
    if (event.key === "Escape" && this.#panel.holds(document.activeElement)) this.#panel.close();
  }

  #moveOn(step, from) {
    const parts = this.#landmarks();
    parts[(from + step + parts.length) % parts.length].focus();
  }

  #landmarks() {
    const images = this.#hasEnded ? this.#mask : this.#frame;
    return [this.#part("header.banner"), images, this.#panel.element].filter((part) => part && !part.hidden);
  }

  #go(event, where) {
    event.preventDefault();
    if (where === "images") return (this.#hasEnded ? this.#mask : this.#frame).focus();
    this.#panel.open();
    this.#panel.element.focus();
  }

  // A frame's partitioned cookie is not sent in a new window, so the form brings a one-use ticket along, in its body.
  async #openWindow(event) {
    const form = event.target;
    if (form.id !== "new-window") return;
    event.preventDefault();
    const response = await fetch(form.dataset.ticket, { method: "POST", cache: "no-store", credentials: "same-origin" });
    if (!response.ok) return this.#end("session");
    form.elements.ticket.value = (await response.json()).ticket;
    form.submit();
    form.elements.ticket.value = "";
  }
}

// The document of a viewer page, or null when the server answered anything else.
async function viewerPage(address) {
  try {
    const response = await fetch(address, { cache: "no-store", credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    return response.ok && page.querySelector("#stage[data-studies]") ? page : null;
  } catch {
    return null;
  }
}

// On a normal page; who brings a viewer along (a list with a warm one) starts this itself.
if (document.body.classList.contains("viewing")) startViewerPage(document.body);
