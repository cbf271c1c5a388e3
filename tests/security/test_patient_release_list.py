"""The study list of a user who is the patient or a related person: plain words, released reports, nothing for clinicians."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.site_policy import SitePolicy, product_policy
from tests.contract.smart_actors import World, a_world, report_on, wado_endpoint
from tests.contract.test_smart_findings import SCT, lung_rads, of_an_ai

RELEASED = SitePolicy(packs=product_policy().packs, release=ReleaseRule(patient_results=PatientResults.RELEASED))
CONCLUSION = "Part-solid nodule of 8 mm"
CLINICAL = ("Lung-RADS", "AI, unsigned", "follow-up", "finding ", "For:", "structured report", "Image server", "FHIR", "scope")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, app={"policy": RELEASED}) as made:
        signed_on(made, days_ago=10)
        yield made


def signed_on(world: World, *, days_ago: float, **more: Any) -> None:
    moment = (world.clock.moment - timedelta(days=days_ago)).isoformat()
    world.ehr.fhir["DiagnosticReport"] = [{**report_on(), "issued": moment, **more}]


def launched_by(world: World, user: str = "Patient/demo-a") -> str:
    world.ehr.id_token_changes = {"fhirUser": f"{world.ehr.fhir_base}/{user}"}
    page = world.clinician.launches(world.ehr)
    assert page.status_code == 200
    assert "CT chest" in page.text
    return page.text


def test_by_default_no_report_is_shown_to_a_patient(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        signed_on(world, days_ago=10)
        page = launched_by(world)

    assert CONCLUSION not in page
    assert "No report to show here" in page


@pytest.mark.parametrize("user", ["Patient/demo-a", "RelatedPerson/r1"])
def test_a_released_report_is_shown_where_the_site_releases(world: World, user: str) -> None:
    assert CONCLUSION in launched_by(world, user)


@pytest.mark.parametrize("user", ["Patient/demo-a", "RelatedPerson/r1", "Person/p1", "Device/d1"])
def test_no_line_speaks_to_clinicians(world: World, user: str) -> None:
    world.ehr.fhir["Observation"] = [of_an_ai("4A"), {**lung_rads("3"), "id": "signed"}]
    series = [{"uid": "2.25.1", "modality": {"code": "SR"}}, {"uid": "2.25.2", "modality": {"code": "CT"}}]
    for study in world.ehr.fhir["ImagingStudy"]:
        study |= {"reasonCode": [{"text": "Suspected cancer"}], "series": series}
    page = launched_by(world, user)

    words = page.partition('<div id="groups">')[2]
    assert [one for one in CLINICAL if one in words] == []
    assert "Suspected cancer" not in page


def test_a_report_is_withheld_until_its_time_has_come(world: World) -> None:
    signed_on(world, days_ago=2.9)
    early = launched_by(world)
    signed_on(world, days_ago=3.1)
    later = launched_by(world)

    assert CONCLUSION not in early
    assert CONCLUSION in later


@pytest.mark.parametrize("status", ["preliminary", "registered", "partial", "unknown", "entered-in-error", "cancelled"])
def test_an_unsigned_report_is_withheld(world: World, status: str) -> None:
    signed_on(world, days_ago=10, status=status)

    assert CONCLUSION not in launched_by(world)


@pytest.mark.parametrize(
    "more",
    [
        {"resultsInterpreter": [{"reference": "Device/ai", "display": "AI"}]},
        {"issued": None},
        {"issued": "2020-01-01"},
        {"subject": {"reference": "Patient/demo-b"}},
        {"imagingStudy": [], "identifier": [{"value": "ACC-1"}]},
    ],
)
def test_a_report_that_is_not_provably_released_is_withheld(world: World, more: dict[str, Any]) -> None:
    signed_on(world, days_ago=10, **more)

    assert CONCLUSION not in launched_by(world)


def test_an_amendment_starts_the_time_anew(world: World) -> None:
    signed_on(world, days_ago=10)
    fresh = {**report_on(), "id": "amended", "status": "amended", "conclusion": "Another word."}
    fresh["issued"] = (world.clock.moment - timedelta(hours=1)).isoformat()
    world.ehr.fhir["DiagnosticReport"].append(fresh)
    page = launched_by(world)

    assert CONCLUSION not in page
    assert "Another word." not in page


def urgent(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "pe",
        "status": "final",
        "code": {"coding": [{"system": SCT, "code": "59282003"}]},
        "subject": {"reference": "Patient/demo-a"},
        "derivedFrom": [{"reference": "ImagingStudy/study-a"}],
        "performer": [{"display": "Dr R."}],
        "interpretation": [{"coding": [{"system": "http://radlex.org", "code": "RID49480"}]}],
        "issued": "2026-01-01T10:00:00Z",
        **more,
    }


def test_a_study_with_a_result_that_must_be_told_first_waits_for_it(world: World) -> None:
    world.ehr.fhir["Observation"] = [urgent()]
    untold = launched_by(world)
    told = (world.clock.moment - timedelta(days=1)).isoformat()
    world.ehr.fhir["Communication"] = [
        {
            "resourceType": "Communication",
            "id": "c",
            "status": "completed",
            "subject": {"reference": "Patient/demo-a"},
            "about": [{"reference": "Observation/pe"}],
            "recipient": [{"display": "Dr G."}],
            "sent": told,
        }
    ]
    page = launched_by(world)

    assert CONCLUSION not in untold
    assert CONCLUSION in page


def test_what_could_not_be_looked_at_withholds_the_reports(world: World) -> None:
    scopes = ("patient/Patient.r", "patient/ImagingStudy.rs", "patient/DiagnosticReport.rs", "patient/Observation.rs")
    world.ehr.token_changes = {"scope": f"launch {' '.join(scopes)}"}

    assert CONCLUSION not in launched_by(world)


def test_notes_and_states_of_images_are_in_plain_words(world: World) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint("https://elsewhere.example/dicom-web")]
    world.ehr.token_changes = {"scope": "launch patient/ImagingStudy.rs patient/Patient.r"}
    page = launched_by(world)

    assert "Pictures cannot be shown here" in page
    assert "Not everything in the record can be shown here" in page
    assert "elsewhere.example" not in page
    assert "patient/DiagnosticReport" not in page


def test_the_stream_keeps_the_rule_too(world: World) -> None:
    launched_by(world)
    shown = world.clinician.get(f"/s/{world.clinician.session}/studies/stream").text
    signed_on(world, days_ago=1)
    hidden = world.clinician.get(f"/s/{world.clinician.session}/studies/stream").text

    assert CONCLUSION in shown
    assert CONCLUSION not in hidden
    assert [json.loads(line)["kind"] for line in hidden.splitlines()][-1] == "done"


def test_a_document_opens_only_with_its_report(world: World) -> None:
    form = [{"contentType": "application/pdf", "data": "JVBERi0xLjQ="}]
    signed_on(world, days_ago=10, presentedForm=form)
    launched_by(world)
    path = f"/s/{world.clinician.session}/reports/report-a/forms/0"
    released = world.clinician.get(path)
    signed_on(world, days_ago=1, presentedForm=form)
    withheld = world.clinician.get(path)

    assert released.data == b"%PDF-1.4"
    assert withheld.status_code == 404
