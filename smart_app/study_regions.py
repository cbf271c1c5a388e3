"""Where in the body and by which kind of machine a study was made, in the few groups that a list can be sorted by.

The judgement is that of the cards (``imaging_findings.study_kinds``); only its finer regions are put together here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_imaging.tolerant import dicts
from imaging_findings.modalities import family_of
from imaging_findings.study_kinds import StudyKind, kind_of_study
from imaging_findings.study_table import SiteStudies

OTHER = "other"
REGION_WORDS = {
    "head": "Head",
    "neck": "Neck",
    "chest": "Chest",
    "heart": "Heart",
    "breast": "Breast",
    "abdomen": "Abdomen",
    "pelvis": "Pelvis",
    "spine": "Spine",
    "arm": "Shoulder, arm and hand",
    "leg": "Hip, leg and foot",
    "whole-body": "Whole body",
    OTHER: "Region not stated",
}
"""The regions of the list from head to foot, with their words."""

_FAMILIES = ("ct", "mr", "xr", "us", "nm", "mg", "xa", "dxa")
_SHOWN_AS = {
    "face": "head",
    "axilla": "breast",
    "fetus": "pelvis",
    "cervical-spine": "spine",
    "thoracic-spine": "spine",
    "lumbar-spine": "spine",
    "shoulder": "arm",
    "upper-arm": "arm",
    "elbow": "arm",
    "forearm": "arm",
    "wrist": "arm",
    "hand": "arm",
    "arm-vessels": "arm",
    "hip": "leg",
    "thigh": "leg",
    "knee": "leg",
    "lower-leg": "leg",
    "ankle": "leg",
    "foot": "leg",
    "leg-vessels": "leg",
    "skeleton": "whole-body",
}


class StudyKinds:
    """The kind of each study of one list, judged once for all that state the same: a long history repeats a few names."""

    def __init__(self, site: SiteStudies | None = None) -> None:
        self._site = site
        self._known: dict[str, StudyKind] = {}

    def of(self, study: Mapping[str, Any]) -> StudyKind:
        """The kind of an ImagingStudy resource."""
        stated = [study.get(name) for name in ("modality", "description", "procedureCode", "procedure")]
        series = [(one.get("modality"), one.get("bodySite"), one.get("laterality")) for one in dicts(study.get("series"))]
        key = repr((stated, series))
        if key not in self._known:
            self._known[key] = kind_of_study(study, self._site)
        return self._known[key]


def shown_region(kind: StudyKind) -> str:
    """The first of the groups that a study belongs to, from head to foot; ``other`` where its region is not known."""
    found = {_SHOWN_AS.get(region, region) for region in kind.regions}
    return next((region for region in REGION_WORDS if region in found), OTHER)


def shown_families(kind: StudyKind, modalities: Iterable[str]) -> tuple[str, ...]:
    """The modality families; by the DICOM modalities where the judgement has none, ``other`` where they tell none either."""
    found = kind.families or {family for family in map(family_of, modalities) if family}
    return tuple(family for family in _FAMILIES if family.upper() in found) or (OTHER,)
