// Holds the launch's access token in memory, and nowhere else: fetched by a same-origin POST, renewed at four fifths of
// its life and on demand, wiped when the session ends.
import { requestToken } from "./token_request.js";

const RENEW_AT = 0.8;
const RETRY_DELAYS_MS = [1000, 3000, 9000];
const REPEAT_AFTER_MS = 10000;
const SESSION_GONE = new Set([401, 403, 404, 410]);

export class TokenKeeper {
  #tokenPath;
  #onEnded;
  #token = null;
  #dueAt = 0;
  #expiresAt = 0;
  #timer = null;
  #inFlight = null;
  #endReason = null;

  constructor({ tokenPath, onEnded }) {
    this.#tokenPath = tokenPath;
    this.#onEnded = onEnded;
  }

  start() {
    void this.#renew(false);
  }

  get hasEnded() {
    return this.#endReason !== null;
  }

  // What OHIF asks for; only reads memory.
  header() {
    return this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` };
  }

  // The token to send now, waiting for a renewal when there is none or it has run out; null once the session ended.
  async current() {
    if (this.#token === null || Date.now() >= this.#expiresAt) await this.#renew(false);
    else this.renewIfDue();
    return this.#token;
  }

  // Timers sleep in hidden pages and sleeping laptops, so this is also called on use and on becoming visible.
  renewIfDue() {
    if (!this.hasEnded && Date.now() >= this.#dueAt) void this.#renew(false);
  }

  // The server refused this token. Returns a newer one, after one renewal at most, or null once the session ended.
  async afterRefusalOf(token) {
    if (this.hasEnded) return null;
    if (token === this.#token) await this.#renew(true);
    if (!this.hasEnded && token === this.#token) this.end("refused");
    return this.#token;
  }

  end(reason) {
    if (this.hasEnded) return;
    this.#endReason = reason;
    this.#token = null;
    clearTimeout(this.#timer);
    this.#onEnded(reason);
  }

  // One renewal at a time, however many requests wait for it.
  #renew(wasRefused) {
    if (this.hasEnded) return Promise.resolve();
    this.#inFlight ??= this.#fetchToken(wasRefused).finally(() => {
      this.#inFlight = null;
    });
    return this.#inFlight;
  }

  async #fetchToken(wasRefused) {
    for (const delay of [0, ...RETRY_DELAYS_MS]) {
      await new Promise((resolve) => setTimeout(resolve, delay));
      const answer = await this.#ask(wasRefused);
      if (answer === "gone") return this.end("session");
      if (answer !== null) return this.#keep(answer);
    }
    if (Date.now() >= this.#expiresAt) return this.end("unreachable");
    this.#schedule(REPEAT_AFTER_MS);
  }

  // The server's answer, "gone" when the session is over, null when asking again may help.
  async #ask(wasRefused) {
    try {
      const response = await requestToken(this.#tokenPath, wasRefused);
      if (SESSION_GONE.has(response.status)) return "gone";
      if (!response.ok) return null;
      const { access_token, expires_in } = await response.json();
      return typeof access_token === "string" && expires_in > 0 ? { access_token, expires_in } : null;
    } catch {
      return null;
    }
  }

  #keep({ access_token, expires_in }) {
    this.#token = access_token;
    this.#expiresAt = Date.now() + expires_in * 1000;
    this.#dueAt = Date.now() + expires_in * 1000 * RENEW_AT;
    this.#schedule(this.#dueAt - Date.now());
  }

  #schedule(delayMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renew(false), delayMs);
  }
}
