// A busy server said how long it wants to be left alone: the page counts that down and then makes the same request again.
// Without JavaScript the button below does it. The words stand in the page.
const MOST_ATTEMPTS = 10;
const TICK_MS = 250;

// Counts in real time, since a browser slows the timers of a page that nobody looks at.
export function countDown(timer, { reload, attempts, now = () => Date.now(), repeat = setInterval }) {
  if (attempts >= MOST_ATTEMPTS) return false;
  const until = now() + Number(timer.dataset.seconds) * 1000;
  const left = timer.querySelector("[data-left]");
  timer.hidden = false;
  const ticking = repeat(() => {
    const seconds = Math.max(0, Math.ceil((until - now()) / 1000));
    if (left.textContent !== String(seconds)) left.textContent = String(seconds);
    if (seconds > 0) return;
    clearInterval(ticking);
    reload(attempts + 1);
  }, TICK_MS);
  return true;
}

// The number of attempts lives in this page's own entry of the history, which a reload keeps and a new visit does not.
function attemptsSoFar(history) {
  return Number(history.state?.busyAttempts) || 0;
}

const timer = document.getElementById("countdown");
if (timer) {
  const reload = (attempts) => {
    history.replaceState({ ...history.state, busyAttempts: attempts }, "");
    location.reload();
  };
  if (!countDown(timer, { reload, attempts: attemptsSoFar(history) })) document.getElementById("countdown-over").hidden = false;
}
