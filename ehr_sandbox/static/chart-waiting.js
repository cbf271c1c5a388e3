// The page shown while the patients are being prepared: says how far that is, and opens what was asked for when it is done.

const EVERY_MS = 1000;
const place = document.getElementById("arriving");
const bar = document.getElementById("progress");

function show({ step, done, total }) {
  const words = document.getElementById("step");
  // Only another step is told to a screen reader, not each study.
  if (words.textContent !== step) words.textContent = step;
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
  document.getElementById("count").textContent = total ? `${done} of ${total}` : "";
}

async function look() {
  const response = await fetch(place.dataset.url).catch(() => null);
  const told = response?.ok ? await response.json().catch(() => null) : null;
  if (told?.over) {
    location.replace(location.href);
    return;
  }
  // Nothing is said while the EHR does not answer: it may be starting anew.
  if (told) show(told);
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
