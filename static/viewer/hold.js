// A viewer that stands ready behind the study list (static/warm.js) loads what describes its study and no more: requests
// for pixels wait until the reader has opened it. So no image is disclosed that nobody asked for, and the imaging server's
// audit tells a study that was only described from one that was opened.
const DESCRIBES = /\/(?:studies|series|instances|metadata)$/;
// Studies with more series than this stay half described until they are opened.
const MOST_DESCRIPTIONS = 40;

// What every request beneath the DICOMweb roots waits for, as a function of its address; null in an ordinary viewer.
export function holdUntilShown(page) {
  const frame = preparedFrame(page);
  if (frame === null) return null;
  let described = 0;
  const shown = new Promise((resolve) => {
    const look = () => frame.dataset.prepared === "shown" && resolve();
    new page.MutationObserver(look).observe(frame, { attributes: true, attributeFilter: ["data-prepared"] });
    look();
  });
  return (address) => {
    if (frame.dataset.prepared === "shown") return Promise.resolve();
    const { pathname } = new URL(address, page.location.href);
    if (DESCRIBES.test(pathname) && ++described <= MOST_DESCRIPTIONS) return Promise.resolve();
    frame.dataset.prepared = "ready";
    return shown;
  };
}

// The list's frame around the viewer page around this viewer; all three are ours, or there is none.
function preparedFrame(page) {
  try {
    const frame = page.parent === page ? null : page.parent.frameElement;
    return frame?.dataset.prepared === undefined ? null : frame;
  } catch {
    return null;
  }
}
