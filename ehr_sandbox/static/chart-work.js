// The panel beside which advice is drawn: composing and signing orders, discharge, booking, a completed study. The form is
// the server's; this script posts its fields, fires the hook of the work in hand, and never lets a late answer overwrite a
// newer one.

import { Refusal, announce, attempt, chart, loadInto, loadOrders, loadWire, part, post } from "./chart-web.js";

const DEBOUNCE_MS = 350;
const work = part("work");
const form = part("work-form");
const cards = part("work-cards");

// What is being done: its kind, the id of what it is done with, the button that began it.
let current = null;
let unfinishedOrder = false;

const url = (path) => `${chart.dataset.chartUrl}/${path}`;

function fields(doing) {
  const element = form.firstElementChild;
  const typed = element instanceof HTMLFormElement ? Object.fromEntries(new FormData(element)) : {};
  if (doing.kind === "order") return { low_dose: "", ...typed };
  if (doing.kind === "booking") return { order: doing.id, ...typed };
  return doing.kind === "study" ? { study: doing.id } : {};
}

function isReady(doing) {
  const element = form.firstElementChild;
  if (doing.kind === "order") return element.elements.examination.value !== "";
  if (doing.kind === "booking") return element.checkValidity();
  return doing.kind !== "signing" || part("work-confirm") !== null;
}

// Opening and closing

async function open(kind, id, opener, notice = "") {
  await leave();
  const doing = { kind, id, opener, timer: 0, isAsking: false, isStale: false };
  let drawn;
  try {
    drawn = await post(url(`work/${kind}`), { [kind === "study" ? "study" : "order"]: id });
  } catch (error) {
    await close();
    throw error;
  }
  const { html } = drawn;
  current = doing;
  show(html, notice);
  cards.replaceChildren();
  if (notice) part("work-notice").focus();
  else (form.querySelector("[data-first]:not(:disabled)") ?? part("work-title")).focus();
  work.scrollIntoView({ block: "start" });
  begin();
}

function show(html, notice) {
  form.innerHTML = html;
  work.hidden = false;
  part("work-title").textContent = form.firstElementChild.dataset.title;
  part("work-notice").textContent = notice;
  part("work-notice").hidden = !notice;
}

function begin() {
  if (isReady(current)) {
    ask();
    return;
  }
  const hints = {
    order: "Choose an examination. Advice appears here while you write.",
    booking: "Choose a day. Advice appears here.",
    signing: "Nothing to check.",
  };
  hint(hints[current.kind]);
}

function hint(text) {
  cards.replaceChildren(Object.assign(document.createElement("p"), { className: "quiet empty", textContent: text }));
}

async function leave() {
  const doing = current;
  current = null;
  clearTimeout(doing?.timer);
  busy(false);
  if (doing?.kind !== "order") return;
  unfinishedOrder = !doing.id && isReady(doing);
  // What was typed last is kept like the rest; what makes no order is forgotten.
  if (isReady(doing)) await post(url("orders/keep"), fields(doing)).catch(() => {});
}

async function close() {
  const opener = current?.opener;
  await leave();
  work.hidden = true;
  form.replaceChildren();
  cards.replaceChildren();
  nameOrderButton();
  const next = opener?.isConnected ? opener : document.querySelector('#orders [data-work="order"]:not([data-id])');
  next?.focus();
}

function nameOrderButton() {
  const button = document.querySelector('#orders [data-work="order"]:not([data-id])');
  if (button) button.textContent = unfinishedOrder ? "Continue order" : "New imaging order";
}

async function redrawOrders() {
  await loadOrders();
  nameOrderButton();
}

// Asking the services

function busy(isBusy) {
  cards.setAttribute("aria-busy", String(isBusy));
  cards.inert = isBusy;
  part("work-state").textContent = isBusy ? "checking…" : "";
}

function fault(text) {
  const place = part("work-fault");
  if (!place) return announce(text);
  place.textContent = text;
  place.hidden = !text;
}

function askSoon() {
  clearTimeout(current.timer);
  if (part("work-confirm")) part("work-confirm").disabled = true;
  part("work-notice").hidden = true;
  if (!isReady(current)) return;
  busy(true);
  current.timer = setTimeout(ask, DEBOUNCE_MS);
}

async function ask() {
  const doing = current;
  doing.timer = 0;
  // One question at a time: what changed meanwhile is asked once the answer is there.
  doing.isStale = true;
  if (doing.isAsking) return;
  doing.isAsking = true;
  busy(true);
  try {
    while (doing.isStale && current === doing) {
      doing.isStale = false;
      const answer = await post(url(`hooks/${form.firstElementChild.dataset.hook}`), fields(doing));
      if (current === doing && !doing.isStale && !doing.timer) draw(answer);
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (current === doing) refuse(error.message);
  } finally {
    doing.isAsking = false;
    if (current === doing && !doing.timer) busy(false);
  }
  await loadWire();
}

function draw(answer) {
  cards.innerHTML = answer.html;
  fault("");
  announce(answer.text);
  const confirm = part("work-confirm");
  if (!confirm) return;
  confirm.textContent = answer.warns ? confirm.dataset.anyway : confirm.dataset.plain;
  confirm.disabled = false;
}

function refuse(text) {
  fault(text);
  hint("No advice: this cannot be checked as it stands.");
}

// What is clicked

// After a suggestion was taken: the work that it changes is drawn and checked anew. False where the card may simply stay.
export async function afterAccept(answer, isBesideWork) {
  if (current?.kind === "signing") {
    await open("signing", "", current.opener, answer.text);
    return true;
  }
  if (current?.kind !== "order" || !(isBesideWork || answer.form)) return false;
  if (answer.form === "gone") {
    unfinishedOrder = false;
    current.kind = "done";
    await close();
    announce(answer.text);
    return true;
  }
  if (answer.form === "changed") {
    const { html } = await post(url("work/order"), { again: true });
    show(html, answer.text);
  } else {
    part("work-notice").textContent = answer.text;
    part("work-notice").hidden = false;
  }
  part("work-notice").focus();
  announce(answer.text);
  await ask();
  return true;
}

async function finish(path, posted) {
  const answer = await post(url(path), posted);
  await redrawOrders();
  return answer.text;
}

async function submit(submitter) {
  const doing = current;
  try {
    if (doing.kind === "order") {
      clearTimeout(doing.timer);
      const text = await finish("orders/save", fields(doing));
      doing.kind = "done";
      unfinishedOrder = false;
      if (submitter.dataset.then) await open(submitter.dataset.then, "", doing.opener);
      else await close();
      announce(text);
      return nameOrderButton();
    }
    const text = await finish(doing.kind === "signing" ? "orders/sign" : "appointments", fields(doing));
    if (doing.kind === "booking") await loadInto(part("appointments"), url("sections/appointments"));
    await close();
    announce(text);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // Drafts that have changed meanwhile are listed and checked again; the clinician decides once more.
    if (doing.kind === "signing") await open("signing", "", doing.opener, error.message);
    else fault(error.message);
  }
}

async function discard() {
  const text = (await post(url("orders/discard"), {})).text;
  current.kind = "done";
  unfinishedOrder = false;
  await close();
  announce(text);
}

async function remove(button) {
  if (!button.dataset.isSure) {
    button.dataset.isSure = "yes";
    const was = button.innerHTML;
    button.textContent = "Really remove?";
    button.addEventListener("blur", () => ((button.innerHTML = was), delete button.dataset.isSure), { once: true });
    return;
  }
  const text = await finish("orders/remove", { order: button.dataset.remove });
  if (current?.kind === "signing") await open("signing", "", current.opener, text);
  else document.querySelector('#orders [data-work="order"]:not([data-id])')?.focus();
  announce(text);
}

export function listensToWork() {
  document.getElementById("main").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.work) attempt(button, () => open(button.dataset.work, button.dataset.id ?? "", button));
    if (button.dataset.remove) attempt(button, () => remove(button));
    if ("discard" in button.dataset) attempt(button, discard);
    if ("recheck" in button.dataset) attempt(button, ask);
  });
  form.addEventListener("input", () => askSoon());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(event.submitter, () => submit(event.submitter));
  });
  part("work-close").addEventListener("click", close);
  work.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
}
