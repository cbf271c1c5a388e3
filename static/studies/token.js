// The launch's access token for the list's small pictures: in memory only, asked for when the first picture is wanted.
import { requestToken } from "../viewer/token_request.js";

export class ListToken {
  #path;
  #token = null;
  #expiresAt = 0;
  #inFlight = null;
  hasEnded = false;

  constructor(path) {
    this.#path = path;
  }

  // The token to send now; null once the session gives none.
  async current() {
    if (!this.hasEnded && (this.#token === null || Date.now() >= this.#expiresAt)) await this.#ask(false);
    return this.#token;
  }

  // A server refused this token: a newer one, or null when there is none.
  async afterRefusalOf(token) {
    if (!this.hasEnded && token === this.#token) await this.#ask(true);
    return this.#token === token ? null : this.#token;
  }

  forget() {
    this.#token = null;
    this.#expiresAt = 0;
  }

  // One question at a time, however many pictures wait for it.
  #ask(wasRefused) {
    this.#inFlight ??= this.#fetchToken(wasRefused).finally(() => {
      this.#inFlight = null;
    });
    return this.#inFlight;
  }

  async #fetchToken(wasRefused) {
    try {
      const response = await requestToken(this.#path, wasRefused);
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const { access_token, expires_in } = await response.json();
      this.#token = access_token;
      this.#expiresAt = Date.now() + expires_in * 1000;
    } catch {
      // Pictures are an extra: the rows say everything without them, so nothing more is asked on this page.
      this.hasEnded = true;
      this.forget();
    }
  }
}
