// Small pictures of the rows on screen: fetched with the token, few at a time, given up when their row leaves the screen.
const AT_A_TIME = 3;
const MARGIN = "150px";
const LARGEST_BYTES = 2_000_000;
const LONGEST_PAUSE_S = 60;
const MOST_PAUSES = 5;

export class Thumbnails {
  #token;
  #observer;
  #waiting = [];
  #running = new Map();
  #pausedUntil = 0;
  #pauses = 0;

  constructor(token, page = window) {
    this.#token = token;
    if (page.navigator.connection?.saveData) return;
    this.#observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: MARGIN });
    page.addEventListener("pagehide", () => this.stop());
  }

  watch(elements) {
    for (const element of elements) if (element.dataset.thumbnail) this.#observer?.observe(element);
  }

  stop() {
    this.#observer?.disconnect();
    this.#waiting = [];
    for (const controller of this.#running.values()) controller.abort();
    this.#token.forget();
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.#waiting.push(target);
      else this.#giveUp(target);
    }
    this.#next();
  }

  #giveUp(element) {
    this.#waiting = this.#waiting.filter((one) => one !== element);
    this.#running.get(element)?.abort();
  }

  #next() {
    if (Date.now() < this.#pausedUntil || this.#token.hasEnded) return;
    while (this.#running.size < AT_A_TIME) {
      // A row that left and came back waits for the end of what was given up.
      const at = this.#waiting.findIndex((element) => !this.#running.has(element));
      if (at < 0) return;
      void this.#load(...this.#waiting.splice(at, 1));
    }
  }

  async #load(element) {
    const controller = new AbortController();
    this.#running.set(element, controller);
    try {
      const outcome = await this.#fetchPicture(element.dataset.thumbnail, controller.signal);
      if (outcome instanceof Blob) {
        this.#pauses = 0;
        await show(outcome, element);
      } else if (outcome !== null) return this.#pause(outcome, element, controller.signal);
      // Shown or not to be had: not asked for again.
      this.#observer.unobserve(element);
    } catch (error) {
      // The glyph stays. A row that left the screen is asked for again when it comes back.
      if (error.name !== "AbortError") this.#observer.unobserve(element);
    } finally {
      this.#running.delete(element);
      this.#next();
    }
  }

  // The server is busy: everything waits as long as the longest of its answers says, this row first afterwards. One that is
  // busy time after time, with no picture between, is left alone.
  #pause(seconds, element, signal) {
    if (Date.now() >= this.#pausedUntil) this.#pauses += 1;
    if (this.#pauses > MOST_PAUSES) return this.stop();
    if (!signal.aborted) this.#waiting.unshift(element);
    this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + seconds * 1000);
    setTimeout(() => this.#next(), seconds * 1000 + 20);
  }

  // The picture, null where there is none, or for how many seconds the server wants to be left alone.
  async #fetchPicture(address, signal) {
    const token = await this.#token.current();
    signal.throwIfAborted();
    if (token === null) return null;
    let response = await send(address, token, signal);
    if (response.status === 401) {
      const newer = await this.#token.afterRefusalOf(token);
      if (newer === null) return null;
      response = await send(address, newer, signal);
    }
    if (response.status === 503 || response.status === 429) return secondsToWait(response);
    return response.ok ? picture(response) : null;
  }
}

function send(address, token, signal) {
  return fetch(address, {
    headers: { Accept: "image/jpeg", Authorization: `Bearer ${token}` },
    credentials: "omit",
    cache: "no-store",
    redirect: "error",
    referrerPolicy: "no-referrer",
    signal,
  });
}

function secondsToWait(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return seconds > 0 && seconds <= LONGEST_PAUSE_S ? seconds : null;
}

async function picture(response) {
  const isPicture = /^image\/(jpeg|png|gif|webp)\b/.test(response.headers.get("Content-Type") ?? "");
  if (!isPicture || Number(response.headers.get("Content-Length") ?? 0) > LARGEST_BYTES) {
    await response.body?.cancel();
    return null;
  }
  const blob = await response.blob();
  return blob.size <= LARGEST_BYTES ? blob : null;
}

async function show(blob, element) {
  const address = URL.createObjectURL(blob);
  const image = new Image();
  // The row's title names the study; the picture adds nothing for those who cannot see it.
  image.alt = "";
  image.src = address;
  try {
    await image.decode();
    element.querySelector(".thumbnail")?.replaceChildren(image);
  } finally {
    URL.revokeObjectURL(address);
  }
}
