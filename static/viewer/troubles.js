// Notices that images do not come, so that a black viewport is never the only sign of it.
const SLOW_AFTER_MS = 15000;
// Without these there is no picture; of the viewer's other questions only an archive that is away is worth a word.
const NEEDED = /\/(?:frames\/[0-9,]+|metadata)$/;

export class ImageTroubles {
  #tell;
  #open = new Set();
  #isHeld = false;
  #lasting = null;
  #said = null;

  // `tell` gets "slow", "unavailable", "refused" or "missing", and null when nothing is wrong any more.
  constructor(tell) {
    this.#tell = tell;
  }

  // Called when a request to an image server begins; the function it returns is called with what became of it.
  watch(address) {
    const path = String(address).split("?", 1)[0];
    const request = { isSlow: false, timer: null };
    this.#open.add(request);
    this.#time(request);
    return (status) => {
      clearTimeout(request.timer);
      this.#open.delete(request);
      // An image that failed stays black when later ones come, so what was said of it stays too.
      this.#lasting ??= troubleOf(path, status);
      this.#say();
    };
  }

  // Whether a busy server's countdown stands beside the images: it says already why they are late, and until when. What goes
  // out again after it has its full time.
  hold(isHeld) {
    this.#isHeld = isHeld;
    if (!isHeld) for (const request of this.#open) this.#time(request);
    this.#say();
  }

  #time(request) {
    clearTimeout(request.timer);
    request.isSlow = false;
    request.timer = setTimeout(() => {
      request.isSlow = true;
      this.#say();
    }, SLOW_AFTER_MS);
  }

  #say() {
    const isSlow = !this.#isHeld && [...this.#open].some((request) => request.isSlow);
    const trouble = this.#lasting ?? (isSlow ? "slow" : null);
    // Said once: a notice that is drawn again would be read aloud again.
    if (trouble === this.#said) return;
    this.#said = trouble;
    this.#tell(trouble);
  }
}

// 401 is the token's matter and has its own notice.
function troubleOf(path, status) {
  if (status === null || status === 401) return null;
  if (status === 0 || status === 429 || status >= 500) return "unavailable";
  if (status < 400 || !NEEDED.test(path)) return null;
  return status === 403 ? "refused" : "missing";
}
