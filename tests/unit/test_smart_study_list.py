"""What the study list says of each study, without any server (smart-launch.md §8; SMART Imaging Access C3-C6)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_imaging.endpoints import BundleResources
from smart_app.named_study import NamedStudy
from smart_app.study_list import ListContext, StudyList, build_study_list
from smart_app.study_search import FoundStudies

ISS = "https://ehr.example/fhir"
GATEWAY = "https://images.example/imaging/ehr/dicom-web/main"


def a_study(uid: str = "1.2.3", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": f"study-{uid}",
        "status": "available",
        "subject": {"reference": "Patient/p1"},
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "started": "2026-03-01T08:15:00Z",
        "modality": [{"code": "CT"}],
        "description": "CT chest",
        "endpoint": [{"reference": "Endpoint/e1"}],
        **more,
    }


def an_endpoint(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Endpoint",
        "id": "e1",
        "status": "active",
        "connectionType": {"code": "dicom-wado-rs"},
        "address": GATEWAY,
        **more,
    }


def the_list(*studies: dict[str, Any], endpoint: dict[str, Any] | None = None, reports: Any = ()) -> StudyList:
    found = FoundStudies(resources=studies, endpoints=BundleResources({}, {"Endpoint/e1": endpoint or an_endpoint()}))
    context = ListContext(patient_id="p1", patient_bases=(ISS,), token_receivers={"https://images.example"})
    return build_study_list(found, reports, context)


def test_newest_first_grouped_by_year_undated_last() -> None:
    studies = the_list(
        a_study("1.1", started="2024-05-01"),
        a_study("1.2", started=None),
        a_study("1.3", started="2026-01-02T10:00:00Z"),
        a_study("1.4", started="2026-07"),
    )

    assert [row.study_instance_uid for row in studies.rows] == ["1.4", "1.3", "1.1", "1.2"]
    assert [year for year, _ in studies.years] == ["2026", "2024", "Undated"]


@pytest.mark.parametrize(
    "started",
    [
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01",
        "9999-12-31",
        "1899-12-31",
        "2201-01-01T00:00:00Z",
    ],
)
def test_a_year_that_no_study_is_of_counts_as_undated_and_is_quoted(started: str) -> None:
    studies = the_list(a_study("1.1", started=started), a_study("1.2"))

    assert [row.study_instance_uid for row in studies.rows] == ["1.2", "1.1"]
    odd = studies.rows[1]
    assert (odd.started, odd.year, odd.sort_key) == ("", "Undated", float("-inf"))
    assert str(int(started[:4])) in odd.date


def test_a_year_is_one_group_whatever_the_zones() -> None:
    """1 January 2026 in Hanoi is still 2025 in UTC, and later than a study of 31 December in New York is not."""
    studies = the_list(
        a_study("1.1", started="2026-01-01T03:00:00+07:00"),
        a_study("1.2", started="2025-12-31T18:00:00-05:00"),
        a_study("1.3", started="2025-12-31T12:00:00Z"),
        a_study("1.4", started="2026-01-01T01:00:00+14:00"),
    )

    assert [year for year, _ in studies.years] == ["2026", "2025"]


@pytest.mark.parametrize(
    ("started", "date", "time"),
    [
        ("2026-03-01T08:15:00Z", "1 Mar 2026", "08:15 UTC"),
        ("2026-03-01T08:15:00+07:00", "1 Mar 2026", "08:15 UTC+07:00"),
        ("2026-03-01T08:15:00-03:30", "1 Mar 2026", "08:15 UTC−03:30"),
        ("2026-03-01T08:15:00", "1 Mar 2026", "08:15 (zone not stated)"),
        ("2026-03-01", "1 Mar 2026", None),
        ("2026-03", "Mar 2026", None),
        ("2026", "2026", None),
        ("yesterday", "Date not recorded", None),
    ],
)
def test_dates_are_unambiguous_and_as_precise_as_recorded(started: str, date: str, time: str | None) -> None:
    (row,) = the_list(a_study(started=started)).rows

    assert (row.date, row.time) == (date, time)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ({"status": "off"}, "Image server switched off"),
        ({"address": "https://elsewhere.example/dicom-web"}, "Image server not allowed here"),
        ({"address": "https://images.example@evil.example/dicom-web"}, "Image server not allowed here"),
        ({"connectionType": {"code": "ihe-iid"}}, "Images only in another viewer"),
        ({"connectionType": {"code": "hl7-fhir-rest"}}, "No image server named"),
        ({"id": "another"}, "Images available"),
    ],
)
def test_the_state_of_the_images_is_said_in_words(endpoint: dict[str, Any], words: str) -> None:
    (row,) = the_list(a_study(), endpoint=an_endpoint(**endpoint)).rows

    assert row.images == words
    assert row.can_open is (words == "Images available")


def test_a_refused_image_server_is_named() -> None:
    (row,) = the_list(a_study(), endpoint=an_endpoint(address="https://elsewhere.example/dicom-web")).rows

    assert row.refused_address == "https://elsewhere.example/dicom-web"
    assert row.address is None


def test_p1_an_endpoint_that_forbids_the_token_is_not_opened() -> None:
    url = "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"
    (row,) = the_list(a_study(), endpoint=an_endpoint(extension=[{"url": url, "valueBoolean": False}])).rows

    assert not row.can_open
    assert row.images == "Image server does not take this sign-in"


def test_c4_a_contained_endpoint_is_found() -> None:
    study = a_study(contained=[an_endpoint(id="inside")], endpoint=[{"reference": "#inside"}])
    (row,) = the_list(study).rows

    assert row.address == GATEWAY


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p2"},
        {"reference": "https://other.example/fhir/Patient/p1"},
        {"reference": "Group/p1"},
        {"display": "p1"},
        {},
        None,
        "Patient/p1",
    ],
)
def test_group_29_a_study_that_is_not_provably_the_patients_is_blocked(subject: object) -> None:
    studies = the_list(a_study(subject=subject), a_study("1.9"))

    assert studies.blocked == 1
    assert [row.study_instance_uid for row in studies.rows] == ["1.9"]


@pytest.mark.parametrize("reference", ["Patient/p1", f"{ISS}/Patient/p1", "Patient/p1/_history/3"])
def test_the_patients_own_studies_are_recognised(reference: str) -> None:
    assert the_list(a_study(subject={"reference": reference})).blocked == 0


def test_an_unreadable_study_hides_no_other() -> None:
    studies = the_list(a_study(identifier=[]), a_study("1.9", modality="CT", series="none", numberOfSeries="two"))

    assert len(studies.unreadable) == 1
    assert "no Study Instance UID" in studies.unreadable[0].problem
    assert [row.study_instance_uid for row in studies.rows] == ["1.9"]


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "inactive"])
def test_a_withdrawn_study_is_not_listed(status: str) -> None:
    assert the_list(a_study(status=status)).rows == ()


def test_reports_stand_beside_their_study() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "imagingStudy": [{"reference": "ImagingStudy/study-1.2.3"}],
        "code": {"coding": [{"display": "CT report"}]},
        "conclusion": "Nodule.",
        "issued": "2026-03-01T10:00:00Z",
    }
    other = {**report, "imagingStudy": [{"reference": "ImagingStudy/study-1.2.30"}]}
    (row,) = the_list(a_study(), reports=(report, other, {**report, "status": "entered-in-error"})).rows

    (said,) = row.reports
    assert (said.state, said.title, said.conclusion, said.issued) == (
        "Preliminary report",
        "CT report",
        "Nodule.",
        "1 Mar 2026 10:00 UTC",
    )


def test_a_report_without_reference_is_found_by_accession_number() -> None:
    acsn = {"type": {"coding": [{"code": "ACSN"}]}, "value": "ACC-1"}
    study = a_study(identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}, acsn])
    (row,) = the_list(study, reports=({"status": "final", "identifier": [{"value": "ACC-1"}]},)).rows

    assert row.accession == "ACC-1"
    assert len(row.reports) == 1


def test_counts_body_site_and_modalities_are_worded() -> None:
    study = a_study(
        numberOfSeries=1,
        numberOfInstances=1131,
        modality=[{"code": "SR"}, {"code": "CT"}],
        series=[{"uid": "1.2.3.1", "modality": {"code": "CT"}, "bodySite": {"display": "Chest"}}],
    )
    (row,) = the_list(study).rows

    assert row.details == ("1 series", "1,131 images", "also structured reports", "Chest")
    assert row.body_site == "Chest"
    assert row.modalities == ("CT", "SR")
    assert row.modality_words == "CT"
    assert the_list(study).modalities == ["CT"]
    assert the_list(a_study(modality=[{"code": "SR"}])).modalities == ["SR"]
    assert "chest" in row.search_text


def test_a_study_is_found_by_uid_or_by_logical_id() -> None:
    studies = the_list(a_study("1.2.3"))

    assert studies.named(NamedStudy(study_instance_uid="1.2.3")) is studies.rows[0]
    assert studies.named(NamedStudy(resource_id="study-1.2.3")) is studies.rows[0]
    assert studies.named(NamedStudy(resource_id="study-9")) is None
    assert studies.named(NamedStudy()) is None
