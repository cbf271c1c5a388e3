// Reads the measured regions of a DICOM TID 1500 report from the metadata that OHIF has naturalised (keywords as keys,
// sequences as arrays). Pure: no viewer, no page. Spec: PS3.16 TID 1500, 1410, 1411, 1002, 1004; PS3.3 C.18.6, C.18.9.
import { codeOf, items, meaningOf, nameOf, textOf } from "./dicom_items.js";

const IMAGING_MEASUREMENT_REPORT = "126000";
const MEASUREMENT_GROUP = "125007";
const OBSERVER_TYPE = "121005";
const DEVICE = "121007";
const DEVICE_OBSERVER_NAME = "121013";
const FINDING = "121071";
const FINDING_SITE = "363698007";
const TRACKING_IDENTIFIER = "112039";
const DERIVATION = "121401";

// { isByDevice, isVerified, author, regions: [{ label, finding, measurements, evaluations, graphics }] }, or null for anything
// that is not an imaging measurement report. A graphic has a type, its points, and the SOP Instance UID of its image
// (`points` as [column, row]) or a Frame of Reference UID (`points` as [x, y, z] in mm).
export function readMeasurementReport(instance) {
  if (codeOf(instance.ConceptNameCodeSequence) !== IMAGING_MEASUREMENT_REPORT) return null;
  const content = items(instance.ContentSequence);
  const groups = [];
  collect(content, (item) => nameOf(item) === MEASUREMENT_GROUP, groups);
  return {
    isByDevice: content.some((item) => nameOf(item) === OBSERVER_TYPE && codeOf(item.ConceptCodeSequence) === DEVICE),
    isVerified: instance.VerificationFlag === "VERIFIED",
    author: textOf(content, DEVICE_OBSERVER_NAME),
    regions: groups.map(region).filter(({ graphics }) => graphics.length > 0),
  };
}

function region(group) {
  const content = items(group.ContentSequence);
  const coordinates = [];
  collect(content, (item) => item.ValueType === "SCOORD" || item.ValueType === "SCOORD3D", coordinates);
  return {
    label: textOf(content, TRACKING_IDENTIFIER),
    finding: meaningOf(content.find((item) => nameOf(item) === FINDING)?.ConceptCodeSequence),
    measurements: content.filter((item) => item.ValueType === "NUM").map(measurement).filter(Boolean),
    evaluations: content.filter(isEvaluation).map((item) => meaningOf(item.ConceptCodeSequence)),
    graphics: coordinates.map(graphic).filter(Boolean),
  };
}

function isEvaluation(item) {
  return item.ValueType === "CODE" && item.RelationshipType === "CONTAINS" && ![FINDING, FINDING_SITE].includes(nameOf(item));
}

function measurement(item) {
  const [measured] = items(item.MeasuredValueSequence);
  const value = Number(measured?.NumericValue);
  if (!measured || !Number.isFinite(value)) return null;
  const unit = items(measured.MeasurementUnitsCodeSequence)[0]?.CodeValue ?? "";
  const modifier = items(item.ContentSequence).find((child) => nameOf(child) === DERIVATION);
  const derivation = meaningOf(modifier?.ConceptCodeSequence).toLowerCase();
  return { name: meaningOf(item.ConceptNameCodeSequence), derivation, value, unit };
}

function graphic(item) {
  const size = item.ValueType === "SCOORD3D" ? 3 : 2;
  const numbers = Array.isArray(item.GraphicData) ? item.GraphicData.map(Number) : [];
  if (numbers.length === 0 || numbers.length % size !== 0 || !numbers.every(Number.isFinite)) return null;
  const points = [];
  for (let start = 0; start < numbers.length; start += size) points.push(numbers.slice(start, start + size));
  const image = items(item.ContentSequence).find((child) => child.ValueType === "IMAGE");
  const [reference] = items(image?.ReferencedSOPSequence);
  return {
    type: item.GraphicType,
    points,
    sopInstanceUid: reference?.ReferencedSOPInstanceUID ?? null,
    frameOfReferenceUid: size === 3 ? (item.ReferencedFrameOfReferenceUID ?? null) : null,
  };
}

// Depth first; what lies within a match is its own affair.
function collect(content, matches, found) {
  for (const item of content) {
    if (matches(item)) found.push(item);
    else collect(items(item.ContentSequence), matches, found);
  }
}
