"""An ImagingStudy with the report series that are not listed just now is the one that stands, in every release."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_imaging.archived_study import ArchivedSeries, ArchivedStudy
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion, Status
from fhir_imaging.uids import SeriesInstanceUID
from pacs_sync.lacking_reports import has_reports, lacking_series, with_series
from pacs_sync.plan import Write
from pacs_sync.ports import Subject, WrittenStudy
from tests.sync_actors import MRN, a_study

ALMA = Subject(patient_id="a", system=MRN, number="1")
CONTEXT = SyncedContext(
    patient_id="a", patient_system=MRN, patient_number="1", status=Status.AVAILABLE, source="urn:imaging-cds:sync:demo"
)


def a_series(number: int, modality: str, images: int | None = 1) -> ArchivedSeries:
    uid = SeriesInstanceUID(f"2.25.7001.{number}")
    return ArchivedSeries(uid=uid, archives=("demo",), number=number, modality=modality, instance_count=images)


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize("images", [1, None])
def test_what_is_lacking_stands_in_its_place_and_is_counted(version: FhirVersion, images: int | None) -> None:
    whole = ArchivedStudy(
        uid=a_study().uid,
        archives=("demo",),
        series=(a_series(1, "CT", 30), a_series(2, "SR", images), a_series(3, "SEG"), a_series(4, "SR", images)),
    )
    stands = synced_study(whole, CONTEXT, version)
    for away in ({2}, {4}, {2, 4}):
        listed = replace(whole, series=tuple(one for one in whole.series if one.number not in away))
        write = Write(status=Status.AVAILABLE, subject=ALMA, replaces=WrittenStudy(id="1", version="1", content=stands))
        wanted = synced_study(listed, CONTEXT, version)
        lacking = lacking_series(listed, write)
        assert [one["number"] for one in lacking] == sorted(away)
        made = with_series(wanted, lacking, stands)
        if images is None:  # a sum that lacks a part is none
            made |= {"numberOfInstances": stands.get("numberOfInstances")}
        assert {name: value for name, value in made.items() if value is not None} == stands


def test_images_and_another_patients_reports_are_not_waited_for() -> None:
    whole = replace(a_study(), series=(a_series(1, "CT"), a_series(2, "SR")))
    standing = WrittenStudy(id="1", version="1", content=synced_study(whole, CONTEXT, FhirVersion.R4))
    write = Write(status=Status.AVAILABLE, subject=ALMA, replaces=standing)
    assert [one["number"] for one in lacking_series(replace(whole, series=()), write)] == [2]
    assert lacking_series(whole, write) == ()
    assert lacking_series(replace(whole, series=()), replace(write, replaces=None)) == ()
    another = replace(ALMA, patient_id="b")
    assert lacking_series(replace(whole, series=()), replace(write, subject=another)) == ()


def test_a_report_is_known_by_any_coding_of_its_modality() -> None:
    local, dicom = (
        {"system": "urn:local", "code": "REPORT"},
        {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "SR"},
    )
    assert has_reports({"modality": [{"coding": [local, dicom]}]})
    assert has_reports({"modality": [dicom]})
    assert not has_reports({"modality": [{"coding": [local]}, {"text": "SR"}, {}]})
