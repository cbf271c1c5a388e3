"""The imaging server's own client at an EHR (F11; SMART Backend Services): it reads one Patient, and widens nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response, jsonify

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.backend_client import SignAssertion
from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings, Ownership
from imaging_server.settings import PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, asking_token, identifier
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import METADATA, STUDY_A, STUDY_B

KEPT_S = 1.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ClientKeys:
    return ClientKeys.of(tmp_path_factory.mktemp("keys") / "state")


def signer(keys: ClientKeys) -> SignAssertion:
    def sign(ehr: EhrSettings, _metadata: SmartMetadata | None, token_url: str) -> str:
        return keys.assertion("ES384", client_id=ehr.backend_client_id or "", audience=token_url, now=int(time.time()))

    return sign


def a_site() -> dict[str, Any]:
    rule = PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")
    return {
        "server": {"decision_cache_s": KEPT_S, "ehr_timeout_s": 2.0, "patient_identifiers": {"north": rule}},
        "north": {"ownership": Ownership.IDENTIFIER, "backend_client_id": CLIENT},
    }


@pytest.fixture
def world(tmp_path: Path, keys: ClientKeys) -> Iterator[World]:
    """Fresh for each test: the gateway keeps its own token."""
    with a_world(tmp_path / "state", **a_site(), sign=signer(keys)) as made:
        Index(made.pacs).holds(a_study(STUDY_A, "MRN-A"), a_study(STUDY_B, "MRN-B"))
        yield made


@pytest.fixture
def authority(world: World, keys: ClientKeys) -> BackendAuthority:
    return BackendAuthority(world.north, lambda: keys.jwks(int(time.time())))


@pytest.fixture
def record(world: World, authority: BackendAuthority) -> PatientRecord:
    """The caller's token may not read Patient; the imaging server's own may."""
    return PatientRecord(world.north, [identifier("MRN-A")], readers=lambda token: token in authority.issued)


def own_requests(world: World, authority: BackendAuthority) -> list[str]:
    """What the imaging server asked for in its own name."""
    own = {f"Bearer {token}" for token in authority.issued}
    return [f"{one.method} {one.target}" for one in world.north.asked if one.headers.get("Authorization") in own]


def test_number_is_read_in_our_own_name_where_the_callers_token_may_not(
    world: World, authority: BackendAuthority, record: PatientRecord
) -> None:
    token = world.north.token()

    answers = [world.get(f"/studies/{study}/metadata", token).status for study in (STUDY_A, STUDY_B)]

    assert authority.faults == []
    assert answers == [200, 403]
    assert authority.forms[0]["scope"] == "system/Patient.r"
    assert record.reads[:2] == [token, authority.issued[0]]


def test_own_token_is_used_for_that_one_question_and_nothing_else(
    world: World, authority: BackendAuthority, record: PatientRecord
) -> None:
    """F11."""
    token = world.north.token()
    for path in (METADATA, "/studies", f"/studies/{STUDY_B}/metadata", f"/studies/{STUDY_A}/series"):
        world.get(path, token)

    assert set(own_requests(world, authority)) == {"GET /fhir/Patient/pat-a"}
    seen_by_others = str(world.pacs.asked) + str(world.south.asked)
    assert not any(secret in seen_by_others for secret in (*authority.issued, token))
    assert token not in str(authority.forms)


@pytest.mark.parametrize(
    "claims",
    [
        {"patient": None},
        {"scope": "patient/Patient.r"},
        {"scope": "system/ImagingStudy.rs system/Patient.r"},
        {"scope": ""},
        {"exp": 1},
        {"aud": "https://other.example"},
    ],
    ids=str,
)
def test_token_that_opens_nothing_by_itself_is_not_helped(
    world: World, authority: BackendAuthority, record: PatientRecord, claims: dict[str, Any]
) -> None:
    """F8, F9, F11: our own access answers a question about the caller's patient, never in the caller's stead."""
    token = world.north.token(**claims)

    assert world.get(METADATA, token).status in (401, 403)
    assert (authority.forms, record.reads, world.pacs.asked) == ([], [], [])


def test_token_that_the_ehr_refuses_is_not_helped(world: World, authority: BackendAuthority, record: PatientRecord) -> None:
    """A signature says nothing of a revocation; the EHR's 401 does."""
    record.refusal = 401

    answer = world.get(METADATA, world.north.token())

    assert (answer.status, answer.problem) == (401, "token-refused-by-ehr")
    assert (authority.forms, world.pacs.asked) == ([], [])


def test_caller_who_may_read_the_patient_needs_no_help(
    world: World, authority: BackendAuthority, record: PatientRecord
) -> None:
    record.readers = lambda token: True

    assert world.get(METADATA, world.north.token()).status == 200
    assert authority.forms == []


def test_another_patients_record_in_our_own_name_does_not_count(
    world: World, authority: BackendAuthority, record: PatientRecord
) -> None:
    record.changes = {"id": "pat-b"}

    assert world.get(METADATA, world.north.token()).status == 403
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize(("refusal", "expected"), [(403, 403), (404, 403), (401, 503), (500, 503)])
def test_ehr_that_does_not_serve_our_own_client_opens_nothing(
    world: World, authority: BackendAuthority, record: PatientRecord, refusal: int, expected: int
) -> None:
    """401 for our own token is our fault or the EHR's, not the caller's: 503."""
    token = world.north.token()
    world.north.answers["/fhir/Patient/"] = lambda: Response("{}", 403 if asking_token() == token else refusal)

    assert world.get(METADATA, token).status == expected
    assert world.pacs.retrievals() == []


# The token of our own


def test_own_token_is_kept_for_all_callers(world: World, authority: BackendAuthority, record: PatientRecord) -> None:
    assert [world.get(METADATA, world.north.token()).status for _ in range(5)] == [200] * 5
    assert len(authority.issued) == 1


def test_own_token_is_asked_for_once_by_many_at_once(world: World, authority: BackendAuthority, record: PatientRecord) -> None:
    authority.slow_s = 0.3
    tokens = [world.north.token() for _ in range(6)]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda one=one: statuses.append(world.get(METADATA, one).status)) for one in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 6
    assert len(authority.issued) == 1


def test_own_token_is_renewed_before_it_ends_with_a_fresh_assertion(
    world: World, authority: BackendAuthority, record: PatientRecord
) -> None:
    """A life of two seconds is used for one."""
    authority.lifetime = 2
    first = world.get(METADATA, world.north.token()).status
    time.sleep(1.2)
    second = world.get(METADATA, world.north.token()).status

    assert (first, second, authority.faults) == (200, 200, [])
    assert len(set(authority.issued)) == 2
    assert len({form["client_assertion"] for form in authority.forms}) == 2


@pytest.mark.parametrize("lifetime", [None, "300", -1, 0, 10**9, True, [300]], ids=repr)
def test_unstated_or_odd_lifetime_counts_as_the_longest_that_is_recommended(
    world: World, authority: BackendAuthority, record: PatientRecord, lifetime: object
) -> None:
    authority.lifetime = lifetime

    assert [world.get(METADATA, world.north.token()).status for _ in range(2)] == [200] * 2
    assert len(authority.issued) == 1


@pytest.mark.parametrize(
    "instead",
    [
        lambda: Response('{"error": "invalid_client"}', 400, content_type="application/json"),
        lambda: Response("no", 401),
        lambda: Response("oops", 500),
        lambda: Response("", 302, headers={"Location": "/fhir/elsewhere"}),
        lambda: Response("<html>", 200),
        lambda: jsonify(["token"]),
        lambda: jsonify({}),
        lambda: jsonify({"access_token": "x"}),
        lambda: jsonify({"access_token": "x", "token_type": "DPoP"}),
        lambda: jsonify({"access_token": "", "token_type": "bearer"}),
        lambda: jsonify({"access_token": ["x"], "token_type": "bearer"}),
        lambda: jsonify({"access_token": "x\r\nHost: y", "token_type": "bearer"}),
        lambda: Response("[" * 60_000, 200),
        lambda: Response('{"access_token": "' + "x" * 70_000 + '", "token_type": "bearer"}', 200),
    ],
    ids=[
        "refused",
        "401",
        "500",
        "redirect",
        "html",
        "list",
        "empty",
        "no type",
        "DPoP",
        "empty token",
        "token list",
        "header in token",
        "too deep",
        "too large",
    ],
)
def test_sign_in_that_fails_is_an_outage(
    world: World, authority: BackendAuthority, record: PatientRecord, instead: Callable[[], Response]
) -> None:
    authority.instead = instead

    answer = world.get(METADATA, world.north.token())

    assert (answer.status, world.pacs.asked) == (503, [])
    assert world.audit()[0].reason == "authorization-unavailable"
    assert "/fhir/elsewhere" not in world.north.paths()


def test_sign_in_that_hangs_is_an_outage_in_bounded_time(
    world: World, authority: BackendAuthority, record: PatientRecord
) -> None:
    authority.slow_s = 15
    began = time.monotonic()

    assert world.get(METADATA, world.north.token()).status == 503
    assert time.monotonic() - began < 15


def test_sign_in_that_works_again_is_used_at_once(world: World, authority: BackendAuthority, record: PatientRecord) -> None:
    authority.instead = lambda: Response("oops", 500)
    token = world.north.token()
    before = world.get(METADATA, token).status
    authority.instead = None

    assert (before, world.get(METADATA, token).status) == (503, 200)


def test_strict_authority_refuses_a_key_that_was_not_registered(
    world: World, authority: BackendAuthority, record: PatientRecord, tmp_path: Path
) -> None:
    """Were the signature not checked by the fake, the tests above would show nothing."""
    others = ClientKeys.of(tmp_path / "others")  # making them takes longer than the gateway waits for an answer
    authority.published = lambda: others.jwks(int(time.time()))

    assert world.get(METADATA, world.north.token()).status == 503
    assert authority.faults[0].startswith("signature")


@pytest.mark.parametrize("without", ["client", "signer"])
def test_site_without_a_client_of_its_own_asks_nobody(tmp_path: Path, keys: ClientKeys, without: str) -> None:
    site = a_site()
    if without == "client":
        site["north"].pop("backend_client_id")
    with a_world(tmp_path / "state", **site, sign=None if without == "signer" else signer(keys)) as world:
        Index(world.pacs).holds(a_study(STUDY_A, "MRN-A"))
        authority = BackendAuthority(world.north, lambda: keys.jwks(int(time.time())))
        PatientRecord(world.north, [identifier("MRN-A")], readers=lambda token: False)

        assert world.get(METADATA, world.north.token()).status == 403
        assert authority.forms == []
