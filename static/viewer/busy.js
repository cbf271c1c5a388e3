// An image server that is busy says when to come back (503 or 429 with Retry-After): the same request is sent again then,
// unchanged. A short wait passes unseen, a longer one is counted down beside the images, and a very long one is not waited for.
import { partsOf, wordsOf } from "./words.js";

// 429 says that other answers of ours are on their way, so that it ends when they do: large pictures over a slow line.
const MOST_REPEATS = { 429: 60, 503: 4 };
const LONGEST_WAIT_MS = 120_000;
const UNSEEN_MS = 3_000;
const TICK_MS = 250;

// Milliseconds until the same request may be sent again; null where it is not to be repeated by itself.
export function waitBeforeRepeating(method, status, retryAfter, repeats, now = Date.now()) {
  if (method.toUpperCase() !== "GET" || !(repeats < (MOST_REPEATS[status] ?? 0))) return null;
  const wait = waitOf(retryAfter, now);
  // A server that says "now" may say so for ever: every repetition waits a little longer.
  return wait === null || wait > LONGEST_WAIT_MS ? null : Math.max(wait, 250 * 2 ** Math.min(repeats, 4));
}

// Whole seconds or a date by the standard; fractions are seen in the field.
function waitOf(retryAfter, now) {
  const stated = (retryAfter ?? "").trim();
  if (/^[0-9]{1,9}(?:\.[0-9]{1,9})?$/.test(stated)) return Number(stated) * 1000;
  const date = /^[A-Za-z]{3}/.test(stated) ? Date.parse(stated) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

// Holds requests back. Several that wait at once share one notice, which ends with the last of them.
export class BusyServers {
  #page;
  #tell;
  #now;
  #until = [];
  #ticking = null;

  // `tell` gets whether a countdown stands on the page.
  constructor(page, tell = () => {}, now = () => Date.now()) {
    this.#page = page;
    this.#tell = tell;
    this.#now = now;
  }

  waitFor(method, status, retryAfter, repeats) {
    return waitBeforeRepeating(method, status, retryAfter, repeats, this.#now());
  }

  async hold(wait) {
    const until = this.#now() + wait;
    if (wait > UNSEEN_MS) this.#show(until);
    await new Promise((resolve) => setTimeout(resolve, wait));
    this.#until = this.#until.filter((one) => one !== until);
    if (this.#until.length === 0) this.#hide();
  }

  #show(until) {
    this.#until.push(until);
    if (this.#ticking !== null) return;
    const notice = drawn(this.#page);
    const left = notice.querySelector("[data-left]");
    const tick = () => {
      left.textContent = String(Math.max(0, Math.ceil((Math.max(...this.#until) - this.#now()) / 1000)));
    };
    tick();
    this.#ticking = setInterval(tick, TICK_MS);
    this.#page.body.append(notice);
    this.#tell(true);
  }

  #hide() {
    if (this.#ticking === null) return;
    clearInterval(this.#ticking);
    this.#ticking = null;
    this.#page.getElementById("imaging-cds-busy")?.remove();
    this.#tell(false);
  }
}

function drawn(page) {
  const notice = page.createElement("div");
  notice.id = "imaging-cds-busy";
  // A timer is not read aloud at every tick, as a live region would be.
  notice.setAttribute("role", "timer");
  const heading = page.createElement("strong");
  heading.textContent = wordsOf(page, "busy.heading");
  const text = page.createElement("span");
  text.append(partsOf(page, "busy.text"));
  notice.append(heading, text);
  return notice;
}
