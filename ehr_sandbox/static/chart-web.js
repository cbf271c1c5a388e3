// What all scripts of the chart page share: posting in the name of this opening, and saying what became of it.

export const chart = document.querySelector("[data-chart]");
export const part = (id) => document.getElementById(id);

export class Refusal extends Error {}

export async function post(url, fields) {
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ opening: chart.dataset.opening, ...fields }),
    });
  } catch {
    throw new Refusal("The EHR cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(answer.text || `The EHR answered with status ${response.status}.`);
  return answer;
}

export function announce(text) {
  part("announcement").textContent = text;
}

function showFailure(text) {
  part("failure").textContent = text;
  part("failure").hidden = !text;
}

export async function attempt(button, work) {
  showFailure("");
  const hadFocus = button && document.activeElement === button;
  if (button) button.disabled = true;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    showFailure(error.message);
  } finally {
    if (button?.isConnected) button.disabled = false;
    // A disabled button drops the focus; whoever works by keyboard gets it back unless the work has moved it on.
    if (hadFocus && document.activeElement === document.body) button.focus();
  }
}

export async function loadInto(element, url) {
  const response = await fetch(url).catch(() => null);
  if (response?.ok) element.innerHTML = await response.text();
}

export async function loadWire() {
  if (part("developer").open) await loadInto(part("wire"), chart.dataset.wireUrl);
}

export async function loadOrders() {
  await loadInto(part("orders"), chart.dataset.ordersUrl);
}
