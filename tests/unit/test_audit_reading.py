"""The audit trail is read page by page, newest first, in the memory of one page; no token comes into it (group 34)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from fhir_imaging import audit
from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import OutboxRules
from fhir_imaging.store.engine import Store
from tests.audit_actors import an_access

NUMBER = 23
PAGE = 5


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(audit, "PAGE", PAGE)
    opened = Store.open(StateSettings(state_dir=tmp_path), OutboxRules(waits_for_disk=False))
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def log(store: Store) -> AuditLog:
    """Times that go up, with many records in one second."""
    made = AuditLog(store)
    for number in range(NUMBER):
        made.append(an_access(f"2.25.{number}", recorded_at=1_800_000_000 + number // 9))
    return made


@pytest.fixture
def pages(store: Store) -> list[str]:
    """The questions to the database for records."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT audit_event"):
            asked.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    return asked


def studies(log: AuditLog, **wanted: Any) -> list[str | None]:
    return [one.study_instance_uid for one in log.find(AuditFilter(**wanted))]


@pytest.mark.parametrize("limit", [None, NUMBER, NUMBER + 1])
def test_all_come_once_newest_first_over_all_pages(log: AuditLog, pages: list[str], limit: int | None) -> None:
    assert studies(log, limit=limit) == [f"2.25.{number}" for number in reversed(range(NUMBER))]
    assert len(pages) == NUMBER // PAGE + 1


def test_pages_are_read_as_far_as_somebody_asks_and_no_connection_is_kept(
    store: Store, log: AuditLog, pages: list[str]
) -> None:
    found = log.stored(AuditFilter(limit=None))
    few = list(islice(found, PAGE + 1))

    assert len(few) == PAGE + 1
    assert len(pages) == 2
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_what_is_recorded_meanwhile_neither_doubles_nor_hides_a_record(log: AuditLog) -> None:
    found = log.find(AuditFilter(limit=None))
    first = [one.study_instance_uid for one in islice(found, PAGE)]
    for number in range(7):
        log.append(an_access(f"2.26.{number}", recorded_at=1_900_000_000))
    rest = [one.study_instance_uid for one in found]

    assert first + rest == [f"2.25.{number}" for number in reversed(range(NUMBER))]


def test_filters_that_only_an_opened_record_can_answer_go_on_until_they_have_enough(log: AuditLog) -> None:
    log.append(an_access("2.25.0", recorded_at=1, outcome=AuditOutcome.DENIED, reason="patient-mismatch: number"))
    log.append(an_access("2.25.0", recorded_at=2, action=AuditAction.STUDY_PREVIEWED))

    assert studies(log, reason="patient-mismatch") == ["2.25.0"]
    assert studies(log, action=AuditAction.STUDY_PREVIEWED, limit=1) == ["2.25.0"]
    assert len(studies(log, action=AuditAction.STUDY_OPENED, limit=7)) == 7


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("ImagingStudy?identifier=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl", "ImagingStudy?identifier=(token)"),
        ("studies?PatientID=eyJh.eyJi.&limit=1", "studies?PatientID=(token)&limit=1"),
        ("studies?x=eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "studies?x=(token)"),
        ("studies?StudyInstanceUID=1.2.840.1&PatientID=eyJ", "studies?StudyInstanceUID=1.2.840.1&PatientID=eyJ"),
    ],
)
def test_a_token_that_somebody_searches_by_is_not_recorded(log: AuditLog, query: str, kept: str) -> None:
    log.append(an_access(action=AuditAction.SEARCHED, study_instance_uid=None, query=query, recorded_at=1_900_000_000))

    assert next(log.find(AuditFilter())).query == kept
