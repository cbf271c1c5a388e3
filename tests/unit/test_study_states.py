"""When a study's present state was first seen, remembered by all workers alike (SMART Imaging Access F1)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.store.tables import study_state
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.study_states import StudyStates

ONE, TWO = StudyInstanceUID("1.2.1"), StudyInstanceUID("1.2.2")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StateSettings(state_dir=tmp_path / "state"))
    opened.migrate()
    yield opened
    opened.close()


def at(store: Store, seconds: float) -> StudyStates:
    """A worker whose clock stands still."""
    return StudyStates(store, clock=lambda: seconds)


def test_a_state_keeps_the_time_of_who_saw_it_first(store: Store) -> None:
    first = at(store, 100.25).seen_at("north", "main", {ONE: "as it was"})
    later = at(store, 200.0).seen_at("north", "main", {ONE: "as it was", TWO: "new"})

    assert (first, later) == ({ONE: 100_250}, {ONE: 100_250, TWO: 200_000})


def test_another_state_is_newer_and_going_back_is_newer_still(store: Store) -> None:
    seen = [at(store, second).seen_at("north", "main", {ONE: state})[ONE] for second, state in ((1, "a"), (2, "b"), (3, "a"))]

    assert seen == [1000, 2000, 3000]


def test_ehrs_and_archives_are_told_apart(store: Store) -> None:
    for second, (ehr, pacs) in enumerate((("north", "main"), ("south", "main"), ("north", "second")), start=1):
        assert at(store, second).seen_at(ehr, pacs, {ONE: "same"}) == {ONE: second * 1000}


def test_of_two_workers_that_note_the_same_state_the_first_one_stands(store: Store) -> None:
    late = at(store, 2.0)
    digest = store.sealer.digest
    at(store, 1.0).seen_at("north", "main", {ONE: "new"})

    late._note("north", "main", {digest("study-state", ONE): digest("study-state-of", "new")})

    assert late.seen_at("north", "main", {ONE: "new"}) == {ONE: 1000}


def test_many_studies_are_looked_up_in_pieces(store: Store) -> None:
    states = {StudyInstanceUID(f"1.2.{number}"): "state" for number in range(1201)}

    assert at(store, 1.0).seen_at("north", "main", states) == dict.fromkeys(states, 1000)
    assert at(store, 2.0).seen_at("north", "main", states) == dict.fromkeys(states, 1000)


def test_nothing_of_a_study_can_be_read_in_the_table(store: Store) -> None:
    """Group 34."""
    at(store, 1.0).seen_at("north", "main", {ONE: "PatientID=MRN-1"})

    with store.read() as connection:
        (row,) = connection.execute(select(study_state)).all()

    assert not [one for one in map(str, row) if ONE in one or "MRN" in one]


def test_without_the_table_the_answer_waits(store: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state" / "imaging-cds.sqlite3") as broken:
        broken.execute("DROP TABLE study_state")
    broken.close()

    with pytest.raises(UpstreamError) as failed:
        at(store, 1.0).seen_at("north", "main", {ONE: "a"})

    assert failed.value.retryable
