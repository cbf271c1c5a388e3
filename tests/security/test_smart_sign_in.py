"""The sign-in under attack: mix-up, replay, downgrade, open redirects, injected markup, framing (groups 26, 27 and 28)."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode, urlsplit

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
    query_of,
    wado_endpoint,
)

EVIL = "https://evil.example/"
MARKUP = (
    '"><script>alert(1)</script>',
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "\u2028alert(1)//",
    "<!--<script>",
)


class Markup(HTMLParser):
    """Whatever in a page would run or load something that we did not put there."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.faults.append("a script of its own")
        if tag == "img":
            self.faults.append("a picture")
        self.faults += [f"{name} on {tag}" for name in given if name.startswith("on")]
        addresses = [given.get(name) or "" for name in ("href", "src", "action", "formaction")]
        self.faults += [address for address in addresses if address.strip().lower().startswith(("javascript:", "data:text"))]


def faults_in(page: str) -> list[str]:
    """The faults of a page."""
    return Markup(page).faults


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        web.install(made.app.flask, [])
        yield made


def changed(callback: str, **parameters: str | None) -> str:
    """A callback with some parameters replaced, or (None) left out."""
    query = {**query_of(callback), **parameters}
    return f"/callback?{urlencode({name: value for name, value in query.items() if value is not None})}"


@pytest.mark.parametrize(
    "state",
    [None, "", "x", "../session", "' OR 1=1 --", "A" * 10_000, "a\x00b", "\u202e", "%00"],
    ids=lambda one: repr(one)[:20],
)
def test_group_26_a_state_that_is_missing_or_made_up_spends_no_code(world: World, state: str | None) -> None:
    page = world.clinician.get(changed(world.clinician.callback_of(world.ehr), state=state))

    assert page.status_code == 400
    assert world.ehr.token_requests == []


def test_group_26_of_two_states_or_codes_none_is_mixed_with_the_other(world: World) -> None:
    first, second = world.clinician.callback_of(world.ehr), world.clinician.callback_of(world.ehr)
    mixed = changed(first, code=query_of(second)["code"])
    page = world.clinician.get(mixed)

    assert page.status_code == 403, "PKCE: the code of another launch does not fit this one's verifier"
    assert "has run out" in page.text
    doubled = world.clinician.get(f"{second}&{urlencode(query_of(first))}")
    assert doubled.status_code == 400, "what is said twice is not believed at all"


@pytest.mark.parametrize(("named", "path"), [("authorization_endpoint", "authorize"), ("token_endpoint", "token")])
def test_group_26_one_ehr_has_no_say_where_anothers_users_sign_in(tmp_path: Path, named: str, path: str) -> None:
    """RFC 9700 §4.4: the code that a clinician gets at one EHR would be handed, with its verifier, to the other."""
    honest, cunning = FakeEhr(fhir=demo_record()), FakeEhr(fhir=demo_record())
    with ExitStack() as stack:
        for one in (honest, cunning):
            one.base_url = stack.enter_context(serving(one.app(), free_port_number()))
        app = make_app(tmp_path, (honest.settings(), cunning.settings(name="cunning")), Clock())
        stack.callback(app.services.store.close)
        stack.callback(app.services.outbound.close)
        clinician = Clinician(app)
        cunning.smart_configuration = {named: f"{honest.base_url}/auth/{path}"}

        page = clinician.launches(cunning)

        assert page.status_code == 502
        assert honest.base_url in page.text, "the page names the server that nobody configured for this EHR"
        assert (honest.authorizations, honest.token_requests, cunning.token_requests) == ([], [], [])
        assert clinician.launches(honest).status_code == 200


def test_group_26_a_used_callback_leads_nobody_else_anywhere(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    world.clinician.get(callback)
    thief = world.another_clinician()
    thief.get(f"/launch?iss={world.ehr.fhir_base}&launch=own")

    assert thief.get(callback).status_code == 403
    assert len(world.ehr.token_requests) == 1


def test_group_26_pkce_is_not_given_up_for_an_ehr_that_does_not_speak_of_it(world: World) -> None:
    for methods in (["plain"], [], None, "S256"):
        world.ehr.smart_configuration = {"code_challenge_methods_supported": methods}
        world.app.services.metadata.forget()
        world.clinician.launches(world.ehr)
        asked, sent = world.ehr.authorizations[-1], world.ehr.token_requests[-1]
        digest = urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest()).rstrip(b"=").decode()

        assert asked["code_challenge_method"] == "S256"
        assert asked["code_challenge"] == digest
        assert len(sent["code_verifier"]) >= 43


def test_group_26_every_launch_has_a_state_a_challenge_and_a_session_of_its_own(world: World) -> None:
    sessions = set()
    for _ in range(5):
        world.clinician.launches(world.ehr)
        sessions.add(world.clinician.session)

    for name in ("state", "code_challenge", "nonce"):
        values = {asked[name] for asked in world.ehr.authorizations}
        assert len(values) == 5
        assert all(len(value) >= 32 for value in values)
    assert len(sessions) == 5


def test_group_26_a_code_is_in_no_page_no_referrer_and_no_cache(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    answer = world.clinician.get(callback)

    assert query_of(callback)["code"] not in answer.headers["Location"] + answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["redirect", "redirect_uri", "next", "return_to", "url", "target", "continue", "RelayState"])
def test_group_27_no_parameter_leads_a_browser_elsewhere(world: World, name: str) -> None:
    base = world.ehr.fhir_base
    callback = world.clinician.callback_of(world.ehr)
    world.clinician.launches(world.ehr)
    session = f"/s/{world.clinician.session}"
    evil = urlencode({name: EVIL})
    for path in (
        f"/?{evil}",
        f"/launch?{urlencode({'iss': base, 'launch': 'x'})}&{evil}",
        f"/launch/standalone?{urlencode({'iss': base})}&{evil}",
        f"{callback}&{evil}",
        f"{session}/studies?{evil}",
        f"{session}/named?{evil}",
        f"{session}/viewer/{STUDY_A}?{evil}",
        f"{session}/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}&{evil}",
        f"/IHEInvokeImageDisplay?requestType=PATIENT&patientID=x&{evil}",
        f"/open/sandbox/{STUDY_A}?{evil}",
    ):
        answer = world.clinician.get(path)
        location = urlsplit(answer.headers.get("Location", ""))

        assert location.netloc in ("", urlsplit(APP).netloc, urlsplit(base).netloc), path
        assert f'href="{EVIL}' not in answer.text


@pytest.mark.parametrize(
    "path", ["//evil.example/launch", "/\\evil.example", "//evil.example/%2e%2e", "/s//evil.example/studies"]
)
def test_group_27_an_odd_path_is_no_redirect_to_a_stranger(world: World, path: str) -> None:
    answer = world.clinician.get(path)

    assert not answer.headers.get("Location", "").startswith(("//", "/\\", "http://evil", "https://evil"))


@pytest.mark.parametrize("words", MARKUP)
def test_group_27_nothing_that_an_address_says_becomes_markup(world: World, words: str) -> None:
    base, said = world.ehr.fhir_base, urlencode({"x": words})[2:]
    world.clinician.launches(world.ehr)
    session = f"/s/{world.clinician.session}"
    world.ehr.redirect_changes = {"code": "", "error": words, "error_description": words, "error_uri": words}
    pages = [
        world.clinician.launches(world.ehr),
        *map(
            world.clinician.get,
            (
                f"/launch?iss={said}&launch={said}",
                f"/launch/go?{urlencode({'iss': base, 'launch': words})}",
                f"/launch/standalone?iss={base}&study={said}",
                f"/callback?state={said}&error={said}&error_description={said}",
                f"/open/sandbox/{said}",
                f"/open/{said}/{STUDY_A}",
                f"/s/{said}/studies",
                f"{session}/viewer/{said}",
                f"{session}/viewer/{STUDY_A}?series={said}&instance={said}&with={said}",
                f"{session}/studies?opened={said}&by={said}",
                f"{session}/IHEInvokeImageDisplay?requestType={said}",
                f"{session}/IHEInvokeImageDisplay?requestType=PATIENT&patientID={said}",
                f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}&viewerType={said}",
                f"/{said}",
            ),
        ),
        Clinician(world.app, keeps_cookies=False).get(f"/launch/go?{urlencode({'iss': base, 'launch': words})}"),
    ]
    for page in pages:
        assert faults_in(page.text) == [], page.request.path
        assert ">49<" not in page.text, "no template is filled with it"


@pytest.mark.parametrize("words", MARKUP)
def test_group_27_nothing_that_a_record_says_becomes_markup(world: World, words: str) -> None:
    study = world.ehr.fhir["ImagingStudy"][0]
    accession = {"type": {"coding": [{"code": "ACSN"}]}, "value": words}
    study |= {
        "description": words,
        "reasonCode": [{"text": words}],
        "note": [{"text": words}],
        "procedureCode": [{"text": words}],
    }
    study["identifier"].append(accession)
    study["series"] = [{"uid": words, "modality": {"code": words}, "bodySite": {"display": words}, "description": words}]
    report = world.ehr.fhir["DiagnosticReport"][0]
    report |= {"conclusion": words, "code": {"text": words}, "id": "report-a", "performer": [{"display": words}]}
    report["text"] = {"status": "generated", "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{words}</div>"}
    report["presentedForm"] = [{"contentType": words, "title": words, "url": words}]
    world.ehr.fhir["Patient"][0] |= {"name": [{"family": words, "given": [words]}], "birthDate": words, "gender": words}
    world.ehr.fhir["Patient"][0]["identifier"][0]["value"] = words
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{APP}/imaging/{words}")]
    listed = world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    pages = [world.clinician.get(f"{base}/{path}") for path in (f"viewer/{STUDY_A}", f"studies/{STUDY_A}/panel")]
    config = world.clinician.get(f"{base}/ohif/app-config.js")

    for page in (listed, *pages):
        assert page.status_code in (200, 409), page.text
        assert faults_in(page.text) == []
    assert listed.status_code == 200
    assert config.status_code == 200 or faults_in(config.text) == []
    if config.status_code == 200:
        assert "</script" not in config.text.lower()
        assert "\u2028" not in config.text


def test_group_27_an_error_text_is_bounded_and_shown_as_text(world: World) -> None:
    said = "<b>" + "very long " * 400
    world.ehr.redirect_changes = {"code": "", "error": "x" * 3000, "error_description": said}
    page = world.clinician.launches(world.ehr)

    assert escape(said[:40]) in page.text
    assert len(page.text) < 6000


def test_group_28_a_page_is_framed_by_its_own_ehr_only(tmp_path: Path) -> None:
    first, second, clock = FakeEhr(fhir=demo_record()), FakeEhr(fhir=demo_record()), Clock()
    with ExitStack() as stack:
        for ehr in (first, second):
            ehr.base_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        known = (
            first.settings(frame_ancestors=("https://first.example",)),
            second.settings(name="second", frame_ancestors=("https://second.example",)),
        )
        app = make_app(tmp_path, known, clock)
        stack.callback(app.services.store.close)
        stack.callback(app.services.outbound.close)
        clinician = Clinician(app)
        pages = {}
        for name, ehr in (("first", first), ("second", second)):
            listed = clinician.launches(ehr)
            viewer = clinician.get(f"/s/{clinician.session}/viewer/{STUDY_A}")
            pages[name] = [listed, viewer]

    for name, other in (("first", "second"), ("second", "first")):
        for page in pages[name]:
            policy = page.headers["Content-Security-Policy"]
            assert f"frame-ancestors 'self' https://{name}.example" in policy
            assert f"https://{other}.example" not in policy
            assert "X-Frame-Options" not in page.headers


def test_group_28_an_ehr_without_frames_may_not_frame_anything(world: World) -> None:
    world.clinician.launches(world.ehr)
    for path in ("studies", f"viewer/{STUDY_A}"):
        page = world.clinician.get(f"/s/{world.clinician.session}/{path}")

        assert re.search(r"frame-ancestors 'self'(;|$)", page.headers["Content-Security-Policy"])
