"""Pages beside the main way: landing pages, a missing viewer, an EHR that is away, words of the imaging server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Response

from tests.contract.smart_actors import STUDY_A, FakeEhr, World, a_world, demo_record, imaging_study, wado_endpoint


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def test_a25_our_public_keys_are_bare_and_cacheable(world: World) -> None:
    answer = world.clinician.get("/.well-known/jwks.json")

    assert answer.json is not None
    assert {key["alg"] for key in answer.json["keys"]} == {"ES384", "RS384"}
    assert not {"d", "p", "q", "dp", "dq", "qi"} & {name for key in answer.json["keys"] for name in key}
    assert "max-age" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "words"), [("/open/nobody/2.25.1", "not known here"), ("/open/sandbox/not-a-uid", "does not name a study")]
)
def test_a_wrong_landing_link_is_explained(world: World, path: str, words: str) -> None:
    page = world.clinician.get(path)

    assert page.status_code >= 400
    assert words in page.text


def test_a_landing_link_sends_nothing_before_somebody_asks(world: World) -> None:
    page = world.clinician.get("/open/sandbox/2.25.1001")

    assert page.status_code == 200
    assert "Sign in to Test EHR" in page.text
    assert "2.25.1001" in page.text
    assert world.ehr.authorizations == []


def test_without_an_installed_viewer_the_page_around_it_works_and_says_so(tmp_path: Path) -> None:
    with a_world(tmp_path, app={"viewer_dir": tmp_path / "nothing"}) as world:
        listed = world.clinician.launches(world.ehr)
        base = f"/s/{world.clinician.session}"
        world.clinician.get(f"{base}/viewer/{STUDY_A}")
        shell = world.clinician.get(f"{base}/ohif/viewer?StudyInstanceUIDs={STUDY_A}")
        file = world.clinician.get("/ohif/3.13.2-r1/app.js")

    assert listed.status_code == 200
    assert shell.status_code == file.status_code == 503
    assert "No viewer is installed" in shell.text


def test_an_ehr_that_is_away_is_explained(world: World) -> None:
    world.ehr.smart_configuration = {"authorization_endpoint": None}
    no_sign_in = world.clinician.launches(world.ehr)

    assert no_sign_in.status_code == 502
    assert "SMART configuration cannot be read" in no_sign_in.text


def test_an_ehr_that_does_not_answer_is_explained(tmp_path: Path) -> None:
    ehr = FakeEhr()
    with a_world(tmp_path, ehr=ehr) as world:
        base = ehr.base_url
    with a_world(tmp_path / "again", ehr=FakeEhr(), fhir_base=f"{base}/fhir") as world:
        page = world.clinician.get(f"/launch?iss={base}/fhir&launch=x")
        page = world.clinician.get(page.headers["Location"])

    assert page.status_code == 503
    assert "does not answer" in page.text


def test_s11_slow_metadata_is_waited_for_within_bounds_and_can_be_tried_again(world: World) -> None:
    world.app.services.outbound.timeout_s = 1.0
    world.ehr.configuration_delay_s = 3
    slow = world.clinician.launches(world.ehr)
    world.ehr.configuration_delay_s = 0
    again = world.clinician.launches(world.ehr)

    assert slow.status_code == 503
    assert "does not answer" in slow.text
    assert again.status_code == 200


def test_a_token_endpoint_that_fails_is_explained_without_its_text(world: World) -> None:
    world.ehr.token_error = ("server_error", 500)
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 503
    assert "server_error" not in page.text


def test_remarks_of_the_imaging_server_are_shown(world: World) -> None:
    remark = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "warning", "diagnostics": "One archive did not answer."},
            {"severity": "information", "diagnostics": "42 ms"},
        ],
    }
    entries = [
        {"resource": imaging_study()},
        {"resource": wado_endpoint(), "search": {"mode": "include"}},
        {"resource": remark},
    ]
    body = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    world.ehr.fhir_answers = [Response(json.dumps(body), mimetype="application/fhir+json")]
    page = world.clinician.launches(world.ehr)

    assert "One archive did not answer." in page.text
    assert "42 ms" not in page.text


def test_an_image_servers_address_that_the_viewer_cannot_use_is_explained(tmp_path: Path) -> None:
    record = demo_record()
    record["Endpoint"] = [wado_endpoint("https://pacs.example/dicom-web?capability=abc")]
    with a_world(tmp_path, ehr=FakeEhr(fhir=record), token_origins=("https://pacs.example",)) as world:
        world.clinician.launches(world.ehr)
        base = f"/s/{world.clinician.session}"
        page = world.clinician.get(f"{base}/viewer/{STUDY_A}")

    assert page.status_code == 409
    assert "capability=abc" not in page.text


def test_c6_a_usable_study_is_not_spoilt_by_an_unusable_one(tmp_path: Path) -> None:
    record = demo_record()
    record["ImagingStudy"].append(imaging_study("2.25.5", study_id="s5", endpoint=[{"reference": "Endpoint/odd"}]))
    record["Endpoint"].append(wado_endpoint("https://pacs.example/dicom-web?capability=abc", "odd"))
    with a_world(tmp_path, ehr=FakeEhr(fhir=record), token_origins=("https://pacs.example",)) as world:
        world.clinician.launches(world.ehr)
        base = f"/s/{world.clinician.session}"
        odd = world.clinician.get(f"{base}/viewer/2.25.5")
        good = world.clinician.get(f"{base}/viewer/{STUDY_A}")

    assert [odd.status_code, good.status_code] == [409, 200]


def test_the_viewer_page_states_what_it_is_and_whose(world: World) -> None:
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert "Not for diagnostic use" in page.text
    assert "<title>SYNTHETIC, Alma, born 2 Mar 1964, Female, MRN DEMO-1001" in page.text
    assert "Open in new window" in page.text
    assert "All studies" in page.text
    assert f"/ohif/viewer?StudyInstanceUIDs={STUDY_A}" in page.text


def test_wrong_uids_in_the_viewers_address_are_refused_or_ignored(world: World) -> None:
    world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}/viewer"
    odd = world.clinician.get(f"{base}/not-a-uid")
    deep = world.clinician.get(f"{base}/{STUDY_A}?series=%3Cscript%3E&instance=../..")

    assert odd.status_code == 400
    assert deep.status_code == 200
    assert "initialSeriesInstanceUID" not in deep.text
