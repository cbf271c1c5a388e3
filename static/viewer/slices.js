// Finds a stored image among what the viewer has loaded, and brings it on the screen.
const WAIT_EVERY_MS = 50;
const WAIT_FOR_MS = 10000;

// The UIDs in the address of one image.
export function instancesOf(imageId) {
  const [, study, instance] = /\/studies\/([0-9.]+)\/series\/[0-9.]+\/instances\/([0-9.]+)/.exec(imageId ?? "") ?? [];
  return { study, instance };
}

// The image whose picture a viewport has. It trails behind the place in the stack for as long as pixels are on their way:
// what is drawn, said or marked about "the slice on the screen" is about this one.
export function picturedImage(viewport) {
  return viewport.getCornerstoneImage ? viewport.getCornerstoneImage()?.imageId : viewport.getCurrentImageId?.();
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
// one. Resolves to whether it is on the screen; stops trying as soon as it is no longer wanted. However long the archive
// takes, that is no failure: null when the reader went elsewhere before it was drawn. `drawn` tells what was drawn last.
export async function showImage({ services, commandsManager }, page, { study, instance }, isWanted, drawn) {
  const { displaySet } = imagePlace(services, study, instance);
  const viewportId = viewportFor(services, displaySet);
  if (!shows(services, viewportId, displaySet)) {
    commandsManager.run("setDisplaySetsForViewports", {
      viewportsToUpdate: [{ viewportId, displaySetInstanceUIDs: [displaySet.displaySetInstanceUID] }],
    });
  }
  services.viewportGridService.setActiveViewportId(viewportId);
  const viewport = () => services.cornerstoneViewportService.getCornerstoneViewport(viewportId);
  const isThere = await until(page, () => jump(viewport(), page.cornerstone, instance), isWanted, Date.now() + WAIT_FOR_MS);
  if (!isThere || !isStack(viewport(), page.cornerstone)) return isThere;
  const isDrawn = () => instancesOf(drawn(viewport())).instance === instance;
  const isStillThere = () => isWanted() && viewport() && instancesOf(viewport().getCurrentImageId()).instance === instance;
  return (await until(page, isDrawn, isStillThere, Infinity)) || null;
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
function jump(viewport, cornerstone, instance) {
  const isIt = (imageId) => instancesOf(imageId).instance === instance;
  if (!viewport) return false;
  if (isIt(viewport.getCurrentImageId?.())) return true;
  const imageIds = viewport.getImageIds?.() ?? [];
  const imageIndex = imageIds.findIndex(isIt);
  if (imageIndex < 0) return false;
  if (isStack(viewport, cornerstone)) {
    void cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex });
    return false;
  }
  const plane = cornerstone.metaData.get("imagePlaneModule", imageIds[imageIndex]);
  if (!plane || !viewport.jumpToWorld) return false;
  return viewport.jumpToWorld(plane.imagePositionPatient);
}

function isStack(viewport, cornerstone) {
  return viewport?.type === cornerstone.Enums.ViewportType.STACK;
}

async function until(page, attempt, isWanted, giveUpAt) {
  while (isWanted() && Date.now() < giveUpAt) {
    if (attempt()) return true;
    await new Promise((resolve) => page.setTimeout(resolve, WAIT_EVERY_MS));
  }
  return false;
}
