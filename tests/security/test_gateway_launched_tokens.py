"""Opaque tokens that only our own launch can explain (DESIGN §8, third way; SMART Imaging Access A2, F5, groups 1 to 8)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Response, jsonify
from sqlalchemy import text

from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import METADATA, SCOPES, STUDY_B

TOKEN = "opaque-7f9c1e0b4a"
KEPT_S = 2.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    third_way = {"opaque_tokens": True, "jwks_url": None}
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": KEPT_S}, north=third_way) as world:
        yield world


def launched(world: World, **changes: Any) -> LaunchedToken:
    """What a launch of patient A noted."""
    noted = LaunchedToken(
        ehr="north",
        issuer=world.north.fhir_base,
        patient_id="pat-a",
        scopes=SCOPES,
        user=f"{world.north.fhir_base}/Practitioner/p1",
        client_id="imaging-cds",
        expires_at=int(time.time()) + 300,
    )
    return replace(noted, **changes)


def note(world: World, token: str = TOKEN, **changes: Any) -> str:
    LaunchedTokens(world.store).note(token, launched(world, **changes))
    return token


def fresh_token() -> str:
    """One that no earlier test has had judged."""
    return f"{TOKEN}-{time.perf_counter_ns()}"


def patients_read(world: World) -> int:
    return sum(path.startswith("/fhir/Patient/") for path in world.north.paths())


def test_token_of_our_own_launch_opens_its_patients_study(world: World) -> None:
    token = note(world, fresh_token())

    answer = world.get(METADATA, token)

    read = next(one for one in world.north.asked if one.path == "/fhir/Patient/pat-a")
    record = world.audit()[0]
    assert answer.status == 200
    assert read.headers["Authorization"] == f"Bearer {token}"
    assert world.north.paths().count("/auth/introspect") == world.north.paths().count("/auth/jwks") == 0
    assert (record.patient_id, record.user, record.client_id) == ("pat-a", "Practitioner/p1", "imaging-cds")
    assert (record.token_reference or "").startswith("digest:")
    assert token not in str(record)


def test_token_of_our_own_launch_opens_nothing_of_another_patient(world: World) -> None:
    answer = world.get(f"/studies/{STUDY_B}/metadata", note(world, fresh_token()))

    assert (answer.status, answer.problem) == (403, "study-not-of-patient")
    assert world.pacs.asked == []


def test_token_that_no_launch_brought_is_refused_and_goes_nowhere(world: World) -> None:
    assert world.is_refused(world.get(METADATA, fresh_token()))
    assert world.north.asked == []


def test_signed_token_of_that_ehr_is_no_launched_one(world: World) -> None:
    """Only what was noted counts: a good signature is nothing there."""
    assert world.is_refused(world.get(METADATA, world.north.token()))


def test_token_noted_for_another_ehr_is_refused(world: World) -> None:
    token = note(world, fresh_token(), ehr="south", issuer=world.south.fhir_base)

    assert world.is_refused(world.get(METADATA, token))
    assert world.north.asked == world.south.asked == []


def test_token_noted_under_an_issuer_that_is_not_this_ehr_any_more_is_refused(world: World) -> None:
    """The site may have changed its configuration since the launch; the token must not go to the new address."""
    token = note(world, fresh_token(), issuer=world.south.fhir_base)

    assert world.is_refused(world.get(METADATA, token))
    assert world.north.asked == world.south.asked == []


@pytest.mark.parametrize("other", [lambda token: token[:-1], lambda token: token + "A", lambda token: token.upper()])
def test_record_belongs_to_the_whole_token(world: World, other: Any) -> None:
    token = note(world, fresh_token())

    assert world.is_refused(world.get(METADATA, other(token)))


def test_ended_record_is_refused(world: World) -> None:
    assert world.is_refused(world.get(METADATA, note(world, fresh_token(), expires_at=int(time.time()) - 1)))
    assert world.north.asked == []


def test_kept_yes_does_not_outlive_the_record(world: World) -> None:
    """min(exp, N s)."""
    token = note(world, fresh_token(), expires_at=int(time.time()) + 2)
    before = world.get(METADATA, token).status
    time.sleep(2.1)

    assert (before, world.get(METADATA, token).status) == (200, 401)


def test_forgotten_token_is_refused_within_the_bound(world: World) -> None:
    """Sign-out."""
    token = note(world, fresh_token())
    before = world.get(METADATA, token).status
    LaunchedTokens(world.store).forget(token, ehr="north")
    time.sleep(KEPT_S + 0.1)

    assert (before, world.get(METADATA, token).status) == (200, 401)


@pytest.mark.parametrize("status", [401, 403])
def test_revoked_token_is_noticed_within_the_bound(world: World, status: int) -> None:
    token = note(world, fresh_token())
    before = world.get(METADATA, token).status
    world.north.answers["/fhir/Patient/"] = lambda: Response("{}", status)
    time.sleep(KEPT_S + 0.1)

    assert (before, world.get(METADATA, token).status) == (200, 401)
    assert world.audit()[0].reason == "token-invalid"


@pytest.mark.parametrize(
    "instead",
    [
        lambda: jsonify({"resourceType": "Patient", "id": "pat-b"}),
        lambda: jsonify({"resourceType": "Patient"}),
        lambda: jsonify({"resourceType": "OperationOutcome", "id": "pat-a"}),
        lambda: jsonify({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "pat-a"}}]}),
        lambda: Response("{}", 404),
        lambda: Response("{}", 410),
    ],
    ids=["another patient", "no id", "outcome", "bundle", "unknown", "gone"],
)
def test_answer_that_is_not_that_patient_proves_nothing(world: World, instead: Any) -> None:
    world.north.answers["/fhir/Patient/"] = instead

    assert world.is_refused(world.get(METADATA, note(world, fresh_token())))


@pytest.mark.parametrize(
    "instead",
    [
        lambda: Response("oops", 500),
        lambda: Response("busy", 503, headers={"Retry-After": "7"}),
        lambda: Response("busy", 429),
        lambda: Response("{}", 400),
        lambda: Response("", 302, headers={"Location": "/fhir/Patient/pat-a?again"}),
        lambda: Response("<html>", 200),
        lambda: jsonify(["Patient"]),
    ],
    ids=["500", "503", "429", "400", "redirect", "html", "list"],
)
def test_ehr_that_cannot_be_asked_fails_closed(world: World, instead: Any) -> None:
    world.north.answers["/fhir/Patient/"] = instead

    answer = world.get(METADATA, note(world, fresh_token()))

    assert (answer.status, world.pacs.asked) == (503, [])
    assert int(answer.headers["Retry-After"]) > 0
    assert world.audit()[0].reason == "authorization-unavailable"
    assert not any("again" in one.target for one in world.north.asked)


def test_database_that_cannot_be_asked_fails_closed(world: World) -> None:
    token = note(world, fresh_token())
    with world.store.write() as connection:
        connection.execute(text("ALTER TABLE sealed_record RENAME TO moved_away"))
    during = world.get(METADATA, token)
    with world.store.write() as connection:
        connection.execute(text("ALTER TABLE moved_away RENAME TO sealed_record"))

    assert (during.status, world.north.asked, world.pacs.asked) == (503, [], [])
    assert world.audit()[0].reason == "authorization-unavailable"
    assert world.get(METADATA, token).status == 200


def test_outage_is_over_as_soon_as_the_ehr_answers_again(world: World) -> None:
    token = note(world, fresh_token())
    world.north.answers["/fhir/Patient/"] = lambda: Response("oops", 500)
    before = world.get(METADATA, token).status
    world.north.answers.clear()

    assert (before, world.get(METADATA, token).status) == (503, 200)


@pytest.mark.parametrize("patient", ["", "Patient/pat-a", "pat-a,pat-b", "../pat-a", "pat-a?x", "*", "pat-a\n"])
def test_noted_patient_in_another_shape_is_not_guessed_at(world: World, patient: str) -> None:
    assert world.is_refused(world.get(METADATA, note(world, fresh_token(), patient_id=patient)))
    assert world.north.asked == []


def test_noted_scopes_decide(world: World) -> None:
    few, none = (note(world, fresh_token(), scopes=scopes) for scopes in ("openid patient/Patient.r", ""))

    answers: list[Answer] = [world.get(METADATA, few), world.get(METADATA, none)]

    assert [(one.status, one.problem) for one in answers] == [(403, "insufficient-scope")] * 2
    assert world.pacs.asked == []


def test_token_is_proved_alive_once_for_many_requests_at_once(world: World) -> None:
    """Single flight (group 23)."""
    token, statuses = note(world, fresh_token()), []
    threads = [threading.Thread(target=lambda: statuses.append(world.get(METADATA, token).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 8
    assert patients_read(world) == 1
