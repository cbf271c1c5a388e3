import { compareExtension } from "./compare_protocol.js";
import { hotkeyBindings } from "./hotkeys.js";
import { wordsOf } from "./words.js";

// OHIF's configuration for one launch. The study list, uploads, tours, the investigational-use bar (our own page says
// what the viewer is not cleared for) and every mode but the basic one are off.
const MODE = "@ohif/mode-basic";
// Below this width the list of series would leave the images less than half of the window; it opens on request.
const PANEL_NEEDS_PX = 1000;
const EXTENSIONS = ["@ohif/extension-default", "@ohif/extension-cornerstone"];

export function viewerConfig(page, launch, keeper, extensions) {
  return async () => {
    // The bundle lists all its modes and extensions here; each one kept costs loading time.
    keepOnly(page.modes, [MODE]);
    keepOnly(page.extensions, EXTENSIONS);
    return {
      routerBasename: launch.routerBasename,
      extensions: [tokenExtension(keeper), readOnlyExtension(page), compareExtension(page.document), ...extensions],
      modes: [],
      modesConfiguration: { [MODE]: modeChanges(page.innerWidth) },
      customizationService: { global: [customizations(page.document)] },
      // The page around the viewer names product and patient; in a narrow window they would lie over the tools.
      whiteLabeling: { createLogoComponentFn: (react) => react.createElement("span") },
      showPatientInfo: "disabled",
      showStudyList: false,
      showLoadingIndicator: true,
      showWarningMessageForCrossOrigin: false,
      showCPUFallbackMessage: true,
      investigationalUseDialog: { option: "never" },
      // SharedArrayBuffer needs cross-origin isolation of every ancestor, which an EHR's frame does not have.
      useSharedArrayBuffer: false,
      strictZSpacingForVolumeViewport: true,
      maxNumberOfWebWorkers: 3,
      maxNumRequests: { interaction: 20, thumbnail: 5, prefetch: 8 },
      defaultDataSourceName: launch.wadoRoots[0].name,
      dataSources: launch.wadoRoots.map(dataSource),
    };
  };
}

// What clinicians who look something up use, in one row that fits a narrow window. Capture is left out: a picture file with
// the patient's name on it would leave by the download folder, unseen by the audit trail.
function customizations(page) {
  return {
    "ohif.tours": { $set: [] },
    "ohif.hotkeyBindings": { $set: hotkeyBindings(page) },
    "cornerstone.toolbarSections": {
      $merge: {
        primary: ["WindowLevel", "Zoom", "Pan", "MeasurementTools", "Layout", "Crosshairs", "MoreTools"],
        MeasurementTools: ["Length", "Bidirectional", "ArrowAnnotate", "EllipticalROI", "CircleROI", "Angle", "Probe"],
        MoreTools: ["Reset", "rotate-right", "flipHorizontal", "invert", "ImageSliceSync", "ReferenceLines", "Magnify", "Cine", "StackScroll", "TagBrowser"],
      },
    },
  };
}

function modeChanges(width) {
  const layout = { props: { leftPanelClosed: { $set: width < PANEL_NEEDS_PX } } };
  return { routeName: { $set: "viewer" }, hide: { $set: false }, routes: { 0: { layoutInstance: layout } } };
}

function keepOnly(list, wanted) {
  list.splice(0, list.length, ...list.filter((name) => wanted.includes(name)));
}

function dataSource({ name, title, root }) {
  return {
    namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
    sourceName: name,
    configuration: {
      friendlyName: title,
      name,
      wadoUriRoot: root,
      qidoRoot: root,
      wadoRoot: root,
      qidoSupportsIncludeField: false,
      supportsReject: false,
      supportsFuzzyMatching: false,
      supportsWildcard: false,
      imageRendering: "wadors",
      thumbnailRendering: "wadors",
      enableStudyLazyLoad: true,
      dicomUploadEnabled: false,
      omitQuotationForMultipartRequest: false,
      bulkDataURI: { enabled: true, relativeResolution: "studies" },
    },
  };
}

// OHIF starts registering extensions one after the other; nothing asks for DICOM data before a token is there.
function tokenExtension(keeper) {
  return {
    id: "imaging-cds.token",
    async preRegistration({ servicesManager }) {
      const { userAuthenticationService } = servicesManager.services;
      userAuthenticationService.setServiceImplementation({ getAuthorizationHeader: () => keeper.header() });
      await keeper.current();
      if (keeper.hasEnded) await new Promise(() => {}); // the notice is up; loading on would only add errors to it
    },
  };
}

// The gateway only reads, so storing measurements as a report would end in an error after the reader had named it.
function readOnlyExtension(page) {
  return {
    id: "imaging-cds.read-only",
    getCommandsModule: ({ servicesManager }) => ({
      definitions: {
        promptSaveReport: {
          commandFn: () =>
            servicesManager.services.uiNotificationService.show({
              title: wordsOf(page.document, "not-stored.heading"),
              message: wordsOf(page.document, "not-stored.text"),
              type: "info",
            }),
        },
      },
      defaultContext: "DEFAULT",
    }),
  };
}
