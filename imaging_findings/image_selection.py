"""The slice on which a finding is seen, out of the R4 back-port of ``ImagingSelection``.

Spec: clinical rules, section 6 (HL7 dicom-sr 1.0.0); the extension's shape is fixed in ``imaging_findings.facts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import from_urn, is_uid, study_uid
from imaging_findings import codes
from imaging_findings.findings import ImageSelection


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


def _uid_value(extension: Mapping[str, Any]) -> str | None:
    stated = (text(extension.get(name)) for name in ("valueOid", "valueUri", "valueString", "valueId"))
    value = next((one for one in stated if one), None)
    uid = from_urn(value) if value else None
    return uid if uid and is_uid(uid) else None
