// Finds a stored image among what the viewer has loaded, and brings it on the screen.
const WAIT_EVERY_MS = 50;
const WAIT_FOR_MS = 10000;

// The UIDs in the address of one image.
export function instancesOf(imageId) {
  const [, study, instance] = /\/studies\/([0-9.]+)\/series\/[0-9.]+\/instances\/([0-9.]+)/.exec(imageId ?? "") ?? [];
  return { study, instance };
}

// The loaded series that holds the image, with the image's place in it; null when no such image is loaded (yet).
export function imagePlace({ displaySetService }, study, instance) {
  for (const displaySet of displaySetService.getActiveDisplaySets()) {
    if (displaySet.StudyInstanceUID !== study) continue;
    const images = displaySet.images ?? displaySet.instances ?? [];
    const index = images.findIndex((image) => image.SOPInstanceUID === instance);
    if (index >= 0 && displaySet.numImageFrames > 0) return { displaySet, index };
  }
  return null;
}

// Shows the image in the viewport that already has its series, else in the one that has its study, else in the active
// one. Resolves to whether it is on the screen; stops trying as soon as it is no longer wanted.
export async function showImage({ services, commandsManager }, page, { study, instance }, isWanted) {
  const { displaySet } = imagePlace(services, study, instance);
  const viewportId = viewportFor(services, displaySet);
  if (!shows(services, viewportId, displaySet)) {
    commandsManager.run("setDisplaySetsForViewports", {
      viewportsToUpdate: [{ viewportId, displaySetInstanceUIDs: [displaySet.displaySetInstanceUID] }],
    });
  }
  services.viewportGridService.setActiveViewportId(viewportId);
  return untilShown(page, () => jump(services, page.cornerstone, viewportId, instance), isWanted);
}

// Lays a segmentation over the picture in the active viewport; the viewer itself knows whether it fits, and whether it lies there.
export function drawOver({ services, commandsManager }, series) {
  const layer = services.displaySetService.getActiveDisplaySets().find(({ SeriesInstanceUID }) => SeriesInstanceUID === series);
  const viewportId = services.viewportGridService.getActiveViewportId();
  if (!layer || shows(services, viewportId, layer)) return;
  commandsManager.run("addDisplaySetAsLayer", { viewportId, displaySetInstanceUID: layer.displaySetInstanceUID });
}

function viewportFor({ viewportGridService, displaySetService }, displaySet) {
  const { viewports, activeViewportId } = viewportGridService.getState();
  const shownIn = (wanted) =>
    [...viewports.values()].find(({ displaySetInstanceUIDs }) =>
      displaySetInstanceUIDs?.some((uid) => wanted(displaySetService.getDisplaySetByUID(uid))),
    )?.viewportId;
  return (
    shownIn((shown) => shown?.displaySetInstanceUID === displaySet.displaySetInstanceUID) ??
    shownIn((shown) => shown?.StudyInstanceUID === displaySet.StudyInstanceUID) ??
    activeViewportId
  );
}

function shows({ viewportGridService }, viewportId, { displaySetInstanceUID }) {
  return viewportGridService.getState().viewports.get(viewportId)?.displaySetInstanceUIDs?.includes(displaySetInstanceUID);
}

// Whether the viewport is at the image; brings it there once its series is in it.
function jump({ cornerstoneViewportService }, cornerstone, viewportId, instance) {
  const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
  const isIt = (imageId) => instancesOf(imageId).instance === instance;
  if (!viewport) return false;
  if (isIt(viewport.getCurrentImageId?.())) return true;
  const imageIds = viewport.getImageIds?.() ?? [];
  const imageIndex = imageIds.findIndex(isIt);
  if (imageIndex < 0) return false;
  if (viewport.type === cornerstone.Enums.ViewportType.STACK) {
    void cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex });
    return false;
  }
  const plane = cornerstone.metaData.get("imagePlaneModule", imageIds[imageIndex]);
  if (!plane || !viewport.jumpToWorld) return false;
  return viewport.jumpToWorld(plane.imagePositionPatient);
}

async function untilShown(page, attempt, isWanted) {
  const giveUpAt = Date.now() + WAIT_FOR_MS;
  while (isWanted() && Date.now() < giveUpAt) {
    if (attempt()) return true;
    await new Promise((resolve) => page.setTimeout(resolve, WAIT_EVERY_MS));
  }
  return false;
}
