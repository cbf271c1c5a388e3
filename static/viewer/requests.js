// Every request that the page sends passes here. Beneath this launch's DICOMweb roots the current token is set at the
// moment of sending, a 401 is answered by one renewal and one repetition; anywhere else an Authorization header is
// taken off, so that the token never reaches another server. What became of a request beneath the roots is told to
// `watch`: it is called with the address, and its answer with the status (0: no answer, null: no longer wanted). Nothing is
// sent before the promise that `admit` gives for its address is kept. A server that is busy is asked again when `busy` says,
// and one that refuses once more where `recovery` finds that the images are still this patient's.

export function guardRequests(page, roots, keeper, watch = () => () => {}, admit = null, busy = null, recovery = null) {
  const isGuarded = (address) => {
    const { href } = new URL(address, page.location.href);
    return roots.some((root) => href.startsWith(`${root}/`));
  };
  page.XMLHttpRequest = guardedRequestClass(page.XMLHttpRequest, isGuarded, keeper, { watch, admit, busy, recovery });
  page.fetch = guardedFetch(page.fetch.bind(page), isGuarded, keeper, { watch, admit, busy, recovery });
}

function isAuthorization(name) {
  return String(name).toLowerCase() === "authorization";
}

function guardedFetch(send, isGuarded, keeper, { watch, admit, busy, recovery }) {
  return async (input, init) => {
    const address = input instanceof Request ? input.url : String(input);
    const request = new Request(input, init);
    request.headers.delete("Authorization");
    if (!isGuarded(address)) return send(request);
    if (admit) await admit(address);
    const settle = watch(address);
    try {
      const response = await sendPatiently(send, request, keeper, { busy, recovery });
      settle(response.status);
      return response;
    } catch (error) {
      settle(error.name === "AbortError" ? null : 0);
      throw error;
    }
  };
}

async function sendPatiently(send, request, keeper, { busy, recovery }) {
  let mayRecover = recovery !== null;
  for (let repeats = 0; ; repeats += 1) {
    const { response, isFinal } = await sendWithToken(send, request.clone(), keeper);
    if (isFinal) return response;
    const wait = busy?.waitFor(request.method, response.status, response.headers.get("Retry-After"), repeats) ?? null;
    if (wait !== null) {
      await busy.hold(wait);
    } else if (mayRecover && isRefusal(response.status) && (await recovery.mayRepeat(request.url, response.status))) {
      mayRecover = false;
    } else {
      if (response.status === 401) keeper.end("refused");
      return response;
    }
  }
}

function isRefusal(status) {
  return status === 401 || status === 403;
}

// `isFinal`: no token can be had, so nothing more is tried.
async function sendWithToken(send, request, keeper) {
  const token = await keeper.current();
  const response = await send(withToken(request.clone(), token));
  if (response.status !== 401) return { response, isFinal: false };
  const newer = token === null ? null : await keeper.afterRefusalOf(token);
  if (newer === null) return { response, isFinal: true };
  return { response: await send(withToken(request, newer)), isFinal: false };
}

function withToken(request, token) {
  if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
  return request;
}

function guardedRequestClass(Base, isGuarded, keeper, { watch, admit, busy, recovery }) {
  const SEEN = ["readystatechange", "loadstart", "progress", "load", "error", "abort", "timeout", "loadend"];

  return class GuardedRequest extends Base {
    #opening = [];
    #headers = [];
    #body = null;
    #guarded = false;
    #token = null;
    #attempt = 0;
    #busyRepeats = 0;
    #wait = undefined;
    #mayRecover = true;
    #reopening = false;
    #aborted = false;
    #settle = () => {};

    constructor() {
      super();
      // Registered before any listener of the viewer, so a refused first attempt can be kept from it.
      for (const type of SEEN) super.addEventListener(type, (event) => this.#watch(event));
    }

    open(...opening) {
      this.#opening = opening;
      this.#headers = [];
      this.#attempt = 0;
      this.#busyRepeats = 0;
      this.#mayRecover = recovery !== null;
      this.#aborted = false;
      const isAsynchronous = opening.length < 3 || opening[2] !== false;
      this.#guarded = isAsynchronous && isGuarded(opening[1]);
      super.open(...opening);
    }

    setRequestHeader(name, value) {
      if (isAuthorization(name)) return;
      this.#headers.push([name, value]);
      super.setRequestHeader(name, value);
    }

    send(body = null) {
      if (!this.#guarded) return super.send(body);
      this.#body = body;
      if (!admit) return this.#begin();
      const opening = this.#opening;
      void admit(opening[1]).then(() => !this.#aborted && opening === this.#opening && this.#begin());
    }

    #begin() {
      this.#settle = watch(this.#opening[1]);
      void keeper.current().then((token) => this.#sendWith(token));
    }

    abort() {
      this.#aborted = true;
      this.#settle(null);
      super.abort();
    }

    #sendWith(token) {
      if (this.#aborted) return;
      if (token === null) return this.#fail();
      this.#token = token;
      this.#wait = undefined;
      this.#attempt += 1;
      super.setRequestHeader("Authorization", `Bearer ${token}`);
      super.send(this.#body);
    }

    #watch(event) {
      if (this.#reopening) return event.stopImmediatePropagation();
      if (!this.#guarded || !event.isTrusted) return;
      const wait = this.#busyWait();
      if (wait !== null) {
        event.stopImmediatePropagation();
        if (event.type === "loadend") void busy.hold(wait).then(() => this.#repeatAsItWas());
        return;
      }
      const wasRenewed = this.#attempt > 1;
      if (this.#mayRecover && (this.status === 403 || (this.status === 401 && wasRenewed))) {
        event.stopImmediatePropagation();
        if (event.type === "loadend") void this.#recover();
        return;
      }
      if (this.status !== 401) {
        if (event.type === "loadend" && !this.#aborted) this.#settle(this.status);
        return;
      }
      if (wasRenewed) {
        if (event.type === "loadend") this.#end();
        return;
      }
      event.stopImmediatePropagation();
      if (event.type === "loadend") void keeper.afterRefusalOf(this.#token).then((token) => this.#repeat(token));
    }

    // How long this answer asks to wait; the same for all events of one attempt.
    #busyWait() {
      if (!busy || this.#aborted || this.readyState < Base.HEADERS_RECEIVED) return null;
      if (this.#wait === undefined) {
        const retryAfter = this.status === 0 ? null : this.getResponseHeader("Retry-After");
        this.#wait = busy.waitFor(this.#opening[0], this.status, retryAfter, this.#busyRepeats);
      }
      return this.#wait;
    }

    // Once for each request: it is sent again, or the viewer is told of the refusal that was kept from it.
    async #recover() {
      this.#mayRecover = false;
      const opening = this.#opening;
      const mayRepeat = await recovery.mayRepeat(opening[1], this.status);
      if (this.#aborted || opening !== this.#opening) return;
      if (mayRepeat) return this.#repeatAsItWas();
      this.#end();
      for (const type of ["readystatechange", "load", "loadend"]) this.dispatchEvent(new ProgressEvent(type));
    }

    #end() {
      this.#settle(this.status);
      if (this.status === 401) keeper.end("refused");
    }

    #repeatAsItWas() {
      this.#busyRepeats += 1;
      // Another token may be due by now, and its refusal is a refusal of its own.
      this.#attempt = 0;
      void keeper.current().then((token) => this.#repeat(token));
    }

    #repeat(token) {
      if (this.#aborted) return;
      if (token === null) return this.#fail();
      this.#reopening = true;
      super.open(...this.#opening);
      for (const [name, value] of this.#headers) super.setRequestHeader(name, value);
      this.#reopening = false;
      this.#sendWith(token);
    }

    // Without a token nothing is sent; the viewer sees a failed request.
    #fail() {
      this.#settle(null);
      for (const type of ["error", "loadend"]) this.dispatchEvent(new ProgressEvent(type));
    }
  };
}
