"""What the site's settings make of an archived study's facts: the resource that is wanted of it in FHIR. Pure.

Spec: clinical rules 7.2 (0008,0050 and 0008,0051), X16, X18.
"""

from __future__ import annotations

from typing import Any

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion, Status
from pacs_sync.ports import Subject
from pacs_sync.settings import SyncSettings
from pacs_sync.standing import Mark


def accession_system(study: ArchivedStudy, settings: SyncSettings) -> str | None:
    """The namespace of its accession number: the issuer's, else that of numbers without one; None where neither is known."""
    if study.accession_issuer is None:
        return settings.accession_system
    return settings.accession_systems.get(study.accession_issuer)


def wanted_study(  # noqa: PLR0913 - what a study, its patient and its server say of one resource
    study: ArchivedStudy,
    subject: Subject,
    status: Status,
    settings: SyncSettings,
    *,
    endpoint: str,
    order: str | None,
    version: FhirVersion,
) -> dict[str, Any]:
    """The ImagingStudy. ``endpoint`` and ``order`` are references; ``order`` is the only one with its accession number."""
    context = SyncedContext(
        patient_id=subject.patient_id,
        patient_system=subject.system,
        patient_number=subject.number,
        status=status,
        source=Mark(settings.name).source,
        endpoints=(endpoint,),
        accession_system=accession_system(study, settings),
        order=order,
        with_instances=settings.with_instances,
    )
    return synced_study(study, context, version)
