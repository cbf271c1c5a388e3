"""Where a finding of a structured report was seen: on which study's images, and on which slice.

Spec: clinical rules, section 6 (SR traps: SCOORD and SCOORD3D, reports in another study than their images); HL7 dicom-sr 1.0.0
(the R4 back-port of ImagingSelection).
"""

from __future__ import annotations

from fhir_imaging.uids import StudyInstanceUID
from imaging_findings import codes
from pacs_sync.report_document import Document, Group, Place
from pacs_sync.result_elements import Json, oid_value

_NO_PICTURES = frozenset(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("66.4", "66.5", "66.7", "481.3", "88.33", "88.34"))
"""What regions may refer to and nobody can open as a slice: segmentations, surfaces, contours and other reports."""


def study_of(group: Group, document: Document) -> StudyInstanceUID | None:
    """The study of the images on which a group's finding was seen; None where that cannot be told.

    Where several were looked at, what names no image is about the report's own study, but coordinates in space may be of any.
    """
    named = [document.places[uid] for uid in group.instances if uid in document.places]
    looked_at = named if group.instances else list(document.places.values())
    pictures = [one for one in looked_at if _is_picture(one)]
    seen = {one.study for one in pictures or looked_at}
    if not seen:
        return document.study if not (group.instances and document.places) else None
    if len(seen) == 1:
        return next(iter(seen))
    is_anywhere = group.is_in_space and not group.instances
    return document.study if document.study in seen and not is_anywhere else None


def selection_of(group: Group, document: Document, study: StudyInstanceUID) -> Json | None:
    """The slice of the finding; of several the middle one."""
    known = (document.places[uid] for uid in group.instances if uid in document.places)
    seen = [place for place in known if place.study == study and _is_picture(place)]
    if not seen:
        return None
    middle = seen[len(seen) // 2]
    uids = (("study", middle.study), ("series", middle.series), ("instance", middle.instance))
    return {"url": codes.IMAGING_SELECTION, "extension": [{"url": name, **oid_value(uid)} for name, uid in uids]}


def _is_picture(place: Place) -> bool:
    return place.sop_class not in _NO_PICTURES
