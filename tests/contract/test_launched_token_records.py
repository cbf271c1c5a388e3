"""Noted tokens at rest: found by a keyed digest, sealed, apart for each EHR (DESIGN §8, third way)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from fhir_imaging.store.sealed import SealedRecords
from fhir_imaging.store.tables import sealed_record

TOKEN = "opaque-7f9c1e0b4a"
LAUNCHED = LaunchedToken(
    ehr="north",
    issuer="https://ehr.example/fhir",
    patient_id="pat-a",
    scopes="patient/ImagingStudy.rs",
    user="Practitioner/p1",
    client_id="imaging-cds",
    expires_at=2**40,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(StateSettings(state_dir=tmp_path / "state"))
    made.migrate()
    yield made
    made.close()


def test_database_holds_neither_token_nor_patient(store: Store, tmp_path: Path) -> None:
    LaunchedTokens(store).note(TOKEN, LAUNCHED)
    with store.read() as connection:
        (row,) = connection.execute(select(sealed_record)).all()
    at_rest = b"".join(path.read_bytes() for path in (tmp_path / "state").glob(f"{SQLITE_FILE}*"))

    assert row.kind == "launched-token"
    for secret in (TOKEN, "pat-a", "Practitioner/p1", "patient/ImagingStudy.rs"):
        assert secret not in str(tuple(row))
        assert secret.encode() not in at_rest


def test_another_installation_finds_nothing_in_the_same_database(store: Store, tmp_path: Path) -> None:
    LaunchedTokens(store).note(TOKEN, LAUNCHED)
    file = tmp_path / "state" / SQLITE_FILE
    other = Store.open(StateSettings(state_dir=tmp_path / "other", database_url=f"sqlite:///{file}"))
    found = LaunchedTokens(other).find(TOKEN, ehr="north", now=int(time.time()))
    other.close()

    assert found is None


def test_record_of_another_versions_shape_is_no_record(store: Store) -> None:
    SealedRecords(store, "launched-token").add(
        {"ehr": "north", "patient_id": "pat-a"}, expires_at=2**40, record_id=f"north\n{TOKEN}"
    )

    assert LaunchedTokens(store).find(TOKEN, ehr="north", now=0) is None


def test_same_token_of_two_ehrs_is_two_records(store: Store) -> None:
    tokens = LaunchedTokens(store)
    tokens.note(TOKEN, LAUNCHED)
    tokens.note(TOKEN, replace(LAUNCHED, ehr="south", patient_id="pat-b"))
    tokens.forget(TOKEN, ehr="north")

    found = tokens.find(TOKEN, ehr="south", now=int(time.time()))
    assert tokens.find(TOKEN, ehr="north", now=int(time.time())) is None
    assert found is not None
    assert found.patient_id == "pat-b"


def test_noted_again_the_last_word_counts(store: Store) -> None:
    tokens = LaunchedTokens(store)
    tokens.note(TOKEN, replace(LAUNCHED, expires_at=1000))
    tokens.note(TOKEN, replace(LAUNCHED, expires_at=2000, scopes="patient/Patient.r"))

    found = tokens.find(TOKEN, ehr="north", now=1500)
    assert found is not None
    assert found.scopes == "patient/Patient.r"
