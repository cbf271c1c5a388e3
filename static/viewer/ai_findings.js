// Draws what an AI measured (a TID 1500 report by a device) on the slice it was measured on, as soon as the report's
// metadata is there, and says whether a person has signed it. OHIF itself draws third-party reports only after the
// reader opens the report's own viewport; it would also let them be edited and saved as the reader's.
import { measured } from "./key_objects.js";
import { picturedImage } from "./slices.js";
import { readMeasurementReport } from "./sr_measurements.js";
import { wordsOf } from "./words.js";

const TOOL_NAME = "ImagingCdsAiFindings";
const COLOR = "rgb(255, 184, 77)";
const ELLIPSE_POINTS = 48;
const PARALLEL = 0.99;
// Where the words may stand: clear of OHIF's own texts in the corners.
const EDGE_PX = 14;
const OVERLAY_PX = 90;
const TEXT_WIDTH_PX = 230;

export class AiFindings {
  #page;
  #showsUnsigned;
  #reports = new Map();

  constructor(page, { showsUnsigned }) {
    this.#page = page;
    this.#showsUnsigned = showsUnsigned;
  }

  // Registered after cornerstone's own extension, whose globals it uses.
  extension() {
    return {
      id: "imaging-cds.ai-findings",
      preRegistration: ({ servicesManager }) => {
        const { displaySetService } = servicesManager.services;
        displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, ({ displaySetsAdded }) =>
          displaySetsAdded.forEach((displaySet) => this.#read(displaySet)),
        );
        this.#installTool();
      },
    };
  }

  #read(displaySet) {
    if (displaySet.Modality !== "SR") return;
    for (const instance of displaySet.instances ?? []) {
      const report = readMeasurementReport(instance);
      if (!report?.isByDevice || (!report.isVerified && !this.#showsUnsigned)) continue;
      this.#reports.set(instance.SOPInstanceUID, report);
    }
    this.#redraw();
  }

  #redraw() {
    const { cornerstone, cornerstoneTools } = this.#page;
    const viewports = cornerstone.getEnabledElements().map(({ viewportId }) => viewportId);
    cornerstoneTools.utilities.triggerAnnotationRenderForViewportIds(viewports);
  }

  // A display-only tool: it can be neither selected nor moved, and nothing of it enters the reader's measurements.
  #installTool() {
    const { cornerstone, cornerstoneTools } = this.#page;
    const draw = (enabledElement, svg) => this.#draw(enabledElement.viewport, svg);
    class AiFindingsTool extends cornerstoneTools.AnnotationDisplayTool {
      static toolName = TOOL_NAME;

      renderAnnotation(enabledElement, svg) {
        return draw(enabledElement, svg);
      }
    }
    cornerstoneTools.addTool(AiFindingsTool);
    const { TOOLGROUP_VIEWPORT_ADDED } = cornerstoneTools.Enums.Events;
    cornerstone.eventTarget.addEventListener(TOOLGROUP_VIEWPORT_ADDED, ({ detail }) => {
      const group = cornerstoneTools.ToolGroupManager.getToolGroup(detail.toolGroupId);
      if (!group || group.hasTool(TOOL_NAME)) return;
      group.addTool(TOOL_NAME);
      group.setToolEnabled(TOOL_NAME);
    });
  }

  #draw(viewport, svg) {
    const shown = shownImage(this.#page.cornerstone, viewport);
    if (!shown) return false;
    const { document } = this.#page;
    const authors = { signed: wordsOf(document, "ai.signed"), unsigned: wordsOf(document, "ai.unsigned") };
    let drawn = false;
    for (const [reportUid, report] of this.#reports) {
      report.regions.forEach((region, index) => {
        const outlines = region.graphics.map((graphic) => this.#outline(graphic, viewport, shown)).filter(Boolean);
        if (outlines.length === 0) return;
        this.#drawRegion(svg, `${TOOL_NAME}-${reportUid}-${index}`, outlines, wordsFor(report, region, authors), viewport);
        drawn = true;
      });
    }
    return drawn;
  }

  // The graphic on the canvas, or null when it is not of the image that is shown.
  #outline(graphic, viewport, shown) {
    const { utilities } = this.#page.cornerstone;
    const corners = outlinePoints(graphic);
    if (graphic.frameOfReferenceUid !== null) {
      const isOnSlice = graphic.frameOfReferenceUid === shown.frameOfReferenceUid && shown.holds(graphic.points);
      return isOnSlice ? corners.map((point) => viewport.worldToCanvas(point)) : null;
    }
    if (graphic.sopInstanceUid !== shown.sopInstanceUid) return null;
    return corners.map((point) => viewport.worldToCanvas(utilities.imageToWorldCoords(shown.imageId, point)));
  }

  #drawRegion(svg, uid, outlines, words, viewport) {
    const { drawing } = this.#page.cornerstoneTools;
    const style = { color: COLOR, lineWidth: 2, lineDash: "5,4" };
    outlines.forEach((points, index) => {
      if (points.length === 1) drawing.drawCircle(svg, uid, `point-${index}`, points[0], 8, style);
      else drawing.drawPolyline(svg, uid, `outline-${index}`, points, style);
    });
    const points = outlines.flat();
    const [left, right] = [Math.min, Math.max].map((pick) => pick(...points.map(([x]) => x)));
    const [top, bottom] = [Math.min, Math.max].map((pick) => pick(...points.map(([, y]) => y)));
    const middle = (top + bottom) / 2;
    // In the upper corner nearest to the finding, where a chest leaves room, with a line to the finding.
    const { clientWidth } = viewport.canvas;
    const isLeft = left + right < clientWidth;
    const place = [isLeft ? EDGE_PX : Math.max(EDGE_PX, clientWidth - TEXT_WIDTH_PX), OVERLAY_PX];
    const anchors = [[left, middle], [right, middle], [(left + right) / 2, top], [(left + right) / 2, bottom]];
    drawing.drawLinkedTextBox(svg, uid, "words", words, place, anchors, {}, {
      color: COLOR,
      background: "rgba(0, 0, 0, 0.6)",
      textBoxMargin: 6,
      textBoxBorderRadius: 4,
      padding: 0,
      lineWidth: 1,
      lineDash: "2,3",
    });
  }
}

// What is drawn beside a region: whose it is and whether it is signed, then what was measured.
export function wordsFor(report, region, authors) {
  const author = report.author ? `: ${report.author}` : "";
  const named = [region.finding, region.label].filter(Boolean).join(", ");
  return [
    `${report.isVerified ? authors.signed : authors.unsigned}${author}`,
    ...(named ? [named] : []),
    ...region.measurements.map(measured),
    ...region.evaluations,
  ];
}

// The corners to join for one graphic. PS3.3 C.18.6.1.2: ELLIPSE gives the ends of the major, then of the minor axis;
// CIRCLE its centre and a point on it. Works alike on the image and in space.
export function outlinePoints({ type, points }) {
  if (type === "ELLIPSE" && points.length === 4) {
    const [a, b, c, d] = points;
    return around(between(a, b, 0.5), half(a, b), half(c, d));
  }
  if (type === "CIRCLE" && points.length === 2 && points[0].length === 2) {
    const [centre, onCircle] = points;
    const [x, y] = onCircle.map((value, axis) => value - centre[axis]);
    return around(centre, [x, y], [-y, x]);
  }
  if (type === "POLYGON") return [...points, points[0]];
  if (type === "MULTIPOINT") return [between(points[0], points[points.length - 1], 0.5)];
  return points;
}

function around(centre, first, second) {
  return Array.from({ length: ELLIPSE_POINTS + 1 }, (_, step) => {
    const angle = (2 * Math.PI * step) / ELLIPSE_POINTS;
    return centre.map((value, axis) => value + first[axis] * Math.cos(angle) + second[axis] * Math.sin(angle));
  });
}

function between(a, b, share) {
  return a.map((value, axis) => value + share * (b[axis] - value));
}

function half(a, b) {
  return a.map((value, axis) => (b[axis] - value) / 2);
}

// The stored image that the viewport shows in its own plane; null for a reformatted view. While a slice's pixels are on
// their way the picture is still the former one, and only the former one's findings may lie on it.
function shownImage(cornerstone, viewport) {
  const imageId = picturedImage(viewport);
  const plane = imageId && cornerstone.metaData.get("imagePlaneModule", imageId);
  if (!plane?.rowCosines || !plane.columnCosines) return null;
  const normal = cross(plane.rowCosines, plane.columnCosines);
  if (Math.abs(dot(normal, viewport.getCamera().viewPlaneNormal)) < PARALLEL) return null;
  const reach = (plane.sliceThickness ?? 1) / 2;
  return {
    imageId,
    sopInstanceUid: imageId.split("/instances/")[1]?.split("/")[0] ?? null,
    frameOfReferenceUid: plane.frameOfReferenceUID ?? null,
    holds: (points) =>
      points.every((point) => {
        const offset = point.map((value, axis) => value - plane.imagePositionPatient[axis]);
        return Math.abs(dot(offset, normal)) <= reach;
      }),
  };
}

function cross([a, b, c], [d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

function dot(first, second) {
  return first.reduce((sum, value, axis) => sum + value * second[axis], 0);
}
