// A report's document opens in a window of its own. Inside an EHR's frame that window needs a ticket; outside of frames the
// plain link does.
import { sayNoWindow, windowTicket } from "./window-ticket.js";

async function openApart(link) {
  const { pathname } = new URL(link.href);
  const session = pathname.slice(0, pathname.indexOf("/reports/"));
  sayNoWindow(null);
  const ticket = await windowTicket(`${session}/window-ticket`);
  if (ticket === "gone") return location.reload();
  if (ticket === null) return sayNoWindow(link.closest(".report-form"));
  const form = document.createElement("form");
  const field = document.createElement("input");
  Object.assign(form, { method: "post", action: pathname, target: "_blank", hidden: true });
  Object.assign(field, { type: "hidden", name: "ticket", value: ticket });
  form.append(field);
  document.body.append(form);
  form.submit();
  form.remove();
}

if (window.top !== window) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".report-form a");
    if (!link) return;
    event.preventDefault();
    void openApart(link);
  });
}
