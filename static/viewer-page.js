// The page around the viewer: hides the images when the session ends, and hands the session to a new window.
const stage = document.getElementById("stage");
const mask = document.getElementById("mask");
const frame = document.getElementById("viewer");
const POLL_MS = 30000;
const WHY = {
  refused: "The imaging server no longer accepts this sign-in, so the images are hidden.",
  unreachable: "The sign-in could not be renewed because the server did not answer, so the images are hidden.",
};

function end(reason) {
  if (!mask.hidden) return;
  if (WHY[reason]) document.getElementById("mask-why").textContent = WHY[reason];
  mask.hidden = false;
  frame.inert = true;
  // The pixels leave the page, not only the eye.
  frame.src = "about:blank";
  mask.focus();
}

window.addEventListener("message", (event) => {
  const isViewer = event.origin === location.origin && event.source === frame.contentWindow;
  if (isViewer && event.data?.source === "imaging-cds-viewer" && event.data.event === "session-ended") {
    end(event.data.reason);
  }
});

async function look() {
  try {
    const response = await fetch(stage.dataset.state, { cache: "no-store", credentials: "same-origin" });
    if (response.status === 401 || response.status === 403) return end("session");
    if (response.ok && (await response.json()).alive === false) return end("session");
  } catch {
    // The network is away for a moment: that ends nothing.
  }
  if (mask.hidden) setTimeout(look, POLL_MS);
}
setTimeout(look, POLL_MS);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && mask.hidden) look();
});

// A frame's partitioned cookie is not sent in a new window, so the form brings a one-use ticket along, in its body.
const form = document.getElementById("new-window");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch(form.dataset.ticket, { method: "POST", cache: "no-store", credentials: "same-origin" });
  if (!response.ok) return end("session");
  form.elements.ticket.value = (await response.json()).ticket;
  form.submit();
  form.elements.ticket.value = "";
});
