// The chart page: loads guidance once the chart is painted, and posts what is clicked. The server draws every card;
// this script only names cards by their key and never sees an action, an appContext or a token.

import { Refusal, announce, attempt, chart, loadInto, loadOrders, loadWire, part, post } from "./chart-web.js";
import { afterAccept, listensToWork } from "./chart-work.js";

// Guidance

async function loadGuidance() {
  const region = part("guidance");
  region.setAttribute("aria-busy", "true");
  try {
    const answer = await post(chart.dataset.hookUrl, {});
    region.innerHTML = answer.html;
    announce(answer.text);
  } catch (error) {
    region.replaceChildren(Object.assign(document.createElement("p"), { className: "note", textContent: error.message }));
  }
  region.setAttribute("aria-busy", "false");
  await loadWire();
}

function replaceCard(card, answer) {
  card.insertAdjacentHTML("afterend", answer.html);
  const drawn = card.nextElementSibling;
  card.remove();
  drawn.focus();
  announce(answer.text);
}

async function accept(button, card) {
  const answer = await post(chart.dataset.acceptUrl, {
    card: card.dataset.card,
    suggestion: Number(button.dataset.accept),
  });
  if (answer.done) await loadOrders();
  const isBesideWork = part("work-cards").contains(card);
  const isDrawnAnew = answer.done && (await afterAccept(answer, isBesideWork));
  if (!isBesideWork || !isDrawnAnew) replaceCard(card, answer);
  await loadWire();
}

async function dismiss(form, card) {
  const values = new FormData(form);
  const fields = { card: card.dataset.card, comment: values.get("comment") };
  if (values.get("reason")) fields.reason = Number(values.get("reason"));
  replaceCard(card, await post(chart.dataset.dismissUrl, fields));
  await loadWire();
}

for (const region of [part("guidance"), part("work-cards")]) {
  region.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const card = event.target.closest("[data-card]");
    if (!button || !card) return;
    if (button.dataset.accept) attempt(button, () => accept(button, card));
    if (button.dataset.launch) {
      launch(button, { card: card.dataset.card, link: Number(button.dataset.launch) }, button.textContent.trim());
    }
  });
  region.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    attempt(form.querySelector("button"), () => dismiss(form, form.closest("[data-card]")));
  });
}

part("refresh-guidance").addEventListener("click", (event) => attempt(event.currentTarget, loadGuidance));

// Launching apps

const PLACE_KEY = "chart.place";

function preferredPlace() {
  return document.querySelector("input[name=place]:checked").value;
}

function restorePlace() {
  try {
    const kept = localStorage.getItem(PLACE_KEY);
    for (const choice of document.querySelectorAll("input[name=place]")) {
      if (kept) choice.checked = choice.value === kept;
      choice.addEventListener("change", () => localStorage.setItem(PLACE_KEY, choice.value));
    }
  } catch {
    // Storage may be blocked; the choice then lasts as long as the page.
  }
}

function launch(button, fields, title) {
  // The window is opened within the click, or the browser would take it for an unwanted popup.
  const opened = preferredPlace() === "window" ? window.open("", "_blank") : null;
  attempt(button, async () => {
    try {
      const { url } = await post(chart.dataset.launchUrl, fields);
      if (opened) {
        opened.opener = null;
        opened.location.replace(url);
      } else {
        showInFrame(url, title);
      }
    } catch (error) {
      opened?.close();
      throw error;
    }
  });
}

function showInFrame(url, title) {
  closeFrame();
  const frame = document.createElement("iframe");
  frame.title = title;
  frame.name = "app-frame";
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-popups");
  frame.allow = "fullscreen";
  frame.src = url;
  part("app-title").textContent = title;
  part("app-panel").append(frame);
  part("app-panel").hidden = false;
  part("app-title").focus();
  part("app-panel").scrollIntoView({ block: "start" });
}

function closeFrame() {
  part("app-panel").querySelector("iframe")?.remove();
  part("app-panel").hidden = true;
}

part("open-app").addEventListener("click", (event) => launch(event.currentTarget, {}, "Imaging app"));
document.querySelector(".record").addEventListener("click", (event) => {
  const button = event.target.closest("[data-study]");
  if (button) launch(button, { study: button.dataset.study }, "Imaging app");
});
part("ways").addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(event.target));
  launch(event.target.querySelector("button"), fields, "Imaging app");
});
part("app-close").addEventListener("click", () => {
  closeFrame();
  part("open-app").focus();
});
part("app-taller").addEventListener("click", (event) => {
  const isTall = part("app-panel").classList.toggle("is-tall");
  event.currentTarget.setAttribute("aria-pressed", String(isTall));
});

// Developer panel

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    throw new Refusal("The browser did not allow copying. Select the text instead.");
  }
  const label = button.textContent;
  button.textContent = "Copied";
  announce("Copied.");
  setTimeout(() => (button.textContent = label), 1500);
}

part("developer").addEventListener("toggle", loadWire);
part("refresh-wire").addEventListener("click", (event) => attempt(event.currentTarget, loadWire));
part("wire").addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-block]");
  if (button) attempt(button, () => copy(button.closest(".wire-block").querySelector("pre").textContent, button));
});
part("make-launch").addEventListener("click", (event) => {
  const button = event.currentTarget;
  attempt(button, async () => {
    const { url } = await post(chart.dataset.launchUrl, {});
    part("launch-copy").value = url;
    part("launch-copy").select();
    await copy(url, button);
  });
});

restorePlace();
listensToWork();
loadGuidance();
