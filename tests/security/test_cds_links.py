"""CDS Hooks as a way in and a way out (security group 30): who may call, whose data, where the token goes, what a card carries.

Spec: smart-imaging.md §13.4 group 30; CDS Hooks 2.0. Every shape of a wrong claim: test_cds_clients.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request

from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    APP,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_patient,
    a_store,
    a_study,
    in_minutes,
    whole_prefetch,
)
from tests.conftest import free_port_number, serving

SERVICE = "/cds-services/imaging-findings"
TOKEN = "t0ken-of-this-one-call"
SECRETS = (TOKEN, "Synthetic^Patricia", "MRN-77", "1968-05-01")


class Fhir:
    """The EHR's FHIR server: answers what the service needs, and notes every call with its token."""

    def __init__(self) -> None:
        self.base = ""
        self.asked: list[tuple[str, str | None]] = []

    def app(self) -> Flask:
        app = Flask("fhir")
        answers: dict[str, Any] = {
            "Patient/p": a_patient(),
            "Observation": a_bundle(a_lung_rads("3")),
            "ImagingStudy": a_bundle(a_study()),
        }

        @app.get("/fhir/<path:path>")
        def answer(path: str) -> Response:
            self.asked.append((path, request.headers.get("Authorization")))
            return Response(json.dumps(answers.get(path, a_bundle())), mimetype="application/fhir+json")

        return app


@pytest.fixture
def fhir() -> Iterator[Fhir]:
    server = Fhir()
    with serving(server.app(), free_port_number()) as base:
        server.base = f"{base}/fhir"
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path, fhir: Fhir) -> CdsActor:
    return a_cds_service(store, tmp_path, trust={"fhir_servers": (fhir.base,)})


def with_token(fhir_server: str, prefetch: dict[str, Any] | None = None) -> dict[str, Any]:
    scope = "patient/Patient.r patient/Observation.rs patient/ImagingStudy.rs"
    granted = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": scope, "subject": "x", "patient": "p"}
    return a_hook({} if prefetch is None else prefetch, fhirServer=fhir_server, fhirAuthorization=granted)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://stranger.example.org"},
        {"aud": f"{APP}/cds-services/another"},
        {"exp": in_minutes(-2), "iat": in_minutes(-7)},
        {"jti": None},
    ],
    ids=["iss", "aud", "exp", "jti"],
)
def test_group_30_a_jwt_that_is_wrong_in_one_claim_opens_nothing(cds: CdsActor, fhir: Fhir, claims: dict[str, Any]) -> None:
    answer = cds.post(SERVICE, with_token(fhir.base), token=cds.ehr.jwt_for(f"{APP}{SERVICE}", **claims))

    assert (answer.status_code, answer.get_data()) == (401, b"")
    assert fhir.asked == [], "nobody's data is asked for before the caller is known"


def test_group_30_a_jwt_counts_once(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}")
    statuses = [cds.post(SERVICE, a_hook(whole_prefetch()), token=token).status_code for _ in range(2)]

    assert statuses == [200, 401]


def test_group_30_prefetch_of_another_patient_than_the_contexts_makes_no_card(cds: CdsActor) -> None:
    """Findings of somebody else are dropped; where the Patient himself is somebody else, there is no answer at all."""
    foreign = {"subject": {"reference": "Patient/other"}}
    found = cds.call(a_hook(whole_prefetch(a_lung_rads("4B", **foreign), studies=a_bundle(a_study(**foreign)))))
    swapped = cds.call(a_hook(whole_prefetch(a_lung_rads("4B"), patient=a_patient("other"))))

    assert "4B" not in found.get_data(as_text=True)
    assert "4B" not in swapped.get_data(as_text=True)
    assert cds.cards(a_hook(whole_prefetch(a_lung_rads("4B")))), "of this patient there is a card"


def test_group_30_a_cards_link_carries_uids_and_nothing_of_patient_or_token(cds: CdsActor, fhir: Fhir) -> None:
    person = a_patient() | {"name": [{"text": "Synthetic^Patricia"}], "identifier": [{"value": "MRN-77"}]}
    cards = cds.cards(with_token(fhir.base, whole_prefetch(a_lung_rads("4B"), patient=person)))
    links = [link for card in cards for link in card.get("links", ())]
    smart = [link for link in links if link["type"] == "smart"]

    assert smart
    assert any(STUDY_UID in link["appContext"] for link in smart)
    for link in links:
        assert set(link.get("appContext", "")) <= set("0123456789./abcdefghijklmnopqrstuvwxyz"), "UIDs and the words between"
        assert not any(secret in json.dumps(link) for secret in SECRETS)
        assert "?" not in link["url"]


@pytest.mark.parametrize(
    "elsewhere", ["http://169.254.169.254/latest", "http://localhost:8000/fhir", "file:///etc/passwd", "{base}/../admin"]
)
def test_group_30_a_fhir_server_that_is_not_configured_is_never_asked(cds: CdsActor, fhir: Fhir, elsewhere: str) -> None:
    answer = cds.call(with_token(elsewhere.replace("{base}", fhir.base)))

    assert answer.status_code == 412
    assert TOKEN not in answer.get_data(as_text=True)
    assert fhir.asked == []


def test_group_30_the_token_of_a_call_is_used_and_neither_stored_nor_logged(
    cds: CdsActor, fhir: Fhir, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = cds.call(with_token(fhir.base))
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())

    assert answer.status_code == 200
    assert {token for _, token in fhir.asked} == {f"Bearer {TOKEN}"}, "it was used"
    assert kept, "the id of the JWT is stored"
    assert TOKEN.encode() not in kept
    assert TOKEN not in caplog.text
    assert TOKEN not in answer.get_data(as_text=True)
