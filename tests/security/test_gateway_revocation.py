"""Access that an administrator ends (W3, group 6): all workers within a second, a named token for good, and never unknown."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Response
from sqlalchemy import insert

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE
from fhir_imaging.store.tables import revocation
from imaging_server import revocations
from imaging_server.revocations import Revocation, RevocationLog
from tests.security.gateway_stubs import METADATA, PRIOR_A, STUDY_A
from tests.security.shared_actors import TwoWorkers, two_workers

BOUND_S = 2.0
"""About a second, and a slow machine."""
INTROSPECTED = {"jwks_url": None, "introspection_client_id": "gateway", "introspection_client_secret": "introspection-secret"}


@pytest.fixture(params=[True, False], ids=["shared", "each for itself"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TwoWorkers]:
    state = StateSettings(state_dir=tmp_path)
    with two_workers(state, north=INTROSPECTED, server={"shared_decisions": request.param}) as running:
        for name, patient in (("of-a", "pat-a"), ("of-b", "pat-b")):
            claims = running.one.north.claims(patient, jti=f"jti-{name}")
            running.one.north.introspected[name] = {**claims, "active": True}
        yield running


def ends(workers: TwoWorkers, **what: str) -> None:
    RevocationLog(workers.one.store).mark(Revocation(marked_at=int(time.time()), **what))  # type: ignore[arg-type]


def within_the_bound(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


def statuses(workers: TwoWorkers, token: str, path: str = METADATA) -> list[int]:
    return [one.get(path, token).status for one in workers.both]


@pytest.mark.parametrize(
    "what",
    [{}, {"ehr": "north"}, {"patient": "pat-a"}, {"ehr": "north", "patient": "pat-a"}, {"study": STUDY_A}],
    ids=["all", "EHR", "patient", "patient of the EHR", "study"],
)
def test_group_6_what_the_ehr_has_revoked_ends_on_every_worker_at_once(workers: TwoWorkers, what: dict[str, str]) -> None:
    """Decisions live for a minute here: without the mark both workers would go on."""
    assert statuses(workers, "of-a") == [200, 200]
    workers.one.north.introspected["of-a"] = {"active": False}
    assert statuses(workers, "of-a") == [200, 200]

    ends(workers, **what)

    assert within_the_bound(lambda: statuses(workers, "of-a") == [401, 401])


def test_group_6_a_mark_that_shows_after_one_with_a_larger_number_counts(workers: TwoWorkers) -> None:
    """PostgreSQL gives numbers out before rows can be seen: two administrators at once may end access in either order."""

    def shows(number: int, patient: str) -> None:
        store = workers.one.store
        of_patient = store.sealer.digest(revocations.DIGEST, "patient", patient)
        row = {"id": number, "marked_at": int(time.time()), "patient_digest": of_patient, "body": b""}
        with store.write_once() as connection:
            connection.execute(insert(revocation).values(row))

    shows(5, "somebody-else")
    assert statuses(workers, "of-a") == [200, 200]
    workers.one.north.introspected["of-a"] = {"active": False}

    shows(4, "pat-a")

    assert within_the_bound(lambda: statuses(workers, "of-a") == [401, 401])


def test_group_9_a_study_that_the_ehr_has_withdrawn_ends_at_once(workers: TwoWorkers) -> None:
    assert statuses(workers, "of-a") == [200, 200]
    del workers.one.north.studies[STUDY_A]

    ends(workers, study=STUDY_A)

    assert within_the_bound(lambda: statuses(workers, "of-a") == [403, 403])
    assert statuses(workers, "of-a", f"/studies/{PRIOR_A}/metadata") == [200, 200]


def test_a_mark_on_one_patient_costs_another_nothing(workers: TwoWorkers) -> None:
    theirs = "/studies/2.25.22/metadata"
    assert statuses(workers, "of-a") == [200, 200]
    assert statuses(workers, "of-b", theirs) == [200, 200]
    ends(workers, patient="pat-a")
    time.sleep(1.1)
    workers.one.north.asked.clear()

    assert statuses(workers, "of-b", theirs) == [200, 200]
    assert workers.one.north.asked == []
    assert statuses(workers, "of-a") == [200, 200], "the EHR still says yes"
    assert "/auth/introspect" in workers.one.north.paths()
    assert "/fhir/ImagingStudy" in workers.one.north.paths()


def test_a_token_named_by_its_reference_is_refused_whatever_the_ehr_says(workers: TwoWorkers) -> None:
    assert statuses(workers, "of-a") == [200, 200]
    reference = workers.one.audit()[0].token_reference
    assert reference == "jti-of-a"

    ends(workers, token_reference=str(reference))

    assert within_the_bound(lambda: statuses(workers, "of-a") == [401, 401])
    time.sleep(1.1)
    answer = workers.one.get(METADATA, "of-a")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert (workers.one.audit()[0].outcome, workers.one.audit()[0].reason) == ("denied", "token-revoked-here")
    assert statuses(workers, "of-b", "/studies/2.25.22/metadata") == [200, 200]


def test_a_refused_token_opens_nothing_of_the_fhir_endpoint_either(workers: TwoWorkers) -> None:
    sent = {"Authorization": "Bearer of-a"}
    path = "/imaging/north/fhir/ImagingStudy?patient=pat-a"
    ends(workers, token_reference="jti-of-a")

    assert within_the_bound(lambda: [one.send("GET", path, sent).status for one in workers.both] == [401, 401])


def test_a_token_mark_for_another_ehr_means_another_token(workers: TwoWorkers) -> None:
    ends(workers, token_reference="jti-of-a", ehr="south")
    time.sleep(1.1)

    assert statuses(workers, "of-a") == [200, 200]


def test_when_the_ehr_cannot_be_asked_after_a_mark_nothing_is_opened(workers: TwoWorkers) -> None:
    """Fail closed: what was let go is not taken up again."""
    assert statuses(workers, "of-a") == [200, 200]
    workers.one.north.answers["/auth/introspect"] = lambda: Response(status=500)

    ends(workers, patient="pat-a")

    assert within_the_bound(lambda: statuses(workers, "of-a") == [503, 503])


def test_while_marks_cannot_be_read_nothing_is_opened_after_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "LONGEST_UNREAD_S", 1.5)
    with two_workers(StateSettings(state_dir=tmp_path), north=INTROSPECTED) as workers:
        workers.one.north.introspected["of-a"] = {**workers.one.north.claims(), "active": True}
        assert statuses(workers, "of-a") == [200, 200]
        with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
            connection.execute("ALTER TABLE revocation RENAME TO elsewhere")
        connection.close()
        at_once = statuses(workers, "of-a")
        time.sleep(2)
        later = [one.get(METADATA, "of-a") for one in workers.both]
        with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO revocation")
        connection.close()

        assert at_once == [200, 200]
        assert [one.status for one in later] == [503, 503]
        assert all(one.headers["Retry-After"].isdigit() for one in later)
        assert within_the_bound(lambda: statuses(workers, "of-a") == [200, 200]), "without a restart"


def test_the_database_names_no_patient_and_no_token_in_clear(workers: TwoWorkers, tmp_path: Path) -> None:
    ends(workers, patient="pat-a", ehr="north", reason="left the hospital")
    with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
        (row,) = connection.execute("SELECT * FROM revocation").fetchall()
    connection.close()

    assert "pat-a" not in str(row)
    assert "left the hospital" not in str(row)
    (listed,) = RevocationLog(workers.other.store).listed()
    assert (listed.ehr, listed.patient, listed.reason) == ("north", "pat-a", "left the hospital")
