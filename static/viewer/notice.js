// Says that the images can no longer be loaded, in the page and to the page around it.
const REASONS = {
  session: "The sign-in for these images has ended, or this browser does not let a framed page keep it.",
  refused: "The imaging server no longer accepts this sign-in.",
  unreachable: "The sign-in for these images could not be renewed, because the server did not answer.",
};

export function showEndNotice(page, reason, newWindowPath) {
  page.getElementById("imaging-cds-trouble")?.remove();
  const notice = page.createElement("div");
  notice.id = "imaging-cds-notice";
  notice.setAttribute("role", "alert");
  const heading = page.createElement("strong");
  heading.textContent = "The images cannot be loaded any more.";
  const text = page.createElement("span");
  text.textContent = `${REASONS[reason] ?? REASONS.session} Open them again from the chart.`;
  notice.append(heading, text);
  if (newWindowPath) {
    const link = page.createElement("a");
    link.href = newWindowPath;
    link.target = "_blank";
    link.rel = "noopener";
    link.textContent = "Open in a new window";
    notice.append(link);
  }
  page.body.append(notice);
}

const BLACK = "A black picture here shows nothing.";
const TROUBLES = {
  slow: ["The images are slow to come.", "The image archive has not answered yet; the viewer is still waiting."],
  unavailable: ["Some images could not be loaded.", `The image archive does not answer as it should. ${BLACK}`],
  refused: ["Some images may not be shown.", `The imaging server does not permit them for this sign-in. ${BLACK}`],
  missing: ["Some images could not be loaded.", `The image archive cannot give them in a usable form. ${BLACK}`],
};

// Says that images are missing or late while the session goes on; null takes it back.
export function showTrouble(page, trouble) {
  page.getElementById("imaging-cds-trouble")?.remove();
  if (trouble === null || page.getElementById("imaging-cds-notice")) return;
  const notice = page.createElement("div");
  notice.id = "imaging-cds-trouble";
  notice.setAttribute("role", "alert");
  const heading = page.createElement("strong");
  const text = page.createElement("span");
  [heading.textContent, text.textContent] = TROUBLES[trouble];
  const again = page.createElement("button");
  again.type = "button";
  again.textContent = "Load again";
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
