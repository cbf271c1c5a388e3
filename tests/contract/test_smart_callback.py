"""What reaches the callback besides a plain answer: doubled parameters, prefetches, a busy token endpoint (APP-A20, A21)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from tests.contract.smart_actors import FakeEhr, World, a_world, demo_record


@dataclass
class BusyEhr(FakeEhr):
    """An EHR whose token endpoint gives these answers first."""

    busy: list[Response] = field(default_factory=list)

    def _token(self) -> Any:
        return self.busy.pop(0) if self.busy else super()._token()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, ehr=BusyEhr(fhir=demo_record())) as made:
        object.__setattr__(made.app.services, "sleep", lambda _seconds: None)
        yield made


def is_busy(world: World, status: int, **headers: str) -> None:
    assert isinstance(world.ehr, BusyEhr)
    world.ehr.busy.append(Response("busy", status, headers={name.replace("_", "-"): value for name, value in headers.items()}))


@pytest.mark.parametrize("name", ["state", "code", "iss"])
def test_app_a21_a_parameter_that_comes_twice_is_not_believed(world: World, name: str) -> None:
    callback = world.clinician.callback_of(world.ehr)
    answer = world.clinician.get(f"{callback}&{name}=x&{name}=y")

    if name == "iss":
        # Twice said is not said; the launch itself is still good.
        assert answer.status_code == 303
    else:
        assert answer.status_code >= 400
        assert world.ehr.token_requests == []


@pytest.mark.parametrize(
    "header", [{"Sec-Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}]
)
def test_app_a21_what_a_browser_fetches_ahead_spends_neither_handle_nor_code(world: World, header: dict[str, str]) -> None:
    launch = f"?iss={world.ehr.fhir_base}&launch=handle-1"
    world.clinician.get(f"/launch{launch}")
    ahead = world.clinician.get(f"/launch/go{launch}", headers=header)
    callback = world.clinician.callback_of(world.ehr)
    callback_ahead = world.clinician.get(callback, headers=header)

    assert [ahead.status_code, callback_ahead.status_code] == [503, 503]
    assert ahead.headers["Cache-Control"] == "no-store"
    assert world.ehr.token_requests == []
    assert world.clinician.get(callback).status_code == 303


@pytest.mark.parametrize(("status", "headers"), [(503, {"Retry_After": "2"}), (429, {"Retry_After": "1"}), (503, {})])
def test_app_a21_a_busy_token_endpoint_is_asked_once_more(world: World, status: int, headers: dict[str, str]) -> None:
    is_busy(world, status, **headers)

    assert world.clinician.launches(world.ehr).status_code == 200
    assert len(world.ehr.token_requests) == 1


@pytest.mark.parametrize(("status", "headers"), [(503, {"Retry_After": "120"}), (500, {}), (429, {"Retry_After": "90"})])
def test_app_a20_one_that_stays_away_is_explained_and_not_pressed(world: World, status: int, headers: dict[str, str]) -> None:
    is_busy(world, status, **headers)
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 503
    assert "does not answer" in page.text
    assert world.ehr.token_requests == []


def test_app_a20_busy_twice_is_explained(world: World) -> None:
    is_busy(world, 503)
    is_busy(world, 503)

    assert world.clinician.launches(world.ehr).status_code == 503


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("interaction_required", "could not sign you in"),
        ("account_selection_required", "could not sign you in"),
        ("consent_required", "declined"),
        ("server_error", "does not answer"),
        ("invalid_request", "refused what this application asked for"),
    ],
)
def test_app_a20_errors_of_openid_connect_have_pages_too(world: World, error: str, words: str) -> None:
    world.ehr.redirect_changes = {"code": "", "error": error}

    assert words in world.clinician.launches(world.ehr).text


@pytest.mark.parametrize(
    ("uri", "offered"),
    [
        ("http://[x", False),
        ("https://ehr.example:99999/why", False),
        ("javascript:alert(1)", False),
        ("https:///why", False),
        ("https://ehr.example/why?code=7", True),
    ],
)
def test_app_a20_an_error_address_is_offered_only_as_a_web_address_and_none_holds_the_page_up(
    world: World, uri: str, offered: bool
) -> None:
    world.ehr.redirect_changes = {"code": "", "error": "access_denied", "error_uri": uri}
    callback = world.clinician.callback_of(world.ehr)
    first, again = world.clinician.get(callback), world.clinician.get(callback)

    assert [first.status_code, again.status_code] == [403, 403]
    assert "declined" in first.text
    assert (f'href="{uri}"' in first.text) is offered


@pytest.mark.parametrize(("answered", "status"), [("", 403), ("own", 200)])
def test_rfc9207_an_ehr_that_always_names_itself_must_do_so(world: World, answered: str, status: int) -> None:
    world.ehr.smart_configuration = {"authorization_response_iss_parameter_supported": True}
    if answered:
        world.ehr.redirect_changes = {"iss": f"{world.ehr.base_url}/auth"}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == status
    assert bool(world.ehr.token_requests) is (status == 200)
