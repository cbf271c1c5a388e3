"""The token after the sign-in: handed to our own page only, kept inside, renewed, revoked (groups 29, 31, 32, 33 and 34)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fhir_imaging import web
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import (
    APP,
    STUDY_A,
    Clinician,
    Clock,
    FakeEhr,
    World,
    a_world,
    demo_record,
    make_app,
)

OWN = {"Sec-Fetch-Site": "same-origin", "Origin": APP}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        web.install(made.app.flask, [])
        made.clinician.launches(made.ehr)
        yield made


def base_of(world: World) -> str:
    return f"/s/{world.clinician.session}"


@pytest.mark.parametrize("path", ["token", "logout", "window-ticket", f"window/{STUDY_A}"])
def test_group_31_only_our_own_pages_may_ask(world: World, path: str) -> None:
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{APP}.evil.example"},
        {"Origin": APP.replace("http://", "https://")},
        {"Origin": APP.replace("8000", "8001")},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": APP},
        {"Sec-Fetch-Site": "same-site", "Origin": APP},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin, cross-site", "Origin": APP},
        {"Sec-Fetch-Site": "Same-Origin", "Origin": "https://evil.example"},
        {"Referer": f"{APP}/s/x/studies"},
        {"X-Requested-With": "XMLHttpRequest"},
    ):
        answer = world.clinician.client.post(f"{base_of(world)}/{path}", base_url=APP, headers=headers)

        assert answer.status_code == 403, headers
        assert "access-" not in answer.text
    assert world.clinician.get(f"{base_of(world)}/studies").status_code == 200, "nothing was ended"
    assert world.ehr.revoked == []


def test_group_31_the_token_is_no_page_no_query_and_no_other_method(world: World) -> None:
    for method in ("get", "head", "put", "delete", "options", "patch"):
        answer = getattr(world.clinician.client, method)(f"{base_of(world)}/token", base_url=APP, headers=OWN)

        assert "access-" not in answer.text
        assert answer.status_code in (200, 405)
        assert "Access-Control-Allow-Origin" not in answer.headers
    token = world.clinician.post(f"{base_of(world)}/token")
    assert token.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in token.headers
    assert set(token.get_json()) == {"access_token", "expires_in"}, "never the refresh token"


@pytest.mark.parametrize(
    "name", ["url", "token", "configUrl", "Token", "access_token", "datasources", "hangingprotocolId", "x"]
)
def test_group_31_the_viewers_address_takes_nothing_but_studies(world: World, name: str) -> None:
    world.clinician.get(f"{base_of(world)}/viewer/{STUDY_A}")
    shell = world.clinician.get(f"{base_of(world)}/ohif/viewer?StudyInstanceUIDs={STUDY_A}&{name}=https://evil.example/x")

    assert shell.status_code == 403
    assert "evil.example" not in shell.text


def test_group_31_no_page_holds_a_token(world: World) -> None:
    pages = [
        world.clinician.get(f"{base_of(world)}/{path}")
        for path in ("studies", f"viewer/{STUDY_A}", f"studies/{STUDY_A}/panel", "ohif/app-config.js", "state", "style.css")
    ]
    token = world.clinician.post(f"{base_of(world)}/token").get_json()["access_token"]

    for secret in (token, *world.ehr.live_refresh_tokens):
        assert not any(secret in page.text or secret in str(page.headers) for page in pages)


def test_group_32_a_page_reaches_nobody_but_ourselves_and_its_archives(world: World) -> None:
    for path in ("studies", f"viewer/{STUDY_A}"):
        page = world.clinician.get(f"{base_of(world)}/{path}")
        policy = dict(one.partition(" ")[::2] for one in page.headers["Content-Security-Policy"].split("; "))

        assert set(policy["connect-src"].split()) <= {"'self'", APP}
        assert policy["default-src"] == "'none'"
        assert policy["form-action"] == "'self'"
        assert policy["base-uri"] == "'none'"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page.text), "nothing is loaded from elsewhere"


def test_group_33_the_new_token_is_handed_over_once_the_old_one_is_due(world: World) -> None:
    first = world.clinician.post(f"{base_of(world)}/token").get_json()["access_token"]
    world.clock.passes(seconds=250)
    second = world.clinician.post(f"{base_of(world)}/token").get_json()["access_token"]

    assert first != second
    assert len(world.ehr.token_requests) == 2


def test_group_33_when_renewal_fails_the_session_ends_and_says_how_to_go_on(world: World) -> None:
    world.ehr.live_refresh_tokens.clear()
    world.clock.passes(seconds=290)
    token = world.clinician.post(f"{base_of(world)}/token")
    state = world.clinician.get(f"{base_of(world)}/state")
    page = world.clinician.get(f"{base_of(world)}/viewer/{STUDY_A}")

    assert token.status_code == 401
    assert "access_token" not in token.get_json()
    assert state.status_code == 401 or state.get_json()["alive"] is False
    assert "open Imaging from there again" in page.text


def test_group_33_signing_out_revokes_and_wipes(world: World, tmp_path: Path) -> None:
    refresh = set(world.ehr.live_refresh_tokens)
    token = world.clinician.post(f"{base_of(world)}/token").get_json()["access_token"]
    world.clinician.post(f"{base_of(world)}/logout")
    after = [
        world.clinician.get(f"{base_of(world)}/{path}").status_code for path in ("studies", f"viewer/{STUDY_A}", "style.css")
    ]

    assert set(world.ehr.revoked) == {token, *refresh}
    assert set(after) == {403}
    assert world.clinician.post(f"{base_of(world)}/token").status_code == 401


def test_group_33_a_refresh_for_another_patient_stops_everything(world: World) -> None:
    world.ehr.refresh_changes = {"patient": "demo-b"}
    world.clock.passes(seconds=290)
    answers = [world.clinician.post(f"{base_of(world)}/token") for _ in range(2)]

    assert {answer.status_code for answer in answers} == {401}
    assert "patient changed" in world.clinician.get(f"{base_of(world)}/studies").text


def test_group_29_the_same_patient_id_at_two_ehrs_is_two_patients(tmp_path: Path) -> None:
    first, second = FakeEhr(fhir=demo_record()), FakeEhr(fhir=demo_record())
    second.fhir["Patient"][0]["name"] = [{"family": "Othersite", "given": ["Olga"]}]
    second.fhir["ImagingStudy"][0]["description"] = "CT at the other site"
    with ExitStack() as stack:
        for ehr in (first, second):
            ehr.base_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        app = make_app(tmp_path, (first.settings(), second.settings(name="second")), Clock())
        stack.callback(app.services.store.close)
        stack.callback(app.services.outbound.close)
        clinician = Clinician(app)
        clinician.launches(first)
        at_first = clinician.session
        clinician.launches(second)
        at_second = clinician.session
        back = clinician.get(f"/s/{at_first}/studies")
        other = clinician.get(f"/s/{at_second}/studies")
        tokens = {one: clinician.post(f"/s/{one}/token").get_json()["access_token"] for one in (at_first, at_second)}

    assert "Alma" in back.text
    assert "Olga" not in back.text
    assert "CT at the other site" not in back.text
    assert "Olga" in other.text
    assert len(set(tokens.values())) == 2
    assert first.token_requests[-1]["code"] != second.token_requests[-1]["code"]


def test_group_29_the_banner_is_the_tokens_patient_whatever_the_record_answers(world: World) -> None:
    world.ehr.fhir["Patient"] = [{"resourceType": "Patient", "id": "demo-b", "name": [{"family": "Wrong", "given": ["Will"]}]}]
    page = world.clinician.get(f"{base_of(world)}/studies")

    assert "WRONG" not in page.text
    assert "Wrong" not in page.text


def test_group_34_nothing_of_a_whole_visit_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every page and every refusal of a visit, with hostile words in what can be sent."""
    forged = "x\r\nWARNING forged line\x1b[31m"
    with a_world(tmp_path) as world, caplog.at_level(logging.DEBUG, logger="imaging_cds"):
        web.install(world.app.flask, [])
        world.ehr.token_changes = {"tenant": "tenant-1", "smart_style_url": f"{world.ehr.base_url}/fhir/Basic/secret-style"}
        world.clinician.launches(world.ehr, launch="the-launch-handle")
        base, session = base_of(world), world.clinician.session
        for path in (
            *("studies", f"viewer/{STUDY_A}", f"studies/{STUDY_A}/panel", "named", "state", "style.css", "studies/stream"),
            *("viewer/2.25.999", "reports/report-a/forms/0", "ohif/app-config.js"),
            "IHEInvokeImageDisplay?requestType=PATIENT&patientID=DEMO-1001^^^https://imaging-cds.example/demo/mrn",
            "IHEInvokeImageDisplay?requestType=PATIENT&patientID=DEMO-77^^^x&patientName=Hidden^Harry",
        ):
            world.clinician.get(f"{base}/{path}")
        token = world.clinician.post(f"{base}/token").get_json()["access_token"]
        ticket = world.clinician.post(f"{base}/window-ticket").get_json()["ticket"]
        world.clinician.post(f"{base}/window/{STUDY_A}", data={"ticket": ticket})
        world.clinician.get("/nowhere", headers={"User-Agent": forged.replace("\r\n", " "), "X-Request-Id": "forged id"})
        world.clinician.get("/open/sandbox/%0d%0aWARNING forged line")
        world.ehr.fhir_answers = [None]
        world.ehr.token_error = ("invalid_grant", 400)
        world.clinician.launches(world.ehr, launch="second-handle")
        refresh = set(world.ehr.live_refresh_tokens)
        world.clinician.post(f"{base}/logout")

    states = [asked["state"] for asked in world.ehr.authorizations]
    verifiers = [asked.get("code_verifier", "-" * 9) for asked in world.ehr.token_requests]
    codes = [asked.get("code", "-" * 9) for asked in world.ehr.token_requests]
    secrets = [token, ticket, session, "the-launch-handle", "second-handle", *refresh, *states, *verifiers, *codes]
    people = ["Alma", "SYNTHETIC", "DEMO-1001", "DEMO-77", "Hidden", "1964-03-02", "secret-style", "Part-solid"]
    records = [record for record in caplog.records if record.name.startswith("imaging_cds")]
    logged = "\n".join(record.getMessage() for record in records)
    assert len(records) > 15
    assert [one for one in (*secrets, *people) if one in logged] == []
    assert "\x1b" not in logged
    assert not any("\n" in record.getMessage() or "\r" in record.getMessage() for record in records), "one line each"
