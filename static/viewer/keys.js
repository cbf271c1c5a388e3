// F6 leads out of the images to the next part of the page around them, Shift+F6 to the one before; without it a keyboard
// would have to pass every button of the viewer.
export function leaveByF6(page, tell) {
  page.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "F6" || page.parent === page) return;
      event.preventDefault();
      event.stopPropagation();
      tell({ event: "leave-images", isBackwards: event.shiftKey });
    },
    { capture: true },
  );
}
