"""Decisions that all workers share (groups 6 and 23): asked once for all, never an access because of the database."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from fhir_imaging.settings import Ownership, StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from imaging_server.kept_answers import KeptAnswers
from imaging_server.settings import PatientIdentifierRule
from imaging_server.shared_decisions import Form, SharedDecisions
from tests.interop.postgresql_actors import PostgresqlServer, a_postgresql_server, connections_closed
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier
from tests.security.gateway_stubs import METADATA, STUDY_A, STUDY_B, dicom_json, series_of
from tests.security.shared_actors import TwoWorkers, two_workers

FRAMES = 500
SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
INTROSPECTED = {"jwks_url": None, "introspection_client_id": "gateway", "introspection_client_secret": "introspection-secret"}
BY_NUMBER = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with a_postgresql_server() as running:
        yield running


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateSettings]:
    if request.param == "SQLite":
        yield StateSettings(state_dir=tmp_path / "state")
        return
    running: PostgresqlServer = request.getfixturevalue("server")
    with connections_closed():
        yield StateSettings(state_dir=tmp_path / "state", database_url=running.new_database())


def open_series(workers: TwoWorkers, token: str) -> Counter[str]:
    """All frames of a series over both workers by turns, and what the EHR was asked meanwhile."""
    index = Index(workers.one.pacs)
    index.holds(a_study(STUDY_A, "MRN-A"))
    held = [
        {**workers.one.pacs.series(STUDY_A), "00080018": {"vr": "UI", "Value": [f"{series_of(STUDY_A)}.{number}"]}}
        for number in range(FRAMES)
    ]
    index.instead = lambda asked: dicom_json(held) if asked.path.endswith("/instances") else None
    workers.one.north.asked.clear()

    def get(number: int) -> int:
        return workers.both[number % 2].get(f"{SERIES}/instances/{series_of(STUDY_A)}.{number}/frames/1", token).status

    with ThreadPoolExecutor(4) as threads:
        assert Counter(threads.map(get, range(FRAMES))) == {200: FRAMES}
    return Counter(workers.one.north.paths())


def an_opaque_token(workers: TwoWorkers, name: str = "opaque", patient: str = "pat-a") -> str:
    workers.one.north.introspected[name] = {**workers.one.north.claims(patient), "active": True}
    return name


def test_group_23_two_workers_ask_about_a_token_and_a_study_once(state: StateSettings) -> None:
    with two_workers(state, north=INTROSPECTED) as workers:
        asked = open_series(workers, an_opaque_token(workers))

    assert asked["/auth/introspect"] == 1
    assert asked["/fhir/ImagingStudy"] == 1


def test_group_23_two_workers_read_a_patients_number_once(state: StateSettings) -> None:
    north = {**INTROSPECTED, "ownership": Ownership.IDENTIFIER}
    with two_workers(state, north=north, server=BY_NUMBER) as workers:
        PatientRecord(workers.one.north, [identifier("MRN-A")])
        asked = open_series(workers, an_opaque_token(workers))

    assert asked["/auth/introspect"] == 1
    assert asked["/fhir/Patient/pat-a"] == 1


def test_group_6_a_signed_token_is_checked_once_for_both(tmp_path: Path) -> None:
    with two_workers(StateSettings(state_dir=tmp_path / "state")) as workers:
        asked = open_series(workers, workers.one.north.token())

    assert asked == {"/auth/jwks": 1, "/fhir/ImagingStudy": 1}


def test_group_6_a_shared_answer_ends_with_the_token_and_after_its_seconds(tmp_path: Path) -> None:
    with two_workers(
        StateSettings(state_dir=tmp_path / "state"), north=INTROSPECTED, server={"decision_cache_s": 0.5}
    ) as workers:
        token = an_opaque_token(workers)
        assert workers.one.get(METADATA, token).status == 200
        workers.one.north.introspected.clear()
        time.sleep(0.6)

        assert [one.get(METADATA, token).status for one in workers.both] == [401, 401]


def test_refusals_are_not_shared_and_a_failure_costs_each_worker_its_own_question(tmp_path: Path) -> None:
    with two_workers(StateSettings(state_dir=tmp_path / "state"), north=INTROSPECTED) as workers:
        token, theirs = an_opaque_token(workers), f"/studies/{STUDY_B}/metadata"
        refused = [one.get(theirs, token).status for one in workers.both]
        workers.one.north.answers["/fhir/ImagingStudy"] = lambda: Response(status=500)
        failed = [one.get(METADATA, token).status for one in workers.both]
        workers.one.north.answers.clear()

        assert (refused, failed) == ([403, 403], [503, 503])
        assert workers.other.get(METADATA, token).status == 200
        workers.one.north.studies[STUDY_B] = "pat-a"
        assert workers.other.get(theirs, token).status == 200, "a no is not remembered"


def rows(state_dir: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with sqlite3.connect(state_dir / SQLITE_FILE) as connection:
        found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


def test_group_34_the_database_holds_no_token_no_patient_and_no_study_in_clear(tmp_path: Path) -> None:
    with two_workers(StateSettings(state_dir=tmp_path), north=INTROSPECTED) as workers:
        token = an_opaque_token(workers, "a-token-that-is-long-enough-to-be-found")
        assert workers.one.get(METADATA, token).status == 200
        kept = rows(tmp_path, "SELECT id, claim, body FROM shared_decision")

    assert len(kept) >= 2
    told = json.dumps([[str(value) for value in row] for row in kept])
    assert [word for word in (token, "pat-a", STUDY_A, "north") if word in told] == []


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE shared_decision SET body = ?1",  # another row's content under every row
        "UPDATE shared_decision SET body = CAST('rubbish' AS BLOB)",
        "UPDATE shared_decision SET body = substr(body, 1, length(body) - 20)",
        "UPDATE shared_decision SET until_ms = until_ms + 9000000",
    ],
    ids=["another row's answer", "rubbish", "altered", "a longer life"],
)
def test_whoever_writes_into_the_database_opens_nothing(tmp_path: Path, forgery: str) -> None:
    """Rows are sealed together with their key and their end; what cannot be read is asked anew, and the EHR says no."""
    with two_workers(StateSettings(state_dir=tmp_path), north=INTROSPECTED, server={"decision_cache_s": 0.8}) as workers:
        mine = an_opaque_token(workers)
        theirs = an_opaque_token(workers, "other", "pat-b")
        assert workers.one.get(METADATA, mine).status == 200
        (body,) = rows(tmp_path, "SELECT body FROM shared_decision ORDER BY id LIMIT 1")[0]
        assert workers.one.get(METADATA, theirs).status == 403
        rows(tmp_path, forgery, *([body] if "?1" in forgery else []))
        workers.one.north.introspected.clear()
        if "until_ms" in forgery:
            time.sleep(0.9)

        # A true answer stays true in its own place only, which may be the one that was copied.
        assert workers.other.get(METADATA, mine).status == 401 or "?1" in forgery
        assert workers.other.get(METADATA, theirs).status == 401


def test_a_worker_that_dies_while_it_asks_holds_the_others_up_for_a_while_only(tmp_path: Path) -> None:
    server = {"ehr_timeout_s": 2.0}
    with two_workers(StateSettings(state_dir=tmp_path), north=INTROSPECTED, server=server) as workers:
        token = an_opaque_token(workers)
        assert workers.one.get(METADATA, token).status == 200
        until = int((time.time() + 1) * 1000)
        rows(tmp_path, "UPDATE shared_decision SET body = NULL, until_ms = ?", until)

        began = time.monotonic()
        assert workers.other.get(METADATA, token).status == 200
        assert time.monotonic() - began < 10


def test_without_its_table_sharing_costs_questions_and_nothing_else(tmp_path: Path) -> None:
    """A database fault means asking anew."""
    with two_workers(StateSettings(state_dir=tmp_path), north=INTROSPECTED) as workers:
        token = an_opaque_token(workers)
        rows(tmp_path, "DROP TABLE shared_decision")

        assert [one.get(METADATA, token).status for one in workers.both] == [200, 200]
        assert workers.one.north.paths().count("/auth/introspect") == 2
        assert workers.other.get(METADATA, "unknown").status == 401


def test_group_6_an_answer_of_a_clock_that_goes_wrong_counts_for_nobody_else(tmp_path: Path) -> None:
    """Read again and again, it would live as long as that clock is ahead."""
    form: Form[str] = Form("token", lambda value: value, lambda value: str(value))
    with closing(Store.open(StateSettings(state_dir=tmp_path / "state"))) as store:
        store.migrate()
        now, answers = [1_800_000_000.0], iter(["revoked by now", "still"])
        ahead = KeptAnswers(form, SharedDecisions(store, patience_s=5, clock=lambda: now[0] + 600), clock=lambda: now[0] + 600)
        right = KeptAnswers(form, SharedDecisions(store, patience_s=5, clock=lambda: now[0]), clock=lambda: now[0])
        assert ahead.get(("north", "token"), lambda: "alive", seconds=lambda _: 30) == "alive"

        assert right.get(("north", "token"), lambda: next(answers), seconds=lambda _: 30) == "revoked by now"


def test_group_23_who_asked_by_a_clock_that_was_ahead_and_died_holds_nobody_up(tmp_path: Path) -> None:
    """Each question waited as long as one may take, until that time had come."""
    form: Form[str] = Form("token", lambda value: value, lambda value: str(value))
    with closing(Store.open(StateSettings(state_dir=tmp_path))) as store:
        store.migrate()
        now = time.time()
        ahead, right = (SharedDecisions(store, patience_s=5, clock=lambda at=at: at) for at in (now + 3600, now))
        assert ahead.get(form, ("north", "token"), lambda: "asked", seconds=lambda _: 30).value == "asked"
        rows(tmp_path, "UPDATE shared_decision SET body = NULL")
        asked: list[str] = []

        began = time.monotonic()
        told = [right.get(form, ("north", "token"), lambda: asked.append("") or "yes", seconds=lambda _: 30) for _ in "ab"]

        assert time.monotonic() - began < 4
        assert ([one.value for one in told], len(asked)) == (["yes", "yes"], 1)
