"""Many charts, windows, reloads and worker processes: no launch is taken for another (complaints of smart-launch.md §7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import (
    APP,
    STUDY_A,
    STUDY_B,
    Clinician,
    FakeEhr,
    SmartApp,
    World,
    a_world,
    demo_record,
    imaging_study,
    make_app,
    patient_a,
    wado_endpoint,
)

COOKIE = "imaging_cds_window"
BRUNO = {"resourceType": "Patient", "id": "demo-b", "name": [{"family": "Synthetic", "given": ["Bruno"]}]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    record = demo_record()
    record["Patient"] = [patient_a(), BRUNO]
    with a_world(tmp_path, ehr=FakeEhr(fhir=record)) as made:
        yield made


def session_of(answer: TestResponse) -> str:
    return answer.headers["Location"].partition("/s/")[2].partition("/")[0]


def lists(world: World, patient: str) -> None:
    """The EHR's imaging server has this patient's study only."""
    uid, name = (STUDY_A, "CT chest") if patient == "demo-a" else (STUDY_B, "CT abdomen")
    world.ehr.fhir["ImagingStudy"] = [imaging_study(uid, patient=patient, study_id=f"study-{patient}", description=name)]
    world.ehr.fhir["Endpoint"] = [wado_endpoint()]


def test_app_a10_launches_that_overlap_in_one_browser_keep_their_patients(world: World) -> None:
    """Two tabs sign in at once and come back in the other order."""
    first, second = world.clinician.callback_of(world.ehr), world.clinician.callback_of(world.ehr)
    world.ehr.token_changes = {"patient": "demo-b"}
    bruno = session_of(world.clinician.get(second))
    world.ehr.token_changes = {"patient": "demo-a"}
    alma = session_of(world.clinician.get(first))

    lists(world, "demo-a")
    page_of_alma = world.clinician.get(f"/s/{alma}/studies").text
    lists(world, "demo-b")
    page_of_bruno = world.clinician.get(f"/s/{bruno}/studies").text

    assert alma != bruno
    assert "SYNTHETIC, Alma" in page_of_alma
    assert "Bruno" not in page_of_alma
    assert "SYNTHETIC, Bruno" in page_of_bruno
    assert "Alma" not in page_of_bruno


def test_app_a40_the_study_of_one_tab_does_not_open_in_the_session_of_another(world: World) -> None:
    world.clinician.launches(world.ehr)
    alma = world.clinician.session
    world.ehr.token_changes = {"patient": "demo-b"}
    lists(world, "demo-b")
    world.clinician.launches(world.ehr)
    bruno = world.clinician.session

    in_brunos = world.clinician.get(f"/s/{bruno}/viewer/{STUDY_B}")
    in_almas = world.clinician.get(f"/s/{alma}/viewer/{STUDY_B}")

    assert in_brunos.status_code == 200
    assert in_almas.status_code == 403
    assert "not among this patient" in in_almas.text


def test_ten_charts_in_ten_tabs_have_ten_sessions_and_tokens(world: World) -> None:
    tokens, sessions = set(), set()
    for _ in range(10):
        world.clinician.launches(world.ehr)
        sessions.add(world.clinician.session)
    for session in sessions:
        answer = world.clinician.post(f"/s/{session}/token")
        assert answer.json is not None
        tokens.add(answer.json["access_token"])

    assert len(sessions) == len(tokens) == 10


def test_the_end_of_one_session_leaves_the_others(world: World) -> None:
    world.clinician.launches(world.ehr)
    first = world.clinician.session
    world.clinician.launches(world.ehr)
    second = world.clinician.session
    world.clinician.post(f"/s/{first}/logout")

    assert world.clinician.get(f"/s/{first}/studies").status_code == 403
    assert world.clinician.get(f"/s/{second}/studies").status_code == 200


def test_app_a21_a_second_code_under_a_used_state_is_not_spent(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    session = session_of(world.clinician.get(callback))
    query = dict(parse_qsl(urlsplit(callback).query))
    forged = world.clinician.get(f"/callback?{urlencode({**query, 'code': 'another-code'})}")
    denied = world.clinician.get(f"/callback?{urlencode({'state': query['state'], 'error': 'access_denied'})}")

    assert session_of(forged) == session_of(denied) == session
    assert len(world.ehr.token_requests) == 1


@pytest.mark.parametrize("page", ["studies", f"viewer/{STUDY_A}"])
def test_reloading_a_page_of_the_session_asks_for_no_new_launch(world: World, page: str) -> None:
    world.clinician.launches(world.ehr)
    answers = [world.clinician.get(f"/s/{world.clinician.session}/{page}").status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    assert len(world.ehr.authorizations) == 1


def test_complaint_1_the_lost_cookie_is_seen_before_the_handle_is_spent_and_a_new_window_goes_on(world: World) -> None:
    framed = Clinician(world.app, keeps_cookies=False)
    offer = framed.launches(world.ehr, launch="handle-9")
    address = next(part for part in offer.text.split('"') if part.startswith("/launch?")).replace("&amp;", "&")
    opened = world.clinician.opens(address)

    assert offer.status_code == 403
    assert opened.status_code == 200
    assert [asked["launch"] for asked in world.ehr.authorizations] == ["handle-9"]


def test_complaint_3_nothing_of_the_launch_is_kept_in_the_browser_but_its_name(world: World) -> None:
    world.clinician.launches(world.ehr)
    cookies = [world.clinician.client.get_cookie(COOKIE, domain="localhost")]

    assert all(one is not None and len(one.value) == 43 for one in cookies)
    # The same cookie serves every launch: where zones or frames drop it, only the next launch must be begun anew.
    before = cookies[0]
    world.clinician.launches(world.ehr)
    after = world.clinician.client.get_cookie(COOKIE, domain="localhost")
    assert before is not None
    assert after is not None
    assert before.value == after.value


@pytest.mark.parametrize(
    "path", ["/launch?iss=x", "/launch/go", "/callback", "/callback?state=x", "/s/none/studies", "/open/none/1.2.3", "/nowhere"]
)
def test_complaint_4_every_dead_end_says_something(world: World, path: str) -> None:
    answer = world.clinician.get(path)

    assert answer.status_code >= 400
    assert len(answer.text.strip()) > 40


def test_complaint_8_a_bare_start_shows_what_the_app_is_and_how_to_launch_it(world: World) -> None:
    page = world.clinician.opens("/launch")

    assert page.status_code == 200
    assert f"{APP}/launch" in page.text
    assert "/launch/standalone" in page.text


def test_complaint_12_each_ehr_is_framed_by_its_own_chart_only(tmp_path: Path) -> None:
    with a_world(tmp_path, frame_ancestors=("https://chart.one.example",)) as world:
        other = replace(
            world.app.services.ehrs[0],
            name="other",
            fhir_base="https://two.example/fhir",
            frame_ancestors=("https://chart.two.example",),
        )
        object.__setattr__(world.app.services, "ehrs", (*world.app.services.ehrs, other))
        page = world.clinician.launches(world.ehr)

    policy = page.headers["Content-Security-Policy"]
    assert "https://chart.one.example" in policy
    assert "https://chart.two.example" not in policy
    assert "X-Frame-Options" not in page.headers


def test_rfc9207_app_a10_an_answer_of_one_ehr_does_not_finish_the_launch_of_another(tmp_path: Path) -> None:
    """Mix-up: the code of the attacker's EHR never reaches the honest one's session, nor the other way round."""
    with a_world(tmp_path) as world:
        other = FakeEhr(fhir=demo_record())
        with serving(other.app(), free_port_number()) as other.base_url:
            trusted = other.settings(name="other")
            services = world.app.services
            object.__setattr__(services, "ehrs", (*services.ehrs, trusted))
            object.__setattr__(services.outbound, "allowed_origins", services.outbound.allowed_origins | {other.base_url})
            honest, mixed = world.clinician.callback_of(world.ehr), world.clinician.callback_of(other)
            crossed = {**dict(parse_qsl(urlsplit(honest).query)), "code": dict(parse_qsl(urlsplit(mixed).query))["code"]}
            with_iss = world.clinician.get(f"/callback?{urlencode({**crossed, 'iss': f'{other.base_url}/auth'})}")

    assert with_iss.status_code == 403
    assert "another EHR" in with_iss.text
    assert world.ehr.token_requests == []
    assert other.token_requests == []


def test_app_a38_two_worker_processes_refresh_once_and_agree(world: World, tmp_path: Path) -> None:
    """Each has a store of its own on the shared state; only the database stands between them."""
    world.clinician.launches(world.ehr)
    cookie = world.clinician.client.get_cookie(COOKIE, domain="localhost")
    assert cookie is not None
    other = make_app(tmp_path, (world.ehr.settings(),), world.clock)
    world.ehr.refresh_delay_s = 0.3
    world.clock.passes(seconds=301)
    answers: list[TestResponse] = []

    def ask(app: SmartApp) -> None:
        with app.flask.test_client(use_cookies=False) as client:
            headers = {"Sec-Fetch-Site": "same-origin", "Cookie": f"{COOKIE}={cookie.value}"}
            answers.append(client.post(f"/s/{world.clinician.session}/token", base_url=APP, headers=headers))

    threads = [threading.Thread(target=ask, args=(app,)) for app in (world.app, other) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.services.store.close()
    other.services.outbound.close()

    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.json["access_token"] for answer in answers if answer.json}) == 1
    assert len([asked for asked in world.ehr.token_requests if asked["grant_type"] == "refresh_token"]) == 1


@pytest.mark.parametrize(
    ("where", "refuses", "begins"),
    [("iframe", True, False), ("document", True, True), ("iframe", False, True), (None, True, True)],
)
def test_complaint_7_a_sign_in_that_forbids_framing_is_offered_a_window_before_the_handle_is_spent(
    tmp_path: Path, where: str | None, refuses: bool, begins: bool
) -> None:
    with a_world(tmp_path, sign_in_refuses_frames=refuses) as world:
        headers = {"Sec-Fetch-Dest": where} if where else {}
        query = urlencode({"iss": world.ehr.fhir_base, "launch": "handle-7"})
        world.clinician.get(f"/launch?{query}", headers=headers)
        answer = world.clinician.get(f"/launch/go?{query}", headers=headers)

    assert (answer.status_code == 303) is begins
    if not begins:
        assert answer.status_code == 403
        assert "cannot be shown inside this frame" in answer.text
        assert "Open in new window" in answer.text
        assert "launch=handle-7" in answer.text


def test_app_a20_refused_scopes_are_listed_for_the_analyst(world: World) -> None:
    world.ehr.redirect_changes = {"code": "", "error": "invalid_scope"}
    page = world.clinician.launches(world.ehr)

    assert "patient/ImagingStudy.rs" in page.text
    assert "<dt>scopes asked for</dt>" in page.text
