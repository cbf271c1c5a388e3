// Only the browser knows whether somebody reloads or goes back, or comes to this address anew; the server decides on its word.
// Without JavaScript the link does it, and says nothing.
const onward = new URL(document.getElementById("onward").href);
const [timing] = performance.getEntriesByType("navigation");
if (timing) onward.searchParams.set("navigation", timing.type);
// A reload while the next page is on its way asks the same again: it must not turn a new start into a return.
history.replaceState(null, "", onward);
location.replace(onward);
