"""Finding a patient's studies over HTTP: imaging base, paging, busy servers, partial rights (C1-C8, D1, D5, F1; APP-A39)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from smart_app.imaging_base import APP_LAUNCH_MODE
from tests.contract.smart_actors import STUDY_A, FakeEhr, World, a_world, busy, demo_record, imaging_study, wado_endpoint


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def bundle(*resources: dict[str, Any], next_url: str | None = None) -> Response:
    body: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}
    if next_url:
        body["link"] = [{"relation": "next", "url": next_url}]
    return Response(json.dumps(body), mimetype="application/fhir+json")


def refused(status: int) -> Response:
    return Response("{}", status, mimetype="application/fhir+json")


def searches(world: World) -> list[str]:
    return [path for path in world.ehr.fhir_requests if path.startswith("/fhir/ImagingStudy")]


def test_c1_the_search_names_the_patient_by_bare_id_and_includes_endpoints(world: World) -> None:
    world.clinician.launches(world.ehr)

    (asked,) = searches(world)
    assert "patient=demo-a" in asked
    assert "_include=ImagingStudy%3Aendpoint" in asked


def test_an_empty_answer_is_asked_again_as_a_reference_before_it_is_believed(world: World) -> None:
    world.ehr.fhir_answers = [bundle(), None]
    page = world.clinician.launches(world.ehr)

    assert "patient=Patient%2Fdemo-a" in searches(world)[1] or "patient=Patient/demo-a" in searches(world)[1]
    assert "CT chest" in page.text


def test_no_studies_is_said_in_words(world: World) -> None:
    world.ehr.fhir = {"Patient": world.ehr.fhir["Patient"]}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert "lists no imaging studies for this patient" in page.text


def test_every_page_of_the_list_is_read(world: World) -> None:
    next_url = f"{world.ehr.fhir_base}/ImagingStudy?page=2"
    second = imaging_study("2.25.77", study_id="s2", description="CT of page two")
    pages = [bundle(imaging_study(), wado_endpoint(), next_url=next_url), bundle(second)]
    world.clinician.launches(world.ehr)
    world.ehr.fhir_answers = [*pages]
    page = world.clinician.get(f"/s/{world.clinician.session}/studies?whole=1")

    assert "CT chest" in page.text
    assert "CT of page two" in page.text
    assert page.text.count("Open images: ") == 2


def test_a_paging_link_to_another_server_gets_no_token(world: World) -> None:
    odd = bundle(imaging_study(), next_url="http://127.0.0.1:9/fhir/ImagingStudy?page=2")
    world.ehr.fhir_answers = [odd, odd]
    first = world.clinician.launches(world.ehr)
    rest = world.clinician.get(f"/s/{world.clinician.session}/studies/stream")
    whole = world.clinician.get(f"/s/{world.clinician.session}/studies?whole=1")

    assert first.status_code == 200
    assert "cannot be had" in rest.text.splitlines()[-1]
    assert whole.status_code == 502
    assert "cannot be had" in whole.text


def test_c7_a_busy_server_is_asked_again_after_its_retry_after(world: World) -> None:
    waits: list[float] = []
    object.__setattr__(world.app.services, "sleep", waits.append)
    world.ehr.fhir_answers = [busy(2), busy(2), None]
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert waits
    assert set(waits) == {2.0}


def test_c7_a_server_that_stays_busy_is_not_taken_for_an_empty_record(world: World) -> None:
    object.__setattr__(world.app.services, "sleep", lambda _seconds: None)
    world.ehr.fhir_answers = [busy(1) for _ in range(20)]
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 503
    assert "That does not mean there are none" in page.text


def test_a_site_without_the_right_to_endpoints_still_lists_studies(world: World) -> None:
    world.ehr.fhir_answers = [refused(403), bundle(imaging_study())]
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert "did not say where the images are" in page.text
    assert "Not permitted: the EHR does not say where the images are" in page.text


def test_a39_a_refusal_names_the_missing_permission(world: World) -> None:
    world.ehr.fhir_answers = [refused(403), refused(403)]
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 403
    assert "patient/ImagingStudy.rs" in page.text


def test_a39_a_refused_token_is_renewed_once_and_the_question_repeated(world: World) -> None:
    world.clinician.launches(world.ehr)
    world.clock.passes(seconds=30)
    world.ehr.fhir_answers = [refused(401)]
    page = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert world.ehr.token_requests[-1]["grant_type"] == "refresh_token"


def test_a39_a_token_that_stays_refused_ends_on_a_page(world: World) -> None:
    world.clinician.launches(world.ehr)
    world.clock.passes(seconds=30)
    world.ehr.fhir_answers = [refused(401), refused(401)]
    page = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert page.status_code == 403
    assert "The session has ended" in page.text


def test_a17_a_scope_without_imaging_is_explained_and_nothing_is_searched(world: World) -> None:
    world.ehr.token_changes = {"scope": "launch openid fhirUser"}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 403
    assert "patient/ImagingStudy.rs" in page.text
    assert world.ehr.fhir_requests == []


@pytest.mark.parametrize(
    "scope", ["patient/ImagingStudy.r patient/ImagingStudy.s", "patient/*.rs", "patient/ImagingStudy.read", "user/*.cruds"]
)
def test_a16_a17_the_granted_scope_is_read_as_a_set(world: World, scope: str) -> None:
    world.ehr.token_changes = {"scope": f"launch {scope}"}

    assert "CT chest" in world.clinician.launches(world.ehr).text


def test_a_filtered_scope_is_named_as_a_limit(world: World) -> None:
    world.ehr.token_changes = {"scope": "launch patient/ImagingStudy.rs?modality=CT"}
    page = world.clinician.launches(world.ehr)

    assert "limits the list of studies to a part of the record" in page.text


def test_without_the_right_to_read_the_patient_the_banner_says_what_it_knows(world: World) -> None:
    world.ehr.token_changes = {"scope": "launch patient/ImagingStudy.rs"}
    page = world.clinician.launches(world.ehr)

    assert "Patient demo-a" in page.text
    assert "Identity not readable here" in page.text
    assert "patient/Patient.r" in page.text
    assert "Alma" not in page.text


def test_d1_an_associated_endpoint_with_the_capability_serves_the_studies(tmp_path: Path) -> None:
    imaging = FakeEhr(
        fhir={"ImagingStudy": [imaging_study(description="CT of the imaging server")], "Endpoint": [wado_endpoint()]}
    )
    with a_world(tmp_path / "imaging", ehr=imaging):
        associated = [{"url": imaging.fhir_base, "capabilities": ["smart-imaging-access", APP_LAUNCH_MODE]}]
        ehr = FakeEhr(fhir=demo_record(), smart_configuration={"associated_endpoints": associated})
        with a_world(tmp_path / "ehr", ehr=ehr) as world:
            page = world.clinician.launches(ehr)

    assert "CT of the imaging server" in page.text
    assert not [path for path in ehr.fhir_requests if "ImagingStudy" in path]
    assert any("/fhir/Patient/demo-a" in path for path in ehr.fhir_requests)


def test_d5_a_configured_imaging_base_serves_where_none_is_advertised(tmp_path: Path) -> None:
    imaging = FakeEhr(
        fhir={"ImagingStudy": [imaging_study(description="CT of the imaging server")], "Endpoint": [wado_endpoint()]}
    )
    with a_world(tmp_path / "imaging", ehr=imaging):
        ehr = FakeEhr(fhir=demo_record(), smart_configuration={"capabilities": []})
        known_as = {"imaging_base": imaging.fhir_base, "imaging_base_has_ehr_ids": True}
        with a_world(tmp_path / "ehr", ehr=ehr, **known_as) as world:
            page = world.clinician.launches(ehr)

    assert "CT of the imaging server" in page.text


def test_without_any_imaging_base_the_ehr_itself_is_asked_and_that_is_said(tmp_path: Path) -> None:
    ehr = FakeEhr(fhir=demo_record(), smart_configuration={"capabilities": []})
    with a_world(tmp_path, ehr=ehr) as world:
        page = world.clinician.launches(ehr)

    assert "CT chest" in page.text
    assert "names no imaging server" in page.text


def test_c3_an_image_server_elsewhere_is_shown_and_not_opened(world: World) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint("https://elsewhere.example/dicom-web")]
    page = world.clinician.launches(world.ehr)
    viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/2.25.1001")

    assert "Image server not allowed here" in page.text
    assert "https://elsewhere.example/dicom-web" in page.text
    assert viewer.status_code == 409


def test_a_second_image_server_is_a_second_source_of_the_viewer(tmp_path: Path) -> None:
    record = demo_record()
    second = imaging_study("2.25.5", study_id="s5", endpoint=[{"reference": "Endpoint/other"}])
    record["ImagingStudy"].append(second)
    record["Endpoint"].append(wado_endpoint("https://pacs.example/dicom-web", "other"))
    ehr = FakeEhr(fhir=record)
    with a_world(tmp_path, ehr=ehr, token_origins=("https://pacs.example",)) as world:
        world.clinician.launches(ehr)
        base = f"/s/{world.clinician.session}"
        first = world.clinician.get(f"{base}/viewer/2.25.1001")
        other = world.clinician.get(f"{base}/viewer/2.25.5")
        config = world.clinician.get(f"{base}/ohif/app-config.js")

    assert f"{base}/ohif/viewer?StudyInstanceUIDs=2.25.1001" in first.text
    assert f"{base}/ohif/viewer/images-2?StudyInstanceUIDs=2.25.5" in other.text
    assert "https://pacs.example/dicom-web" in config.text


@pytest.mark.parametrize("started", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_study_of_an_impossible_year_takes_no_page_down(world: World, started: str) -> None:
    """Neither the list nor its stream, the viewer's page or its panel, nor a question of another application."""
    world.ehr.fhir["ImagingStudy"].append(imaging_study("2.25.5", study_id="s5", started=started))
    page = world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    asked = "requestType=PATIENT&patientID=DEMO-1001^^^https://imaging-cds.example/demo/mrn&lowerDateTime=2020-01-01"
    paths = ("studies/stream", "viewer/2.25.5", f"studies/{STUDY_A}/panel", f"IHEInvokeImageDisplay?{asked}")
    answers = [page, *(world.clinician.get(f"{base}/{path}") for path in paths)]
    texts = [one.text for one in answers]

    assert [one.status_code for one in answers] == [200] * 5
    assert '"kind":"failed"' not in texts[1]
    assert f" {int(started[:4])}</span>" in texts[0]


def test_an_unreadable_study_is_a_readable_row(world: World) -> None:
    odd = imaging_study(study_id="odd", identifier=[], started="2024-02-03", description="MRI of the knee")
    world.ehr.fhir["ImagingStudy"].append(odd)
    page = world.clinician.launches(world.ehr)

    assert "Entries that cannot be read" in page.text
    assert "<strong>3 Feb 2024</strong> MRI of the knee: this entry of the record cannot be read as a study" in page.text
    row = page.text.partition("3 Feb 2024")[2].partition("</li>")[0]
    plain, _, folded = row.partition("<summary>For support</summary>")
    assert "ImagingStudy" not in plain, "a clinician reads what it means, support why"
    assert "The ImagingStudy has no Study Instance UID" in folded
    assert "ImagingStudy/odd" in page.text
    assert "CT chest" in page.text


def test_a_record_of_unreadable_studies_alone_is_not_called_empty(world: World) -> None:
    world.ehr.fhir["ImagingStudy"] = [imaging_study(identifier=[]), imaging_study("2.25.9", patient="demo-b")]
    page = world.clinician.launches(world.ehr)

    assert "lists no imaging studies" not in page.text
    assert "No imaging study can be shown" in page.text
    assert "Entries that cannot be read" in page.text
    assert "1 entry was left out" in page.text
