// A stand-in for web storage that lives as long as the page. In a cross-site frame with third-party cookies blocked
// the mere touch of `localStorage` throws, and OHIF would stay black.
export class PageStorage {
  #entries = new Map();

  get length() {
    return this.#entries.size;
  }

  key(index) {
    return [...this.#entries.keys()][index] ?? null;
  }

  getItem(key) {
    return this.#entries.get(String(key)) ?? null;
  }

  setItem(key, value) {
    this.#entries.set(String(key), String(value));
  }

  removeItem(key) {
    this.#entries.delete(String(key));
  }

  clear() {
    this.#entries.clear();
  }
}

export function ensureStorage(page, names) {
  for (const name of names) {
    if (!isUsable(page, name)) {
      Object.defineProperty(page, name, { value: new PageStorage(), configurable: true });
    }
  }
}

function isUsable(page, name) {
  try {
    page[name].getItem("");
    return true;
  } catch {
    return false;
  }
}
