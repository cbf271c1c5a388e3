"""An archived study as a FHIR R4 ImagingStudy.

Spec: SMART Imaging Access F3 (SmartImagingStudy and its must-support elements); FHIR R4 ImagingStudy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirclient.models.imagingstudy import ImagingStudy

from fhir_imaging.archived_study import ArchivedInstance, ArchivedSeries, ArchivedStudy
from fhir_imaging.uids import DICOM_UID_SYSTEM, to_urn

DCM = "http://dicom.nema.org/resources/ontology/DCM"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
OBSERVATION_VALUES = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
URI_SYSTEM = "urn:ietf:rfc:3986"
UNKNOWN_MODALITY = "OT"
"""DICOM's own "Other" (PS3.3 §C.7.3.1.1.1), where an archive does not say: FHIR wants one of each series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyContext:
    """What no archive knows: whose the study is in FHIR (an absolute reference), and when this state was first seen.

    ``last_updated`` is a FHIR instant. ``is_subset``: there is more of the study than is told here.
    """

    subject: str
    last_updated: str | None = None
    is_subset: bool = False


def imaging_study(study: ArchivedStudy, context: StudyContext) -> dict[str, Any]:
    """The ImagingStudy, valid R4, its id the Study Instance UID and its endpoints named as the archives are."""
    resource: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "id": study.uid,
        "meta": _meta(context),
        "identifier": identifiers(study),
        "status": "available",
        "modality": [_coding(code) for code in study.modalities or (UNKNOWN_MODALITY,)],
        "subject": {"reference": context.subject},
        "started": study.started,
        "endpoint": _endpoints(study.archives),
        "numberOfSeries": study.number_of_series,
        "numberOfInstances": study.number_of_instances,
        "description": study.description,
        "series": [_series(one, study) for one in study.series],
    }
    return dict(ImagingStudy(_stated(resource)).as_json())


def identifiers(study: ArchivedStudy) -> list[dict[str, Any]]:
    """The Study Instance UID, and the accession number where there is one."""
    made: list[dict[str, Any]] = [{"system": DICOM_UID_SYSTEM, "value": to_urn(study.uid)}]
    if study.accession:
        made.append({"type": {"coding": [{"system": IDENTIFIER_TYPES, "code": "ACSN"}]}, "value": study.accession})
    return made


def _meta(context: StudyContext) -> dict[str, Any] | None:
    tags = [{"system": OBSERVATION_VALUES, "code": "SUBSETTED"}] if context.is_subset else []
    return _stated({"lastUpdated": context.last_updated, "tag": tags}) or None


def _series(series: ArchivedSeries, study: ArchivedStudy) -> dict[str, Any]:
    everywhere = set(series.archives) == set(study.archives)
    made = {
        "uid": series.uid,
        "number": series.number,
        "modality": _coding(series.modality or UNKNOWN_MODALITY),
        "description": series.description,
        "numberOfInstances": series.instance_count,
        # The archive's word for it; a SNOMED code would be ours.
        "bodySite": {"display": series.body_part} if series.body_part else None,
        "started": series.started,
        "endpoint": [] if everywhere else _endpoints(series.archives),
        "instance": [_instance(one) for one in series.instances],
    }
    return _stated(made)


def _instance(instance: ArchivedInstance) -> dict[str, Any]:
    sop_class = {"system": URI_SYSTEM, "code": to_urn(instance.sop_class)}
    return _stated({"uid": instance.uid, "sopClass": sop_class, "number": instance.number})


def _endpoints(archives: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"reference": f"Endpoint/{name}"} for name in archives]


def _coding(code: str) -> dict[str, str]:
    return {"system": DCM, "code": code}


def _stated(element: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known: FHIR has neither null nor empty lists."""
    return {name: value for name, value in element.items() if value not in (None, [])}
