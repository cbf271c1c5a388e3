"""An archived study as a FHIR R4 ImagingStudy.

Spec: SMART Imaging Access F3 (SmartImagingStudy and its must-support elements); FHIR R4 ImagingStudy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirclient.models.imagingstudy import ImagingStudy

from fhir_imaging.archived_study import ArchivedSeries, ArchivedStudy
from fhir_imaging.fhir_mapping.concepts import Json, stated
from fhir_imaging.fhir_mapping.study_dialects import (
    DIALECTS,
    accession_identifier,
    availability_extension,
    modalities,
    series_element,
    uid_identifier,
)
from fhir_imaging.fhir_versions import FhirVersion

OBSERVATION_VALUES = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
_R4 = DIALECTS[FhirVersion.R4]


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
    resource: Json = {
        "resourceType": "ImagingStudy",
        "id": study.uid,
        "meta": _meta(context),
        "extension": availability_extension(study),
        "identifier": identifiers(study),
        "status": "available",
        "modality": modalities(study, _R4),
        "subject": {"reference": context.subject},
        "started": study.started,
        "referrer": stated({"display": study.referrer}),
        "endpoint": _endpoints(study.archives),
        "numberOfSeries": study.number_of_series,
        "numberOfInstances": study.number_of_instances,
        **_R4.procedures_and_reasons(study),
        "description": study.description,
        "series": [_series(one, study) for one in study.series],
    }
    return dict(ImagingStudy(stated(resource)).as_json())


def identifiers(study: ArchivedStudy) -> list[Json]:
    """The Study Instance UID, and the accession number where there is one, with its namespace as far as that is known."""
    accession = accession_identifier(study.accession, study.accession_system) if study.accession else None
    return _R4.identifiers(uid_identifier(study.uid), accession)


def _meta(context: StudyContext) -> Json:
    tags = [{"system": OBSERVATION_VALUES, "code": "SUBSETTED"}] if context.is_subset else []
    return stated({"lastUpdated": context.last_updated, "tag": tags})


def _series(series: ArchivedSeries, study: ArchivedStudy) -> Json:
    everywhere = set(series.archives) == set(study.archives)
    endpoints = [] if everywhere else _endpoints(series.archives)
    return series_element(series, _R4, **_R4.anatomy(series), endpoint=endpoints)


def _endpoints(archives: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"reference": f"Endpoint/{name}"} for name in archives]
