// Says that the images can no longer be loaded, in the page and to the page around it. The words stand in the page.
import { wordsOf } from "./words.js";

const REASONS = new Set(["session", "refused", "unreachable"]);

export function showEndNotice(page, reason, newWindowPath) {
  page.getElementById("imaging-cds-trouble")?.remove();
  const notice = page.createElement("div");
  notice.id = "imaging-cds-notice";
  notice.setAttribute("role", "alert");
  const heading = page.createElement("strong");
  heading.textContent = wordsOf(page, "end.heading");
  const text = page.createElement("span");
  const why = wordsOf(page, `end.${REASONS.has(reason) ? reason : "session"}`);
  text.textContent = `${why} ${wordsOf(page, "end.advice")}`;
  notice.append(heading, text);
  if (newWindowPath) {
    const link = page.createElement("a");
    link.href = newWindowPath;
    link.target = "_blank";
    link.rel = "noopener";
    link.textContent = wordsOf(page, "end.window");
    notice.append(link);
  }
  page.body.append(notice);
}

// Says that images are missing or late while the session goes on ("slow", "unavailable", "refused" or "missing"); null
// takes it back.
export function showTrouble(page, trouble) {
  page.getElementById("imaging-cds-trouble")?.remove();
  if (trouble === null || page.getElementById("imaging-cds-notice")) return;
  const notice = page.createElement("div");
  notice.id = "imaging-cds-trouble";
  notice.setAttribute("role", "alert");
  const heading = page.createElement("strong");
  const text = page.createElement("span");
  heading.textContent = wordsOf(page, `${trouble}.heading`);
  text.textContent = wordsOf(page, `${trouble}.text`);
  const again = page.createElement("button");
  again.type = "button";
  again.textContent = wordsOf(page, "again");
  again.addEventListener("click", () => page.location.reload());
  notice.append(heading, text, again);
  page.body.append(notice);
}

// Only a parent of our own origin hears it; any other origin gets nothing.
export function tellParent(page, message) {
  if (page.parent !== page) {
    page.parent.postMessage({ source: "imaging-cds-viewer", ...message }, page.location.origin);
  }
}
