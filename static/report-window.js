// A report's document opens in a window of its own. Inside an EHR's frame that window does not share the frame's partitioned
// cookie, so it brings a one-use ticket along, in a form's body. Outside of frames the plain link does.

async function openApart(link) {
  const { pathname } = new URL(link.href);
  const session = pathname.slice(0, pathname.indexOf("/reports/"));
  const response = await fetch(`${session}/window-ticket`, { method: "POST", cache: "no-store", credentials: "same-origin" });
  if (!response.ok) return location.reload();
  const form = document.createElement("form");
  const ticket = document.createElement("input");
  Object.assign(form, { method: "post", action: pathname, target: "_blank", hidden: true });
  Object.assign(ticket, { type: "hidden", name: "ticket", value: (await response.json()).ticket });
  form.append(ticket);
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
