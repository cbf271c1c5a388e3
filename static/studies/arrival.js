// Lets the rest of a long list in: rows, reports and findings as they come, with a progress bar, and a way on after a fault.
import { readersPlaceIn } from "./rows.js";
import { StreamBroken, linesOf } from "./stream.js";

export class Arrival {
  #address;
  #rows;
  #groups;
  #words;
  #onRows;
  #controller = null;
  #countdown = null;

  constructor(address, { rows, groups, words, onRows }) {
    this.#address = address;
    this.#rows = rows;
    this.#groups = groups;
    this.#words = words;
    this.#onRows = onRows;
    by("retry").querySelector("button").addEventListener("click", () => void this.start());
    addEventListener("pagehide", () => this.#controller?.abort());
  }

  async start() {
    this.#controller?.abort();
    this.#controller = new AbortController();
    by("retry").hidden = true;
    by("stream-failed").replaceChildren();
    this.#showPending(true);
    this.#progress(this.#rows.all.length, null);
    try {
      for await (const told of linesOf(this.#address, this.#controller.signal)) this.#take(told);
    } catch (error) {
      if (this.#controller.signal.aborted) return;
      // A cut connection is a TypeError of fetch or of the reader.
      if (!(error instanceof StreamBroken || error instanceof TypeError)) throw error;
      this.#failed(message(this.#words.say("broken")));
    }
  }

  #take(told) {
    this.#stopBusy();
    const takers = {
      rows: () => this.#takeRows(told),
      reports: () => this.#takeSlots(told.rows, "reports"),
      findings: () => this.#takeFindings(told),
      notes: () => by("stream-notes").replaceChildren(parsed(told.html)),
      busy: () => this.#busy(told.seconds),
      done: () => this.#done(),
      failed: () => this.#failed(parsed(told.html)),
    };
    takers[told.kind]?.();
  }

  #takeRows({ html, found, total }) {
    const elements = [...parsed(html).querySelectorAll("li.study")];
    const added = this.#rows.add(elements);
    this.#groups.replaced(this.#rows);
    this.#groups.insert(added);
    this.#progress(found ?? this.#rows.all.length, total ?? null);
    this.#onRows(elements);
  }

  #takeFindings({ rows }) {
    this.#noLongerPending('[data-pending="findings"]');
    this.#takeSlots(rows, "findings");
  }

  #takeSlots(htmlByUid, name) {
    const changed = [];
    for (const [uid, html] of Object.entries(htmlByUid ?? {})) {
      const row = this.#rows.of(uid);
      const slot = row?.element.querySelector(`.${name}`);
      if (!slot) continue;
      const bringBack = readersPlaceIn(slot);
      slot.replaceChildren(parsed(html));
      bringBack(slot);
      row.readSlots();
      changed.push(row.element);
    }
    this.#onRows(changed);
  }

  #showPending(isShown) {
    for (const sentence of document.querySelectorAll("[data-pending]")) sentence.hidden = !isShown;
  }

  #noLongerPending(which) {
    for (const sentence of document.querySelectorAll(which)) sentence.remove();
  }

  #progress(shown, total) {
    const bar = by("progress").querySelector("progress");
    by("progress").hidden = false;
    if (total === null) bar.removeAttribute("value");
    else Object.assign(bar, { max: Math.max(total, 1), value: Math.min(shown, total) });
    by("progress-words").textContent = this.#words.say(total === null ? "arrivingOpen" : "arriving", { shown, total });
  }

  #done() {
    by("progress").hidden = true;
    this.#noLongerPending("[data-pending]");
    this.#onRows([], { isDone: true });
  }

  #failed(content) {
    this.#stopBusy();
    by("progress").hidden = true;
    // What was not looked at must not read as "nothing there".
    by("stream-failed").replaceChildren(content, message(this.#words.say("incomplete")));
    by("retry").hidden = false;
    this.#showPending(false);
    this.#onRows([], { isBroken: true });
  }

  // Said once to those who listen; the seconds that tick are for the eye.
  #busy(seconds) {
    let left = Math.max(1, Math.round(seconds));
    const [before, after] = this.#words.say("busy", { seconds: "\n" }).split("\n");
    const number = document.createElement("span");
    const show = () => {
      number.textContent = this.#words.number(left);
    };
    show();
    by("busy").replaceChildren(before, number, after);
    by("busy").setAttribute("aria-live", "polite");
    by("busy").hidden = false;
    this.#countdown = setInterval(() => {
      by("busy").setAttribute("aria-live", "off");
      left = Math.max(0, left - 1);
      show();
    }, 1000);
  }

  #stopBusy() {
    clearInterval(this.#countdown);
    by("busy").hidden = true;
  }
}

function by(id) {
  return document.getElementById(id);
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html ?? "";
  return template.content;
}

function message(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "message warning";
  paragraph.textContent = text;
  return paragraph;
}
