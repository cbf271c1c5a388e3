// The panel beside which advice is drawn: composing and signing orders, discharge, booking, a completed study. The form is
// the server's; this script posts its fields, fires the hook of the work in hand, and never lets a late answer overwrite a
// newer one.

import { choices, fields, isReady, isSure, nameConfirm, offerDose, waitingWords } from "./chart-form.js";
import { Refusal, announce, attempt, chart, loadInto, loadOrders, loadWire, part, post } from "./chart-web.js";

const DEBOUNCE_MS = 350;
const work = part("work");
const form = part("work-form");
const cards = part("work-cards");

// What is being done: its kind, the id of what it is done with, the button that began it.
let current = null;
let unfinishedOrder = false;

const url = (path) => `${chart.dataset.chartUrl}/${path}`;

// Opening and closing

async function open(kind, id, opener, notice = "", leftOut = new Set()) {
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
  for (const one of choices()) one.checked &&= !leftOut.has(one.value);
  nameConfirm(current.kind, false);
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
  hint(waitingWords(current.kind));
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
  await Promise.all([loadOrders(), loadInto(part("medications"), url("sections/medications"))]);
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
  current.timer = 0;
  if (part("work-confirm")) part("work-confirm").disabled = true;
  part("work-notice").hidden = true;
  nameConfirm(current.kind, false);
  if (!isReady(current)) {
    if (current.kind === "signing") begin();
    return busy(false);
  }
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
      if (current === doing && !doing.isStale && !doing.timer && isReady(doing)) draw(answer);
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
  nameConfirm(current.kind, answer.warns);
  if (part("work-confirm")) part("work-confirm").disabled = false;
}

function refuse(text) {
  fault(text);
  hint("No advice: this cannot be checked as it stands.");
}

// What is clicked

// After a suggestion was taken: the work that it changes is drawn and checked anew. False where the card may simply stay.
export async function afterAccept(answer, isBesideWork) {
  if (current?.kind === "signing") {
    await openSigning(current.opener, answer.text);
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

// The drafts are listed anew; what was left out of the signature stays left out.
async function openSigning(opener, notice) {
  const leftOut = new Set(choices().filter((one) => !one.checked).map((one) => one.value));
  await open("signing", "", opener, notice, leftOut);
}

async function finish(path, posted) {
  const answer = await post(url(path), posted);
  await redrawOrders();
  return answer.text;
}

async function submit(submitter) {
  const doing = current;
  try {
    if (doing.kind === "order" || doing.kind === "medication") {
      clearTimeout(doing.timer);
      if (doing.kind === "order") unfinishedOrder = false;
      const text = await finish(doing.kind === "order" ? "orders/save" : "medications", fields(doing));
      doing.kind = "done";
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
    if (doing.kind === "signing") await openSigning(doing.opener, error.message);
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
  if (!isSure(button, "Really remove?")) return;
  const text = await finish("orders/remove", { order: button.dataset.remove });
  if (current?.kind === "signing") await openSigning(current.opener, text);
  else document.querySelector('#orders [data-work="order"]:not([data-id])')?.focus();
  announce(text);
}

async function cancel(button) {
  if (!isSure(button, "Really cancel?")) return;
  const text = await finish("appointments/cancel", { appointment: button.dataset.cancel });
  await loadInto(part("appointments"), url("sections/appointments"));
  part("heading-appointments").focus();
  announce(text);
}

export function listensToWork() {
  document.getElementById("main").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.work) attempt(button, () => open(button.dataset.work, button.dataset.id ?? "", button));
    if (button.dataset.remove) attempt(button, () => remove(button));
    if (button.dataset.cancel) attempt(button, () => cancel(button));
    if ("discard" in button.dataset) attempt(button, discard);
    if ("recheck" in button.dataset) attempt(button, ask);
  });
  form.addEventListener("input", (event) => {
    if (event.target.name === "medicine") offerDose(event.target);
    askSoon();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(event.submitter, () => submit(event.submitter));
  });
  part("work-close").addEventListener("click", close);
  work.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
}
