// What two keys of the help do here, because OHIF's own commands do something else: its next series may be one without
// pictures, at which it stops or waits for ever, or one of another study; and its film only shows the film's buttons.
import { isPicture } from "./contents.js";

const FRAMES_PER_SECOND = 24;

export function keyCommandsExtension() {
  return {
    id: "imaging-cds.key-commands",
    getCommandsModule: ({ servicesManager: { services }, commandsManager }) => ({
      definitions: {
        imagingCdsSeries: { commandFn: ({ direction }) => showSeries(services, commandsManager, direction) },
        imagingCdsFilm: { commandFn: () => toggleFilm(services) },
      },
      defaultContext: "DEFAULT",
    }),
  };
}

// The next (1) or previous (-1) series with pictures of the study in the active viewport; at the ends nothing.
function showSeries({ displaySetService, viewportGridService, hangingProtocolService }, commandsManager, direction) {
  const { viewports, activeViewportId, isHangingProtocolLayout } = viewportGridService.getState();
  const [shownUid] = viewports.get(activeViewportId)?.displaySetInstanceUIDs ?? [];
  const shown = displaySetService.getDisplaySetByUID(shownUid);
  const series = displaySetService.getActiveDisplaySets().filter((one) => one === shown || isSeriesOf(shown, one));
  // They are there in the order in which their descriptions came.
  series.sort((one, other) => Number(one.SeriesNumber ?? 0) - Number(other.SeriesNumber ?? 0));
  const wanted = series[series.indexOf(shown) + direction]?.displaySetInstanceUID;
  if (!shown || !wanted) return;
  let viewportsToUpdate = [{ viewportId: activeViewportId, displaySetInstanceUIDs: [wanted] }];
  try {
    // In a layout of several planes of one series all of them change.
    viewportsToUpdate = hangingProtocolService.getViewportsRequireUpdate(activeViewportId, wanted, isHangingProtocolLayout);
  } catch {
    // The rules of the layout do not foresee this series.
  }
  commandsManager.run("setDisplaySetsForViewports", { viewportsToUpdate });
}

function isSeriesOf(shown, one) {
  return one.StudyInstanceUID === shown?.StudyInstanceUID && isPicture(one) && !one.unsupported && !one.madeInClient;
}

// Plays the active viewport, with the film's buttons beneath it; the next time it stops and takes them away.
function toggleFilm({ cineService, viewportGridService }) {
  const { viewports, activeViewportId } = viewportGridService.getState();
  const plays = !cineService.getState().isCineEnabled;
  cineService.setIsCineEnabled(plays);
  for (const id of viewports.keys()) {
    cineService.setCine({ id, isPlaying: plays && id === activeViewportId, frameRate: FRAMES_PER_SECOND });
  }
}
