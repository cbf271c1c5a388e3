// What a study holds beside its pictures, as lists of items that each lead to one picture: key object selections,
// measurement reports and segmentations. Pure: works on metadata that OHIF has naturalised.
//
// An object is { kind: "KO" | "SR" | "SEG", series, title, author, isUnsigned, items }; an item is { label, values, place }, where
// `place` is { sop }, or { frameOfReference, point } in mm, or null where the object does not say.
// Spec: PS3.3 C.17.6 (KO), C.8.20 (SEG); PS3.16 TID 2010, TID 1500.
import { items, meaningOf, nameOf, personName, textOf } from "./dicom_items.js";
import { readMeasurementReport } from "./sr_measurements.js";

const KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59";
const SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4";
const KEY_OBJECT_DESCRIPTION = "113012";
const BY_PERSON = "MANUAL";

// The object that the instance holds; null for pictures and for what is not understood.
export function readKeyObject(instance) {
  if (instance.SOPClassUID === KEY_OBJECT_SELECTION) return keyImages(instance);
  if (instance.SOPClassUID === SEGMENTATION) return segmentation(instance);
  const report = readMeasurementReport(instance);
  return report && measurementReport(instance, report);
}

function keyImages(instance) {
  const content = items(instance.ContentSequence);
  const images = content.filter(({ ValueType }) => ValueType === "IMAGE");
  const words = textOf(content, KEY_OBJECT_DESCRIPTION);
  return {
    kind: "KO",
    series: instance.SeriesInstanceUID,
    title: [meaningOf(instance.ConceptNameCodeSequence), words].filter(Boolean).join(": "),
    author: personName(observerOf(content)),
    isUnsigned: false,
    items: images.map((item) => {
      const [reference] = items(item.ReferencedSOPSequence);
      return { label: "", values: [], place: sopPlace(reference?.ReferencedSOPInstanceUID) };
    }),
  };
}

const PERSON_OBSERVER_NAME = "121008";

function observerOf(content) {
  return content.find((item) => nameOf(item) === PERSON_OBSERVER_NAME)?.PersonName;
}

function measurementReport(instance, report) {
  return {
    kind: "SR",
    series: instance.SeriesInstanceUID,
    title: instance.SeriesDescription || meaningOf(instance.ConceptNameCodeSequence),
    author: report.author,
    isUnsigned: report.isByDevice && !report.isVerified,
    items: report.regions.map((region) => ({
      label: [region.finding, region.label].filter(Boolean).join(", "),
      values: [...region.measurements.map(measured), ...region.evaluations],
      place: graphicPlace(region.graphics[0]),
    })),
  };
}

// "Diameter (mean) 7.5 mm": as written beside the region in the picture too.
export function measured({ name, derivation, value, unit }) {
  return `${name}${derivation ? ` (${derivation})` : ""} ${value} ${unit}`.trim();
}

function graphicPlace(graphic) {
  if (!graphic) return null;
  if (graphic.sopInstanceUid) return sopPlace(graphic.sopInstanceUid);
  const { frameOfReferenceUid, points } = graphic;
  const middle = [0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
  return frameOfReferenceUid ? { frameOfReference: frameOfReferenceUid, point: middle } : null;
}

function segmentation(instance) {
  const segments = items(instance.SegmentSequence);
  return {
    kind: "SEG",
    series: instance.SeriesInstanceUID,
    title: instance.SeriesDescription || instance.ContentLabel || "",
    author: personName(instance.ContentCreatorName) || algorithmOf(segments),
    // A segmentation carries no signature; what a person did not draw, nobody has signed.
    isUnsigned: segments.some(({ SegmentAlgorithmType }) => SegmentAlgorithmType !== BY_PERSON),
    items: segments.map((segment) => ({
      label: segment.SegmentLabel || meaningOf(segment.SegmentedPropertyTypeCodeSequence),
      values: [],
      place: segmentPlace(instance, Number(segment.SegmentNumber)),
    })),
  };
}

function algorithmOf(segments) {
  return segments.find(({ SegmentAlgorithmName }) => SegmentAlgorithmName)?.SegmentAlgorithmName ?? "";
}

// The middle one of the segment's frames, in the order in which they lie.
function segmentPlace(instance, number) {
  const shared = items(instance.SharedFunctionalGroupsSequence)[0] ?? {};
  const frames = items(instance.PerFrameFunctionalGroupsSequence)
    .map((frame) => ({ ...shared, ...frame }))
    .filter((frame) => Number(items(frame.SegmentIdentificationSequence)[0]?.ReferencedSegmentNumber) === number)
    .sort((one, other) => heightOf(one) - heightOf(other));
  if (frames.length === 0) return null;
  const middle = frames[Math.floor(frames.length / 2)];
  const [derivation] = items(middle.DerivationImageSequence);
  const [source] = items(derivation?.SourceImageSequence);
  if (source?.ReferencedSOPInstanceUID) return sopPlace(source.ReferencedSOPInstanceUID);
  const point = positionOf(middle);
  return point && instance.FrameOfReferenceUID ? { frameOfReference: instance.FrameOfReferenceUID, point } : null;
}

function heightOf(frame) {
  return positionOf(frame)?.[2] ?? 0;
}

function positionOf(frame) {
  const position = items(frame.PlanePositionSequence)[0]?.ImagePositionPatient;
  return Array.isArray(position) && position.length === 3 ? position.map(Number) : null;
}

function sopPlace(sop) {
  return sop ? { sop } : null;
}

// The image among those loaded that lies at the place: the very one, or the one whose plane is nearest (within its
// thickness). Each image is naturalised metadata.
export function imageAt(place, images) {
  if (!place) return null;
  if (place.sop) return images.find(({ SOPInstanceUID }) => SOPInstanceUID === place.sop) ?? null;
  const near = images
    .filter((image) => image.FrameOfReferenceUID === place.frameOfReference && image.ImagePositionPatient && image.ImageOrientationPatient)
    .map((image) => ({ image, distance: distanceTo(image, place.point) }))
    .sort((one, other) => one.distance - other.distance)[0];
  return near && near.distance <= Math.max(Number(near.image.SliceThickness) || 0, 1) ? near.image : null;
}

function distanceTo(image, point) {
  const [a, b, c, d, e, f] = Array.from(image.ImageOrientationPatient, Number);
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
  const offset = Array.from(image.ImagePositionPatient, (value, axis) => point[axis] - Number(value));
  return Math.abs(normal.reduce((sum, value, axis) => sum + value * offset[axis], 0));
}
