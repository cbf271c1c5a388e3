// The keys of the viewer, those that the page's help lists (templates/smart/panel_keys.html).
// The order of OHIF's own windows for CT.
const CT_WINDOWS = ["Soft tissue", "Lung", "Liver", "Bone", "Brain"];

const KEYS = [
  ["down", "nextImage", "Next image"],
  ["up", "previousImage", "Previous image"],
  ["home", "firstImage", "First image"],
  ["end", "lastImage", "Last image"],
  ["pagedown", "updateViewportDisplaySet", "Next series", { direction: 1 }],
  ["pageup", "updateViewportDisplaySet", "Previous series", { direction: -1 }],
  ["right", "incrementActiveViewport", "Next viewport"],
  ["left", "decrementActiveViewport", "Previous viewport"],
  ["+", "scaleUpViewport", "Larger"],
  ["-", "scaleDownViewport", "Smaller"],
  ["=", "fitViewportToWindow", "Fit to the window"],
  ["r", "rotateViewportCW", "Turn right"],
  ["l", "rotateViewportCCW", "Turn left"],
  ["h", "flipViewportHorizontal", "Mirror left and right"],
  ["v", "flipViewportVertical", "Mirror top and bottom"],
  ["i", "invertViewport", "Invert"],
  ["c", "toggleCine", "Film"],
  ["space", "resetViewport", "Undo brightness, zoom and position"],
  ["esc", "cancelActiveOperation", "Cancel"],
  ["backspace", "deleteActiveAnnotation", "Delete the measurement"],
  ["ctrl+z", "undo", "Undo"],
  ["ctrl+y", "redo", "Redo"],
  ...CT_WINDOWS.map((label, presetIndex) => [String(presetIndex + 1), "setWindowLevelPreset", label, { presetIndex }]),
];

export const hotkeyBindings = KEYS.map(([key, commandName, label, commandOptions]) => ({
  commandName,
  label,
  keys: [key],
  isEditable: true,
  ...(commandOptions && { commandOptions }),
}));
