"""The FHIR resources that go with a de-identified export: made out of its own files alone, so they know no more than these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion, Status
from pacs_sync.files import FileSource
from pacs_sync.result_mapping import ResultContext, results_of
from pacs_sync.structured_report import read_report
from pacs_sync.study_facts import SiteRules

SOURCE = "urn:imaging-cds:export"
PSEUDONYMS = "urn:imaging-cds:pseudonym"
"""Identifier system of the patients' pseudonyms; they mean something at the site that has the key, and nowhere else."""


_NO_DATE = "0001-01-01"
"""What stands in the files for a date that was taken away; in FHIR an unknown date is left out."""


def described(folder: Path, coding_schemes: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Patient (its pseudonym alone), ImagingStudy with all instances, and the results of its structured reports; FHIR R4."""
    yield from map(_dated, _resources(folder, coding_schemes))


def _dated(value: Any) -> Any:
    """Without dates that stand for none."""
    if isinstance(value, Mapping):
        return {key: _dated(one) for key, one in value.items() if not (isinstance(one, str) and one.startswith(_NO_DATE))}
    return [_dated(one) for one in value] if isinstance(value, list) else value


def _resources(folder: Path, coding_schemes: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    source = FileSource([folder], SiteRules(archive="export", with_instances=True))
    try:
        for sighting in source.studies():
            study = source.study(sighting.study)
            if study is None or len(study.patients) != 1:
                continue
            number = study.patients[0].number
            patient_id = f"patient-{number.lower()}"
            yield {"resourceType": "Patient", "id": patient_id, "identifier": [{"system": PSEUDONYMS, "value": number}]}
            context = SyncedContext(
                patient_id=patient_id,
                patient_system=PSEUDONYMS,
                patient_number=number,
                status=Status.AVAILABLE,
                source=SOURCE,
                resource_id=study.uid,
                with_instances=True,
            )
            yield synced_study(study, context, FhirVersion.R4)
            reports = [read_report(one) for one in source.documents(study)]
            of_study = ResultContext(
                subject=f"Patient/{patient_id}", study=study.uid, started=study.started, schemes=coding_schemes
            )
            yield from results_of(reports, of_study, FhirVersion.R4).resources
    finally:
        source.close()
