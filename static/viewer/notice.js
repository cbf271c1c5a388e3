// Says that the images can no longer be loaded, in the page and to the page around it.
const REASONS = {
  session: "The sign-in for these images has ended, or this browser does not let a framed page keep it.",
  refused: "The imaging server no longer accepts this sign-in.",
  unreachable: "The sign-in for these images could not be renewed, because the server did not answer.",
};

export function showEndNotice(page, reason, newWindowPath) {
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

// Only a parent of our own origin hears it; any other origin gets nothing.
export function tellParent(page, message) {
  if (page.parent !== page) {
    page.parent.postMessage({ source: "imaging-cds-viewer", ...message }, page.location.origin);
  }
}
