// How OHIF hangs two studies: the first named on the left, the second beside it, each by a series that holds images.
// Zoom and position go together; each reader's scrolling stays his own until he links the stacks, because two
// examinations seldom start at the same level.
import { wordsOf } from "./words.js";

export const COMPARE_PROTOCOL = "imaging-cds-compare";

export function compareExtension(page) {
  return {
    id: "imaging-cds.compare",
    getHangingProtocolModule: () => [{ name: COMPARE_PROTOCOL, protocol: protocol(page) }],
  };
}

function protocol(page) {
  return {
    id: COMPARE_PROTOCOL,
    name: wordsOf(page, "compare"),
    locked: true,
    numberOfPriorsReferenced: 1,
    protocolMatchingRules: [],
    toolGroupIds: ["default"],
    displaySetSelectors: { current: imagesOf(0), prior: imagesOf(1) },
    defaultViewport: viewport("current"),
    stages: [
      {
        name: wordsOf(page, "compare.stage"),
        viewportStructure: { layoutType: "grid", properties: { rows: 1, columns: 2 } },
        viewports: [viewport("current"), viewport("prior")],
      },
    ],
  };
}

function imagesOf(position) {
  return {
    studyMatchingRules: [
      { attribute: "studyInstanceUIDsIndex", from: "options", required: true, constraint: { equals: { value: position } } },
    ],
    seriesMatchingRules: [
      { attribute: "numImageFrames", required: true, constraint: { greaterThan: { value: 0 } } },
      { attribute: "isDisplaySetFromUrl", weight: 20, constraint: { equals: true } },
    ],
  };
}

function viewport(selector) {
  return {
    viewportOptions: { viewportType: "stack", toolGroupId: "default", allowUnmatchedView: true },
    displaySets: [{ id: selector }],
  };
}
