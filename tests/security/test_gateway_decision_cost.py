"""What a series costs the others (M15, group 23; issue 5 "Speed"): one decision for a token and a study, whatever the frames.

One worker, 500 frames, sixteen requests at a time: the authorization server, FHIR and each page of an archive's index are asked
at most once, by every means of checking a token and by both ways of learning whose study it is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.settings import EhrSettings, Ownership
from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from imaging_server.settings import PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import SCOPES, STUDY_A, dicom_json, series_of

FRAMES = 500
AT_ONCE = 16
SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
INTROSPECTED = {"jwks_url": None, "introspection_client_id": "gateway", "introspection_client_secret": "introspection-secret"}
COMPARED = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}}
BY_NUMBER = {"ownership": Ownership.IDENTIFIER}


def instance(number: int) -> str:
    return f"{series_of(STUDY_A)}.{number}"


def open_series(world: World, token: str) -> Counter[str]:
    """All frames of the series, and how often each question was asked meanwhile of anybody."""
    world.north.asked.clear()
    world.pacs.asked.clear()
    paths = [f"{SERIES}/instances/{instance(number)}/frames/1" for number in range(FRAMES)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        statuses = Counter(answer.status for answer in threads.map(lambda path: world.get(path, token), paths))
    assert statuses == {200: FRAMES}
    assert len(world.pacs.retrievals()) == FRAMES
    index = (one.path for one in world.pacs.asked if one.path.endswith(("/studies", "/series", "/instances")))
    return Counter(world.north.paths()) + Counter("index " + path.rpartition("/")[2] for path in index)


@contextmanager
def a_series(tmp_path: Path, north: dict[str, Any], server: dict[str, Any], sign: Any = None) -> Iterator[World]:
    server = {"decision_cache_s": 60.0, **server}
    with a_world(tmp_path / "state", server=server, north=north, sign=sign) as world:
        index = Index(world.pacs)
        index.holds(a_study(STUDY_A, "MRN-A"))
        held = [
            {**world.pacs.series(STUDY_A), "00080018": {"vr": "UI", "Value": [instance(number)]}} for number in range(FRAMES)
        ]
        index.instead = lambda asked: dicom_json(held) if asked.path.endswith("/instances") else None
        PatientRecord(world.north, [identifier("MRN-A")])
        yield world


def is_asked_once(questions: Counter[str], *expected: str) -> bool:
    return questions == Counter((*expected, "index studies", "index series", "index instances"))


@pytest.mark.parametrize(
    ("north", "server", "questions"),
    [
        ({}, {}, ["/auth/jwks", "/fhir/ImagingStudy"]),
        ({}, COMPARED, ["/auth/jwks", "/fhir/ImagingStudy", "/fhir/Patient/pat-a"]),
        (BY_NUMBER, COMPARED, ["/auth/jwks", "/fhir/Patient/pat-a"]),
    ],
    ids=["FHIR", "FHIR, persons compared", "identifier"],
)
def test_signed_token(tmp_path: Path, north: dict[str, Any], server: dict[str, Any], questions: list[str]) -> None:
    with a_series(tmp_path, north, server) as world:
        assert is_asked_once(open_series(world, world.north.token()), *questions)


def test_introspected_token(tmp_path: Path) -> None:
    with a_series(tmp_path, INTROSPECTED, {}) as world:
        world.north.introspected["opaque"] = {**world.north.claims(), "active": True}
        questions = open_series(world, "opaque")

        assert is_asked_once(questions, "/fhir/.well-known/smart-configuration", "/auth/introspect", "/fhir/ImagingStudy")


def test_launched_token(tmp_path: Path) -> None:
    with a_series(tmp_path, {"opaque_tokens": True, "jwks_url": None}, {}) as world:
        noted = LaunchedToken(
            ehr="north",
            issuer=world.north.fhir_base,
            patient_id="pat-a",
            scopes=SCOPES,
            user=None,
            client_id="imaging-cds",
            expires_at=int(time.time()) + 300,
        )
        LaunchedTokens(world.store).note("opaque", noted)

        assert is_asked_once(open_series(world, "opaque"), "/fhir/Patient/pat-a", "/fhir/ImagingStudy")


def test_number_read_in_our_own_name(tmp_path: Path) -> None:
    keys = ClientKeys.of(tmp_path / "keys")

    def sign(ehr: EhrSettings, _metadata: object, token_url: str) -> str:
        return keys.assertion("ES384", client_id=ehr.backend_client_id or "", audience=token_url, now=int(time.time()))

    with a_series(tmp_path, {**BY_NUMBER, "backend_client_id": CLIENT}, COMPARED, sign) as world:
        authority = BackendAuthority(world.north, lambda: keys.jwks(int(time.time())))
        PatientRecord(world.north, [identifier("MRN-A")], readers=lambda token: token in authority.issued)
        questions = open_series(world, world.north.token())

        assert is_asked_once(
            questions,
            "/auth/jwks",
            "/fhir/.well-known/smart-configuration",
            "/auth/token",
            "/fhir/Patient/pat-a",
            "/fhir/Patient/pat-a",  # once with the caller's token, which may not, and once with ours
        )


def test_token_that_is_refused_costs_one_question_however_often_it_comes(tmp_path: Path) -> None:
    with a_series(tmp_path, INTROSPECTED, {}) as world:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            answers = list(threads.map(lambda _: world.get(SERIES, "unknown-token").status, range(100)))

        assert answers == [401] * 100
        assert world.north.paths().count("/auth/introspect") == 1
        assert world.pacs.asked == []
