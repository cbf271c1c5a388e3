// Images that a server refuses may have moved: the application is asked once for each study where they are now, and all
// requests of that study that were refused wait for the same answer.
const STUDY = /\/studies\/([0-9.]+)(?:\/|$)/;

export class Recovery {
  #page;
  #sessionPath;
  #asked = new Map();

  constructor(page, sessionPath) {
    this.#page = page;
    this.#sessionPath = sessionPath;
  }

  // Whether the refused request may be sent once more. Where the images are elsewhere by now the page loads itself again.
  mayRepeat(address, status) {
    const study = STUDY.exec(new URL(address, this.#page.location.href).pathname)?.[1];
    if (study === undefined || (status !== 401 && status !== 403)) return Promise.resolve(false);
    if (!this.#asked.has(study)) this.#asked.set(study, this.#ask(study, status));
    return this.#asked.get(study);
  }

  async #ask(study, status) {
    try {
      const answer = await this.#page.fetch(`${this.#sessionPath}/studies/${study}/recover`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ status }),
        credentials: "same-origin",
        cache: "no-store",
      });
      const { again } = answer.ok ? await answer.json() : {};
      if (again === "reload") reloadOnce(this.#page, study);
      return again === "retry";
    } catch {
      return false;
    }
  }
}

// The page around the viewer searches anew when it is loaded. It remembers in its own entry of the history that it did.
function reloadOnce(page, study) {
  const around = page.parent;
  if (around.history.state?.recovered === study) return;
  around.history.replaceState({ ...around.history.state, recovered: study }, "");
  around.location.reload();
}
