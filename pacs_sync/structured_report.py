"""A structured report (a whole data set in the DICOM JSON model) as what it says; never an exception over its content.

Spec: DICOM PS3.3 §C.17.2 (SR Document General), PS3.16 TID 1500 and 4100, PS3.18 Annex F; clinical rules, section 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from fhir_imaging.dicom_json import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    first_text,
    values,
    whole_text,
)
from fhir_imaging.study_times import started
from fhir_imaging.tolerant import dicts
from fhir_imaging.uids import SopInstanceUID, StudyInstanceUID
from pacs_sync.chest_cad import CHEST_CAD_REPORT, detections_of
from pacs_sync.content_items import UnreadableContentError, content_of, uid_in
from pacs_sync.dicom_codes import words
from pacs_sync.measurement_groups import groups_of, observers_in
from pacs_sync.persons import name_in, number_in
from pacs_sync.report_document import Algorithm, Document, NothingToBring, Place, Verification

_CONTENT_DATE, _CONTENT_TIME, _ZONE = "00080023", "00080033", "00080201"
_COMPLETION, _VERIFICATION, _PRELIMINARY_FLAG = "0040A491", "0040A493", "0040A496"
_VERIFYING, _VERIFIED_AT, _VERIFIER, _VERIFYING_ORGANIZATION = "0040A073", "0040A030", "0040A075", "0040A027"
_PREDECESSORS = "0040A360"
_EVIDENCE = ("0040A375", "0040A385")
_SERIES, _INSTANCES, _CLASS, _INSTANCE = "00081115", "00081199", "00081150", "00081155"
_INSTITUTION = "00080080"
_MANUFACTURER, _MODEL, _SOFTWARE = "00080070", "00081090", "00181020"
_MAX_PLACES = 50_000
_DATE_TIME = re.compile(r"([0-9]{8})([0-9]{2,6}(?:\.[0-9]{1,6})?)?([+-][0-9]{4})?", re.ASCII)


def read_report(dataset: Mapping[str, Any], zone: ZoneInfo | None = None) -> Document | NothingToBring:
    """The report, or why nothing of it is brought over. ``zone`` is the site's, for times that name none."""
    uid, study = uid_in(dataset, SOP_INSTANCE_UID), uid_in(dataset, STUDY_INSTANCE_UID)
    if uid is None or study is None:
        return NothingToBring(reason="it has no SOP Instance UID or no Study Instance UID")
    instance = SopInstanceUID(uid)
    predecessors = tuple(one.instance for one in _places(dataset, _PREDECESSORS) if one.instance != uid)
    try:
        root = content_of(dataset)
    except UnreadableContentError as error:
        return NothingToBring(reason=str(error), uid=instance, predecessors=predecessors)
    observers = observers_in(root)
    equipment = _equipment(dataset)
    is_cad = root.is_named(CHEST_CAD_REPORT)
    groups = detections_of(root, equipment) if is_cad else groups_of(root, observers)
    if not groups:
        reason = "it is of a template that is not read, or measures and finds nothing"
        return NothingToBring(reason=reason, uid=instance, predecessors=predecessors)
    return Document(
        uid=instance,
        study=StudyInstanceUID(study),
        title=root.name,
        patient=number_in(dataset),
        is_complete=whole_text(dataset, _COMPLETION) == "COMPLETE",
        is_verified=whole_text(dataset, _VERIFICATION) == "VERIFIED",
        is_preliminary=whole_text(dataset, _PRELIMINARY_FLAG) not in (None, "FINAL"),
        written=started(dataset, _CONTENT_DATE, _CONTENT_TIME, zone),
        institution=words(first_text(dataset, _INSTITUTION)),
        verifications=tuple(_verifications(dataset, zone)),
        predecessors=predecessors,
        observers=observers,
        equipment=equipment,
        places={one.instance: one for tag in _EVIDENCE for one in _places(dataset, tag)},
        groups=groups,
    )


def _equipment(dataset: Mapping[str, Any]) -> Algorithm:
    name, version, maker = (words(first_text(dataset, tag)) for tag in (_MODEL, _SOFTWARE, _MANUFACTURER))
    return Algorithm(name=name, version=version, manufacturer=maker)


def _verifications(dataset: Mapping[str, Any], zone: ZoneInfo | None) -> Iterator[Verification]:
    """Who verified, in the order of the report: the last one is the latest."""
    for one in dicts(values(dataset, _VERIFYING)):
        organization = words(first_text(one, _VERIFYING_ORGANIZATION))
        at = _moment(first_text(one, _VERIFIED_AT), first_text(dataset, _ZONE), zone)
        yield Verification(name=words(name_in(one, _VERIFIER)), organization=organization, at=at)


def _moment(stated: str | None, of_document: str | None, zone: ZoneInfo | None) -> str | None:
    """A DICOM date and time in one (DT); its own offset counts, then the document's, then the site's zone."""
    match = _DATE_TIME.fullmatch(stated or "")
    if match is None:
        return None
    parts = {_CONTENT_DATE: match[1], _CONTENT_TIME: match[2] or "", _ZONE: match[3] or of_document or ""}
    return started({tag: {"Value": [part]} for tag, part in parts.items()}, _CONTENT_DATE, _CONTENT_TIME, zone)


def _places(dataset: Mapping[str, Any], tag: str) -> Iterator[Place]:
    """The instances that a hierarchical reference sequence names (Hierarchical SOP Instance Reference Macro)."""
    count = 0
    for of_study in dicts(values(dataset, tag)):
        study = uid_in(of_study, STUDY_INSTANCE_UID)
        for of_series in dicts(values(of_study, _SERIES)):
            series = uid_in(of_series, SERIES_INSTANCE_UID)
            for one in dicts(values(of_series, _INSTANCES)):
                instance = uid_in(one, _INSTANCE)
                count += 1
                if count > _MAX_PLACES:
                    return
                if study and series and instance:
                    yield Place(
                        study=StudyInstanceUID(study),
                        series=series,
                        instance=SopInstanceUID(instance),
                        sop_class=uid_in(one, _CLASS),
                    )
