"""The slice on which a finding is seen, and the series of a study that point at such slices.

Spec: clinical rules, section 6 (HL7 dicom-sr 1.0.0, the R4 back-port of ``ImagingSelection``; the extension's shape is fixed
in ``imaging_findings.facts``); FHIR R4 ``ImagingStudy.series``; DICOM PS3.4 annex B.5 (SOP classes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.study import concept_code
from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import from_urn, is_uid, study_uid
from imaging_findings import codes
from imaging_findings.findings import ImageSelection, KeySeries

_MEASUREMENTS = frozenset(f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (22, 33, 34))
"""Enhanced, Comprehensive and Comprehensive 3D SR. Modality SR alone may as well be a dose report."""


def selection_of(resource: Mapping[str, Any]) -> ImageSelection | None:
    """The slice on which an Observation's finding is seen."""
    for extension in dicts(resource.get("extension")):
        if extension.get("url") != codes.IMAGING_SELECTION:
            continue
        parts = {text(one.get("url")): _uid_value(one) for one in dicts(extension.get("extension"))}
        study, series, instance = (parts.get(name) for name in ("study", "series", "instance"))
        if study and series and instance:
            return ImageSelection(study=study_uid(study), series=series, instance=instance)
    return None


def key_series(resource: Mapping[str, Any]) -> tuple[KeySeries, ...]:
    """The series of an ImagingStudy that point at its pictures, one of each kind: the one that was listed last."""
    found = {one.modality: one for series in dicts(resource.get("series")) for one in _key_series(series)}
    return tuple(found[modality] for modality in ("KO", "SR", "SEG") if modality in found)


def _key_series(series: Mapping[str, Any]) -> Iterator[KeySeries]:
    modality, uid = concept_code(series.get("modality")), from_urn(text(series.get("uid")) or "")
    if uid and (modality in ("KO", "SEG") or (modality == "SR" and _holds_measurements(series))):
        yield KeySeries(modality=modality, series_instance_uid=uid)


def _holds_measurements(series: Mapping[str, Any]) -> bool:
    stated = (text(as_dict(one.get("sopClass")).get("code")) or "" for one in dicts(series.get("instance")))
    return any(from_urn(code) in _MEASUREMENTS for code in stated)


def _uid_value(extension: Mapping[str, Any]) -> str | None:
    stated = (text(extension.get(name)) for name in ("valueOid", "valueUri", "valueString", "valueId"))
    value = next((one for one in stated if one), None)
    uid = from_urn(value) if value else None
    return uid if uid and is_uid(uid) else None
