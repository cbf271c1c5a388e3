// The page around the viewer: the report beside the images, key images and priors by a click, and the end of the session,
// which hides the images. All words stand in the HTML.
import { ReportPanel } from "./viewer-panel.js";
import { sayNoWindow, windowTicket } from "./window-ticket.js";

const POLL_MS = 30000;
const PAGE = "imaging-cds-page";

class ViewerPage {
  #panel = new ReportPanel();
  // What the viewer was asked for and has not shown yet: { address, instance }.
  #asked = null;
  #sought = null;
  #endsAt = Infinity;
  #isReady = false;
  // The reader's clicks so far: what an earlier one is still waiting for no longer counts.
  #turn = 0;

  start() {
    window.addEventListener("message", (event) => this.#hear(event));
    window.addEventListener("popstate", () => void this.#follow(location.href, { isBack: true }));
    document.addEventListener("visibilitychange", () => !document.hidden && void this.#look());
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("submit", (event) => void this.#openWindow(event));
    this.#panel.start();
    this.#offerWindow();
    this.#seek();
    setInterval(() => void this.#look(), POLL_MS);
  }

  #send(command) {
    this.#frame.contentWindow?.postMessage({ source: PAGE, ...command }, location.origin);
  }

  // Takes the header, the study line and the report panel out of another viewer page's document. The images stay.
  #adopt(page) {
    sayNoWindow(null);
    for (const wanted of ["header.banner", ".study-line", "#panel"]) {
      document.querySelector(wanted).replaceWith(document.importNode(page.querySelector(wanted), true));
    }
    const [mine, theirs] = [this.#stage, page.querySelector("#stage")];
    for (const name of ["studies", "source", "series"]) mine.dataset[name] = theirs.dataset[name];
    this.#frame.title = page.querySelector("#viewer").title;
    document.title = page.title;
    this.#sayEnding();
    this.#panel.start();
    this.#offerWindow();
  }

  // The form works with this script only: sent without its ticket it would be refused.
  #offerWindow() {
    for (const button of document.querySelectorAll("#new-window button")) button.disabled = false;
  }

  get #frame() {
    return document.querySelector("#viewer");
  }

  get #stage() {
    return document.querySelector("#stage");
  }

  get #mask() {
    return document.querySelector("#mask");
  }

  get #hasEnded() {
    return !this.#mask.hidden;
  }

  // Only our own viewer is heard.
  #hear({ origin, source, data }) {
    const isViewer = origin === location.origin && source === this.#frame.contentWindow;
    if (!isViewer || data?.source !== this.#stage.dataset.viewerMessages) return;
    if (data.event === "ready") this.#isReady = true;
    if (data.event === "session-ended") this.#end(data.reason);
    if (data.event === "first-image" || data.event === "jumped") this.#reached(data);
    // What cannot be shown in the running viewer is asked for as a page, once.
    if (data.event === "failed" && this.#asked && !this.#hasEnded) location.assign(this.#asked.address);
    if (data.event === "leave-images") this.#moveOn(data.isBackwards ? -1 : 1, 1);
    if (data.event === "contents") this.#showContents(data.study, data.objects);
  }

  // What is on the screen is no longer asked for.
  #reached({ study, instance }) {
    const wanted = this.#asked?.instance ?? instance;
    if (wanted === instance && this.#shown.includes(study)) this.#asked = null;
  }

  // A card or a chart may lead to a series without pictures of its own: key images, measurements, a segmentation.
  #seek() {
    this.#sought = this.#stage.dataset.series || null;
    // A viewer that was there first has told already what it is asked for here.
    this.#send({ type: "contents" });
  }

  #showContents(study, objects) {
    this.#panel.showContents(study, objects);
    const { items = [] } = objects.find(({ series }) => series === this.#sought) ?? {};
    const placed = items.find(({ instance }) => instance);
    if (!placed) return;
    this.#sought = null;
    const { study: shown, series, instance, over } = placed;
    this.#send({ type: "jump", study: shown, series, instance, over });
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
    const sentences = [...document.querySelectorAll("#ending [data-within]")];
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
    const { study, series, instance, over } = link.dataset;
    if ("jump" in link.dataset && this.#shown.includes(study)) {
      this.#turn += 1;
      this.#sought = null;
      this.#asked = { address: link.href, instance };
      this.#send({ type: "jump", study, series, instance, over });
    } else void this.#follow(link.href);
  }

  get #shown() {
    return this.#stage.dataset.studies.split(",");
  }

  // Another study, or a prior beside this one: the server checks it as for any page, the viewer stays as it is.
  async #follow(address, { isBack = false } = {}) {
    if (this.#hasEnded) return;
    const target = new URL(address, location.href);
    const turn = ++this.#turn;
    const page = await viewerPage(target);
    if (turn !== this.#turn || this.#hasEnded) return;
    // The running viewer knows the image servers that it began with.
    const isElsewhere = page?.querySelector("#stage").dataset.source !== this.#stage.dataset.source;
    if (page === null || isElsewhere) return location.assign(target);
    this.#adopt(page);
    if (!isBack) history.pushState(null, "", target);
    const [series, instance] = ["series", "instance"].map((name) => target.searchParams.get(name) ?? undefined);
    this.#asked = { address: target, instance };
    const dataSource = this.#stage.dataset.source || undefined;
    const type = this.#shown.length === 2 ? "compare" : "open";
    this.#send({ type, studies: this.#shown, dataSource, series, instance });
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
    return [document.querySelector("header.banner"), images, this.#panel.element].filter((part) => part && !part.hidden);
  }

  #go(event, where) {
    event.preventDefault();
    if (where === "images") return (this.#hasEnded ? this.#mask : this.#frame).focus();
    this.#panel.open();
    this.#panel.element.focus();
  }

  async #openWindow(event) {
    const form = event.target;
    if (form.id !== "new-window") return;
    event.preventDefault();
    sayNoWindow(null);
    const ticket = await windowTicket(form.dataset.ticket);
    if (ticket === "gone") return this.#end("session");
    if (ticket === null) return sayNoWindow(document.querySelector(".study-line"));
    form.elements.ticket.value = ticket;
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

new ViewerPage().start();
