// The form in the panel, which is the server's: what it says now, whether that can be asked about, and its buttons.

import { part } from "./chart-web.js";

const form = part("work-form");

// The drafts that can be signed, one checkbox each.
export const choices = () => [...form.querySelectorAll('input[name="orders"]')];
const chosen = () => choices().filter((one) => one.checked);

export function fields(doing) {
  const element = form.firstElementChild;
  const typed = element instanceof HTMLFormElement ? Object.fromEntries(new FormData(element)) : {};
  if (doing.kind === "order") return { low_dose: "", ...typed };
  if (doing.kind === "medication") return typed;
  if (doing.kind === "signing") return { orders: chosen().map((one) => one.value) };
  if (doing.kind === "booking") return { order: doing.id, ...typed };
  return doing.kind === "study" ? { study: doing.id } : {};
}

export function isReady(doing) {
  const element = form.firstElementChild;
  if (doing.kind === "order") return element.elements.examination.value !== "";
  if (doing.kind === "medication") return element.elements.medicine.value !== "";
  if (doing.kind === "booking") return element.checkValidity();
  return doing.kind !== "signing" || chosen().length > 0;
}

// What is said in the place of the advice while there is nothing to ask about.
export function waitingWords(kind) {
  if (kind === "signing") return choices().length ? "Choose at least one order." : "Nothing to check.";
  const words = {
    order: "Choose an examination. Advice appears here while you write.",
    medication: "Choose a medicine. Advice appears here.",
    booking: "Choose a day. Advice appears here.",
  };
  return words[kind];
}

// What the button would do: sign so many, or book; anyway, where a card warns.
export function nameConfirm(kind, warns) {
  const button = part("work-confirm");
  if (!button) return;
  const count = chosen().length;
  const orders = count ? ` ${count} order${count === 1 ? "" : "s"}` : "";
  const what = kind === "signing" ? `Sign${orders}` : "Book";
  button.textContent = warns ? `${what} anyway` : what;
}

// The usual dose is offered until another one is typed.
export function offerDose(select) {
  const dose = select.form.elements.dose;
  const offered = select.selectedOptions[0].dataset.dose ?? "";
  if (dose.value === (select.dataset.offered ?? "")) dose.value = offered;
  select.dataset.offered = offered;
}

// The first click only asks; whoever goes elsewhere has not agreed.
export function isSure(button, question) {
  if (button.dataset.isSure) return true;
  button.dataset.isSure = "yes";
  const was = button.innerHTML;
  button.textContent = question;
  button.addEventListener("blur", () => ((button.innerHTML = was), delete button.dataset.isSure), { once: true });
  return false;
}
