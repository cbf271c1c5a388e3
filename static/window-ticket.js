// A window that is opened out of an EHR's frame does not share the frame's partitioned cookie: a form brings it a one-use
// ticket, in its body.

// The ticket; "gone" when the server says that the session is over, null when asking again may help.
export async function windowTicket(address) {
  try {
    const response = await fetch(address, { method: "POST", cache: "no-store", credentials: "same-origin" });
    if (response.status === 401 || response.status === 403) return "gone";
    const { ticket } = response.ok ? await response.json() : {};
    return ticket || null;
  } catch {
    return null;
  }
}

// Says right after `place`, where the reader has just clicked, that no window came; null takes it back. The words stand in
// the page (templates/smart/window_failed.html).
export function sayNoWindow(place) {
  document.querySelector(".window-failed")?.remove();
  place?.after(document.querySelector("#window-failed").content.cloneNode(true));
}
