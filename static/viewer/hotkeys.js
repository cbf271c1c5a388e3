// The keys of the viewer (static/viewer/key_commands.js has two of the commands), those that the page's help lists (templates/smart/panel_keys.html).
import { wordsOf } from "./words.js";

// The order of OHIF's own windows for CT.
const CT_WINDOWS = ["soft-tissue", "lung", "liver", "bone", "brain"];

const KEYS = [
  ["down", "nextImage", "next-image"],
  ["up", "previousImage", "previous-image"],
  ["home", "firstImage", "first-image"],
  ["end", "lastImage", "last-image"],
  ["pagedown", "imagingCdsSeries", "next-series", { direction: 1 }],
  ["pageup", "imagingCdsSeries", "previous-series", { direction: -1 }],
  ["right", "incrementActiveViewport", "next-viewport"],
  ["left", "decrementActiveViewport", "previous-viewport"],
  ["+", "scaleUpViewport", "larger"],
  ["-", "scaleDownViewport", "smaller"],
  ["=", "fitViewportToWindow", "fit"],
  ["r", "rotateViewportCW", "turn-right"],
  ["l", "rotateViewportCCW", "turn-left"],
  ["h", "flipViewportHorizontal", "mirror-sides"],
  ["v", "flipViewportVertical", "mirror-ends"],
  ["i", "invertViewport", "invert"],
  ["c", "imagingCdsFilm", "film"],
  ["space", "resetViewport", "reset"],
  ["esc", "cancelActiveOperation", "cancel"],
  ["backspace", "deleteActiveAnnotation", "delete"],
  ["ctrl+z", "undo", "undo"],
  ["ctrl+y", "redo", "redo"],
  ...CT_WINDOWS.map((name, presetIndex) => [String(presetIndex + 1), "setWindowLevelPreset", name, { presetIndex }]),
];

// OHIF's own settings list the keys by these words.
export function hotkeyBindings(page) {
  return KEYS.map(([key, commandName, name, commandOptions]) => ({
    commandName,
    label: wordsOf(page, `key.${name}`),
    keys: [key],
    isEditable: true,
    ...(commandOptions && { commandOptions }),
  }));
}
