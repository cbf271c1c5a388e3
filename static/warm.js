// While the list is read, the viewer page of the likeliest study is made ready in a hidden frame over the whole page:
// scripts read, WebGL up, the study described, no pixel fetched (static/viewer/hold.js). A click shows that frame; it is an
// ordinary viewer page, which the server has checked like any other. Whatever is odd ends in plain navigation.
//
// The frame tells its state in data-prepared: "waiting", "ready" (it lacks only pixels), "shown".
// <html data-viewer> tells it of the page: "warming", "ready", "shown", "off".
const NARROW_PX = 800;
const LITTLE_MEMORY_GB = 4;
const LOW_BATTERY = 0.3;
const SETTLE_MS = 800;
const IDLE_TIMEOUT_MS = 5000;
// A viewer that nobody opened for so long gives its memory back.
const KEPT_MS = 10 * 60 * 1000;

export class PreparedViewer {
  #page;
  #list;
  #frame = null;
  #returnTo = null;
  #isQuiet = false;

  constructor(page, list) {
    this.#page = page;
    this.#list = list;
  }

  start() {
    const { document } = this.#page;
    this.#tell("warming");
    document.addEventListener("click", (event) => this.#click(event));
    this.#page.addEventListener("popstate", () => this.#followHistory());
    this.#page.setTimeout(() => this.#whenSeen(() => this.#whenIdle(() => void this.#prepare())), SETTLE_MS);
  }

  #tell(state) {
    this.#page.document.documentElement.dataset.viewer = state;
  }

  #whenSeen(action) {
    const { document } = this.#page;
    if (document.hidden) document.addEventListener("visibilitychange", () => this.#whenSeen(action), { once: true });
    else action();
  }

  #whenIdle(action) {
    const { requestIdleCallback } = this.#page;
    if (requestIdleCallback) requestIdleCallback.call(this.#page, action, { timeout: IDLE_TIMEOUT_MS });
    else this.#page.setTimeout(action, SETTLE_MS);
  }

  async #prepare() {
    const address = likeliestStudy(this.#list);
    if (address === null || !(await isAffordable(this.#page))) return this.#tell("off");
    const frame = this.#page.document.createElement("iframe");
    frame.className = "prepared-viewer";
    frame.dataset.prepared = "waiting";
    frame.allow = "fullscreen";
    frame.inert = true;
    frame.src = address;
    frame.addEventListener("load", () => this.#loaded());
    new MutationObserver(() => frame.dataset.prepared === "ready" && this.#tell("ready")).observe(frame, { attributes: true });
    this.#frame = frame;
    this.#page.document.body.append(frame);
    this.#page.setTimeout(() => frame.dataset.prepared !== "shown" && this.#drop(), KEPT_MS);
  }

  #drop() {
    this.#frame?.remove();
    this.#frame = null;
    this.#tell("off");
  }

  // Each document that the frame loads must be a viewer page; anything else (a refusal, a sign-out) belongs to the whole window.
  #loaded() {
    const inner = viewerPageIn(this.#frame);
    if (inner === null) {
      const where = this.#isShown ? this.#frame.contentWindow.location.href : null;
      this.#drop();
      if (where) this.#page.location.replace(where);
      return;
    }
    // Its steps become this page's, so that "back" leads through studies to the list.
    const { history } = inner;
    const replace = history.replaceState.bind(history);
    history.pushState = (state, unused, address) => {
      replace(state, unused, address);
      if (!this.#isQuiet) this.#page.history.pushState(null, "", address);
      this.#isQuiet = false;
      this.#name();
    };
    inner.document.addEventListener("click", (event) => this.#leave(event), { capture: true });
    if (this.#isShown) {
      this.#page.history.replaceState(null, "", inner.location.href);
      this.#name();
    }
  }

  get #isShown() {
    return this.#frame?.dataset.prepared === "shown" && this.#frame.inert === false;
  }

  #name() {
    const { title } = this.#frame.contentDocument;
    this.#frame.title = title;
    if (this.#isShown) this.#page.document.title = title;
  }

  // A click on a study of the list.
  #click(event) {
    const link = event.target.closest?.("a[href]");
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (event.defaultPrevented || !link || !isPlain || link.target || !isViewerOf(this.#list, link)) return;
    if (!this.#canShow(link)) return this.#drop(); // not there yet: all power to the page that is asked for
    event.preventDefault();
    this.#returnTo = link;
    this.#page.history.pushState(null, "", link.href);
    this.#show(link);
  }

  // While it is still being made ready it can become no other study.
  #canShow(link) {
    const inner = viewerPageIn(this.#frame);
    return inner !== null && (this.#frame.dataset.prepared !== "waiting" || inner.location.pathname === new URL(link.href).pathname);
  }

  #show(link) {
    const { document } = this.#page;
    document.documentElement.dataset.listTitle ??= document.title;
    for (const part of document.body.children) part.inert = part !== this.#frame;
    this.#frame.dataset.study = studyOf(link);
    this.#frame.dataset.prepared = "shown";
    this.#tell("shown");
    this.#turnTo(link);
    this.#name();
    this.#frame.focus();
    void this.#checkSession(link.href);
  }

  // Lets the viewer page itself go to a study or slice, by a link as it writes them.
  #turnTo(link) {
    const inner = this.#frame.contentWindow;
    const target = new URL(link.href);
    if (inner.location.pathname === target.pathname && !target.search && !inner.location.search) return;
    const [series, instance] = ["series", "instance"].map((name) => target.searchParams.get(name));
    const inside = inner.document.createElement("a");
    inside.href = target.href;
    if (inner.location.pathname === target.pathname && instance) {
      Object.assign(inside.dataset, { jump: "", study: studyOf(link), instance, ...(series ? { series } : {}) });
    } else {
      inside.dataset.open = "";
    }
    inside.hidden = true;
    inner.document.body.append(inside);
    this.#isQuiet = true;
    inside.click();
    inside.remove();
  }

  // The study was checked when the frame was loaded; whether the session still lives is asked anew.
  async #checkSession(address) {
    const state = viewerPageIn(this.#frame).document.querySelector("#stage").dataset.state;
    try {
      const response = await fetch(state, { cache: "no-store", credentials: "same-origin" });
      if (response.ok && (await response.json()).alive) return;
    } catch {
      return; // the network is away for a moment: the viewer says so itself
    }
    this.#page.location.replace(address);
  }

  #hide() {
    const { document } = this.#page;
    for (const part of document.body.children) part.inert = part === this.#frame;
    document.title = document.documentElement.dataset.listTitle;
    this.#tell("ready");
    this.#returnTo?.focus({ preventScroll: true });
  }

  // "All studies" of the viewer page is the way back.
  #leave(event) {
    const link = event.target.closest?.("a[href]");
    if (event.isTrusted) this.#isQuiet = false;
    if (!this.#isShown || !link || link.target || !isListOf(this.#list, link)) return;
    event.preventDefault();
    event.stopPropagation();
    this.#page.history.pushState(null, "", link.href);
    this.#hide();
  }

  #followHistory() {
    if (viewerPageIn(this.#frame) === null) return;
    const here = this.#page.document.createElement("a");
    here.href = this.#page.location.href;
    if (isViewerOf(this.#list, here)) this.#show(here);
    else if (this.#isShown) this.#hide();
  }
}

// The study that was opened last, else the newest with a finding, else the newest whose images can be opened.
export function likeliestStudy(list) {
  const rows = [...list.querySelectorAll("li.study")].filter(({ dataset }) => dataset.open);
  rows.sort((one, other) => other.dataset.started.localeCompare(one.dataset.started));
  const likely = [
    rows.find(({ dataset }) => dataset.uid === list.dataset.opened),
    rows.find((row) => row.querySelector(".findings .finding")),
    rows[0],
  ].find(Boolean);
  return likely?.dataset.open ?? null;
}

// Whether this device can spare the memory, the data and the power.
async function isAffordable({ innerWidth, navigator }) {
  const { connection, deviceMemory = LITTLE_MEMORY_GB } = navigator;
  if (innerWidth < NARROW_PX || deviceMemory < LITTLE_MEMORY_GB) return false;
  if (connection?.saveData || /2g/.test(connection?.effectiveType ?? "")) return false;
  const battery = await navigator.getBattery?.().catch(() => null);
  return !battery || battery.charging || battery.level >= LOW_BATTERY;
}

function studyOf({ href }) {
  return new URL(href).pathname.split("/").pop();
}

function isViewerOf(list, { href }) {
  const { origin, pathname } = new URL(href);
  return origin === location.origin && pathname.startsWith(`${list.dataset.sessionPath}/viewer/`);
}

function isListOf(list, { href }) {
  const { origin, pathname } = new URL(href);
  return origin === location.origin && pathname === `${list.dataset.sessionPath}/studies`;
}

// The window of the viewer page in the frame; null while there is none, or something else is in it.
function viewerPageIn(frame) {
  try {
    const inner = frame?.contentWindow;
    return inner?.document.readyState !== "loading" && inner?.document.querySelector("#stage #viewer") ? inner : null;
  } catch {
    return null;
  }
}

const list = document.querySelector("main[data-session-path]");
if (list) new PreparedViewer(window, list).start();
