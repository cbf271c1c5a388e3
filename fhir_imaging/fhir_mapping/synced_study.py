"""An archived study as the ImagingStudy that a FHIR server keeps of it, in R4, R4B, R5 and R6.

Claims no profile: a national one is the site's to ask for (M8).

Spec: clinical rules 7.1 (releases), 7.2 (fields), X13 to X18; IHE RAD IMR 1.1.0 (study UID, modality, start and endpoint).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhirclient.models.imagingstudy import ImagingStudy

from fhir_imaging.archived_study import ArchivedSeries, ArchivedStudy
from fhir_imaging.fhir_mapping.comparison import without_server_marks
from fhir_imaging.fhir_mapping.concepts import Json, stated
from fhir_imaging.fhir_mapping.study_dialects import (
    DIALECTS,
    R4Dialect,
    accession_identifier,
    availability_extension,
    modalities,
    series_element,
    uid_identifier,
)
from fhir_imaging.fhir_versions import FhirVersion, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedContext:
    """What no archive knows of a study.

    ``patient_id`` is the logical id of the one Patient that has the identifier ``patient_system|patient_number``, never the
    archive's PatientID (X14). ``endpoints`` are references (``Endpoint/1``), and so is ``order`` (``ServiceRequest/1``): the
    only one with this accession number, whose namespace is ``accession_system``. ``source`` says who wrote the resource.
    ``resource_id`` is None where the server gives ids.
    """

    patient_id: str
    patient_system: str
    patient_number: str
    status: Status
    source: str
    endpoints: tuple[str, ...] = ()
    accession_system: str | None = None
    order: str | None = None
    resource_id: str | None = None
    with_instances: bool = False


def synced_study(study: ArchivedStudy, context: SyncedContext, version: FhirVersion) -> dict[str, Any]:
    """The ImagingStudy; the same for the same study and context, whenever it is made."""
    dialect = DIALECTS[version]
    resource = stated(
        {
            "resourceType": "ImagingStudy",
            "id": context.resource_id,
            "meta": {"source": context.source},
            "extension": availability_extension(study),
            "identifier": dialect.identifiers(uid_identifier(study.uid), _accession(study, context)),
            "status": context.status.value,
            "modality": modalities(study, dialect),
            "subject": _subject(context),
            "started": study.started,
            "basedOn": _based_on(study, context),
            "referrer": stated({"display": study.referrer}),
            # What no request brings has no address either: whoever follows it would find nothing there.
            "endpoint": [] if study.is_out_of_reach else [{"reference": one} for one in context.endpoints],
            "numberOfSeries": study.number_of_series,
            "numberOfInstances": study.number_of_instances,
            **dialect.procedures_and_reasons(study),
            "description": study.description,
            "series": [_series(one, study, context, dialect) for one in study.series],
        }
    )
    return dict(ImagingStudy(resource).as_json()) if version is FhirVersion.R4 else resource


def withdrawn(resource: Mapping[str, Any], status: Status, version: FhirVersion, *, is_gone: bool = False) -> dict[str, Any]:
    """The same resource, taken back: ``cancelled`` or ``entered-in-error``. ``is_gone``: the archive has the study no more."""
    code = DIALECTS[version].withdrawn(status, is_gone=is_gone)
    return {**without_server_marks(resource), "status": code}


def _subject(context: SyncedContext) -> Json:
    identifier = {"system": context.patient_system, "value": context.patient_number}
    return {"reference": f"Patient/{context.patient_id}", "identifier": identifier}


def _accession(study: ArchivedStudy, context: SyncedContext) -> Json | None:
    """Only with its namespace (X18): the same number means other orders elsewhere."""
    if not (study.accession and context.accession_system):
        return None
    return accession_identifier(study.accession, context.accession_system)


def _based_on(study: ArchivedStudy, context: SyncedContext) -> list[Json]:
    """The order by its accession number, and by its id where exactly one has that; a number without namespace is words."""
    if not (study.accession or context.order):
        return []
    identifier = _accession(study, context)
    words = f"Accession number {study.accession}" if study.accession and identifier is None else None
    return [stated({"reference": context.order, "type": "ServiceRequest", "identifier": identifier, "display": words})]


def _series(series: ArchivedSeries, study: ArchivedStudy, context: SyncedContext, dialect: R4Dialect) -> Json:
    more = {**dialect.anatomy(series), "started": dialect.series_start(series, study)}
    return series_element(series, dialect, with_instances=context.with_instances, **more)
