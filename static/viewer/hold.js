// A viewer that stands ready behind the study list (static/warm.js) loads what describes its study and no more: requests
// for pixels wait until the reader has opened that study. So no image is disclosed that nobody asked for, and the imaging
// server's audit tells a study that was only described from one that was opened.
const DESCRIBES = /\/(?:studies|series|instances|metadata)$/;
const STUDY = /\/studies\/([0-9.]+)(?:\/|$)/;
// Studies with more series than this stay half described until they are opened.
const MOST_DESCRIPTIONS = 40;

// What every request beneath the DICOMweb roots waits for, as a function of its address; null in an ordinary viewer.
export function holdUntilShown(page) {
  const frame = preparedFrame(page);
  return frame === null ? null : new Hold(page, frame).admission();
}

class Hold {
  #page;
  #frame;
  #described = 0;
  #waiting = [];

  constructor(page, frame) {
    this.#page = page;
    this.#frame = frame;
    const look = () => this.#isShown && this.#release(frame.dataset.study);
    new page.MutationObserver(look).observe(frame, { attributes: true, attributeFilter: ["data-prepared", "data-study"] });
  }

  admission() {
    return (address) => this.#admit(new URL(address, this.#page.location.href).pathname);
  }

  get #isShown() {
    return this.#frame.dataset.prepared === "shown";
  }

  #admit(path) {
    const study = STUDY.exec(path)?.[1];
    if (this.#isShown) {
      this.#release(study);
      return Promise.resolve();
    }
    if (DESCRIBES.test(path) && ++this.#described <= MOST_DESCRIPTIONS) return Promise.resolve();
    this.#frame.dataset.prepared = "ready";
    return new Promise((resolve) => this.#waiting.push({ study, resolve }));
  }

  // Of a study that the reader passed over, what waits goes on waiting.
  #release(wanted) {
    for (const { study, resolve } of this.#waiting) if (study === wanted) resolve();
    this.#waiting = this.#waiting.filter(({ study }) => study !== wanted);
  }
}

// The list's frame around the viewer page around this viewer; all three are ours, or there is none.
function preparedFrame(page) {
  try {
    const frame = page.parent === page ? null : page.parent.frameElement;
    return frame?.dataset.prepared === undefined ? null : frame;
  } catch {
    return null;
  }
}
