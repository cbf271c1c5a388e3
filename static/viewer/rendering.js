// How many WebGL contexts the viewer makes before its first picture. Its own number is 7, one after the other; in software
// rendering that took a sixth of the time to the first image. Two are one for each side of a comparison; viewports beyond
// share them, as all do on phones. Browsers also end the oldest context when a window has more than about sixteen.
const WEBGL_CONTEXTS = 2;

// Registered after cornerstone's own extension, whose globals it uses.
export function renderingExtension(page) {
  return {
    id: "imaging-cds.rendering",
    preRegistration() {
      const { getConfiguration, setConfiguration } = page.cornerstone;
      const { rendering, ...others } = getConfiguration();
      setConfiguration({ ...others, rendering: { ...rendering, webGlContextCount: WEBGL_CONTEXTS } });
    },
  };
}
