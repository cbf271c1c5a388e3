"""``imaging-cds audit``: who opened what, in every form; what waits for the sinks; and what is kept no longer."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from fhir.resources.R4B.auditevent import AuditEvent
from sqlalchemy import text, update

from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome
from fhir_imaging.audit_outbox import Outbox
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import OutboxRules
from fhir_imaging.store.engine import Store
from fhir_imaging.store.tables import audit_event
from imaging_cds import audit_printing
from imaging_cds.cli import main
from imaging_cds.demo_plan import DemoOptions, app_table
from tests.audit_actors import an_access
from tests.conftest import CHECKOUT

NOW = int(time.time())
EHR = "http://127.0.0.1:8001/fhir"
DAY = 86_400


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    made = app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer"))
    made["state"] = {"state_dir": str(tmp_path / "state")}
    made["audit"] = {"file": str(tmp_path / "audit.jsonl"), "keep_days": 30}
    return made


@pytest.fixture
def store(table: dict[str, Any], tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StateSettings(state_dir=tmp_path / "state"), OutboxRules(sinks=("file", "old")))
    opened.migrate()
    log = AuditLog(opened)
    log.append(an_access("2.25.1", recorded_at=NOW - 40 * DAY, ehr="sandbox"))
    log.append(an_access("2.25.2", recorded_at=NOW - 50, ehr="sandbox", user="=cmd|' /C calc'!A1"))
    log.append(
        an_access("2.25.3", recorded_at=NOW - 40, ehr="gone", outcome=AuditOutcome.DENIED, reason="study-not-of-patient")
    )
    searched = {"action": AuditAction.SEARCHED, "study_instance_uid": None, "query": "studies?PatientID=1"}
    log.append(an_access(recorded_at=NOW - 30, ehr="sandbox", user="[red]\x1b[2Jp9", **searched))
    yield opened
    opened.close()


Audit = Callable[..., str]


@pytest.fixture
def said() -> list[str]:
    """What each command wrote to standard error."""
    return []


@pytest.fixture
def audit(
    said: list[str],
    store: Store,
    table: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Audit:
    config = tmp_path / "app.toml"
    config.write_text(tomli_w.dumps(table))
    monkeypatch.setenv("COLUMNS", "220")

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["audit", "--config", str(config), *arguments]) == code
        printed = capsys.readouterr()
        said.append(printed.err)
        return printed.err if code else printed.out

    return run


def as_json(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_table_shows_what_people_look_for_and_obeys_nothing_in_it(audit: Audit) -> None:
    """Group 34."""
    printed = audit()

    assert "denied: study-not-of-patient" in printed
    assert "2.25.2" in printed
    assert "[red]" in printed
    assert "\x1b[2J" not in printed


@pytest.mark.parametrize(
    ("arguments", "studies"),
    [
        (("--outcome", "denied"), ["2.25.3"]),
        (("--outcome", "allowed"), [None, "2.25.2", "2.25.1"]),
        (("--action", "searched"), [None]),
        (("--action", "study-opened", "--limit", "1"), ["2.25.3"]),
        (("--action", "method-refused"), []),
        (("--ehr", "gone"), ["2.25.3"]),
        (("--study", "2.25.1", "--patient", "pat-a", "--user", "Practitioner/p1"), ["2.25.1"]),
        (("--reason", "study-not-of-patient"), ["2.25.3"]),
        (("--reason", "study"), []),
        (("--since", "2000-01-01", "--until", "2000-01-02T00:00+01:00"), []),
    ],
)
def test_filters_find_what_they_name(audit: Audit, arguments: tuple[str, ...], studies: list[str | None]) -> None:
    assert [one["study_instance_uid"] for one in as_json(audit("--json", *arguments))] == studies


@pytest.mark.parametrize(
    "arguments",
    [
        ("--patient", "Patient/pat-a", "--study", "urn:oid:2.25.1"),
        ("--patient", f"{EHR}/Patient/pat-a", "--user", f"{EHR}/Practitioner/p1", "--study", "2.25.1"),
    ],
)
def test_references_as_events_and_charts_have_them_find_the_same(audit: Audit, arguments: tuple[str, ...]) -> None:
    assert [one["study_instance_uid"] for one in as_json(audit("--json", *arguments))] == ["2.25.1"]


@pytest.mark.parametrize("user", ["Practitioner/p2", f"{EHR}/Practitioner/p2"])
def test_a_user_is_one_person_also_in_records_that_an_early_version_wrote(audit: Audit, store: Store, user: str) -> None:
    """The SMART app once kept the EHR's address before the user's name."""
    for number, written in enumerate(("Practitioner/p2", f"{EHR}/Practitioner/p2")):
        AuditLog(store).append(an_access(f"2.25.{80 + number}", ehr="sandbox", user=written))

    found = as_json(audit("--json", "--user", user))
    (person,) = json.loads(audit("--summary", "--json", "--user", user))["users"]

    assert {one["study_instance_uid"] for one in found} == {"2.25.80", "2.25.81"}
    assert (person["user"], person["studies_opened"]) == ("Practitioner/p2", 2)


def test_whoever_sees_only_a_part_is_told(audit: Audit, said: list[str]) -> None:
    for arguments, is_told in ((("--limit", "2"), True), (("--limit", "4"), False), (("--all",), False), ((), False)):
        audit("--json", *arguments)
        assert ("Only the newest" in said[-1]) is is_told


def test_table_in_parts_has_one_header_and_straight_columns(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_printing, "ROWS_AT_A_TIME", 1)

    header, *lines = audit().splitlines()

    assert header.startswith("Time (UTC)")
    assert len(lines) == 4
    assert {line.index("pat-a") for line in lines} == {header.index("Patient")}


def test_table_shows_app_and_address_of_who_asked_and_what_was_searched_for(audit: Audit) -> None:
    printed = audit()

    for shown in ("Practitioner/p1", "viewer", "10.0.0.7", "studies?PatientID=1"):
        assert shown in printed


def test_output_that_is_no_terminal_has_whole_lines(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")

    header, *lines = audit().splitlines()

    assert len(lines) == 4
    assert {line.index("pat-a") for line in lines} == {header.index("Patient")}
    assert "denied: study-not-of-patient" in lines[1]
    assert "\x1b" not in lines[0]
    assert audit("--patient", "nobody") == "Nothing recorded for this.\n"


def test_summary_adds_up_users_and_reasons(audit: Audit) -> None:
    summary, printed = json.loads(audit("--summary", "--json")), audit("--summary")

    assert summary["records"] == 4
    assert {"action": "study-opened", "outcome": "allowed", "records": 2} in summary["actions"]
    users = {one["user"]: one for one in summary["users"] if one["ehr"] == "sandbox"}
    assert (users["Practitioner/p1"]["patients"], users["Practitioner/p1"]["studies_opened"]) == (1, 1)
    (reason,) = summary["reasons"]
    assert (reason["reason"], reason["times"], reason["users"]) == ("study-not-of-patient", 1, 1)
    assert "4 records" in printed
    assert "study-not-of-patient" in printed
    assert "\x1b[2J" not in printed


def test_summary_goes_by_the_same_filters(audit: Audit) -> None:
    assert json.loads(audit("--summary", "--json", "--outcome", "denied"))["records"] == 1
    assert "Nothing recorded" in audit("--summary", "--patient", "nobody")
    assert "--summary is a table" in audit("--summary", "--csv", code=2)


@pytest.mark.parametrize("form", ["--json", "--csv", "--fhir", "--limit=3", "--summary"])
def test_reader_that_has_seen_enough_ends_it_quietly(audit: Audit, tmp_path: Path, form: str) -> None:
    """``imaging-cds audit | head``: nobody reads any more when the first line comes."""
    script = f"{sys.executable} -m imaging_cds audit {form} --config {tmp_path / 'app.toml'} | true"
    ended = subprocess.run(["/bin/sh", "-c", script], capture_output=True, cwd=CHECKOUT, timeout=60, check=True)

    assert ended.stderr in (b"", b"Only the newest 3 are shown; --limit, --all, --since and --until show others.\n")


@pytest.mark.parametrize("wrong", [("--since", "yesterday"), ("--until", "2026-13-01"), ("--limit", "-1"), ("--limit", "x")])
def test_what_is_no_time_or_number_is_said(audit: Audit, wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        audit(*wrong)

    assert stopped.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_fhir_form_is_one_valid_event_a_line_with_the_id_that_the_sinks_get(audit: Audit) -> None:
    events, records = as_json(audit("--fhir")), as_json(audit("--json"))

    assert [one["id"] for one in events] == [one["event_id"] for one in records]
    for event in events:
        AuditEvent.model_validate(event)


def test_csv_has_a_row_for_each_record_and_no_formula(audit: Audit) -> None:
    rows = list(csv.DictReader(io.StringIO(audit("--csv"))))

    assert [row["study_instance_uid"] for row in rows] == ["", "2.25.3", "2.25.2", "2.25.1"]
    assert rows[2]["user"].startswith("'=cmd")
    assert rows[0]["recorded_at"].endswith("Z")
    assert all(cell.isprintable() for row in rows for cell in row.values())


def test_deliveries_show_what_waits_and_why_also_for_a_sink_that_is_no_more(audit: Audit, store: Store) -> None:
    outbox = Outbox(store, "file")
    outbox.failed("the file cannot be written: No space left on device", now=NOW, wait_s=None)

    printed, (file, old) = audit("--deliveries"), as_json(audit("--deliveries", "--json"))

    assert "No space left on device" in printed
    assert "old (not configured)" in printed
    assert (file["pending"], file["resume_at"], old["pending"]) == (4, NOW + 1, 4)


def test_retry_makes_everything_due(audit: Audit, store: Store) -> None:
    outbox = Outbox(store, "file")
    taken = outbox.take(now=NOW, limit=9)
    outbox.rejected({one.event_id: "the server answered 422" for one in taken}, now=NOW)
    outbox.failed("down", now=NOW, wait_s=5000)

    audit("--retry")

    assert len(outbox.take(now=int(time.time()), limit=9)) == 4


def test_purge_keeps_what_waits_until_somebody_gives_it_up(audit: Audit, store: Store) -> None:
    kept = audit("--purge")
    file, old = audit("--give-up", "file"), audit("--give-up", "old")
    removed = audit("--purge")

    assert kept == "0 records removed.\n"
    assert (file, old) == ("4 records no longer wait for file.\n", "4 records no longer wait for old.\n")
    assert removed == "1 records removed.\n"
    assert [one["study_instance_uid"] for one in as_json(audit("--json"))] == [None, "2.25.3", "2.25.2"]


def test_purge_without_a_limit_in_the_settings_removes_nothing(audit: Audit, table: dict[str, Any], tmp_path: Path) -> None:
    del table["audit"]["keep_days"]
    (tmp_path / "app.toml").write_text(tomli_w.dumps(table))

    assert "audit.keep_days is not set" in audit("--purge", code=2)


def test_limit_must_be_a_number_that_finds_something(audit: Audit) -> None:
    with pytest.raises(SystemExit) as stopped:
        audit("--limit", "0")

    assert stopped.value.code == 2


CONTRADICTIONS = [
    ({"fhir_base": "https://a.example", "fhir_user": "u"}, "belong together"),
    ({"fhir_base": "https://a.example", "fhir_user": "u", "fhir_password": "p", "fhir_bearer_token": "t"}, "give one of"),
    ({"fhir_base": "https://a.example", "fhir_token_url": "https://a.example/token"}, "belong together"),
    ({"fhir_bearer_token": "t"}, "a credential without fhir_base"),
    ({"max_pending": 0}, "max_pending must be at least 1"),
    ({"keep_days": 0}, "keep_days must be at least 1"),
    ({"fhir_base": "http://audit.example/fhir"}, "plain http"),
    ({"on_failure": "shrug"}, "must be one of refuse, continue"),
]


@pytest.mark.parametrize(("section", "words"), CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_explained(
    audit: Audit, table: dict[str, Any], tmp_path: Path, section: dict[str, Any], words: str
) -> None:
    (tmp_path / "app.toml").write_text(tomli_w.dumps({**table, "audit": section}))

    assert words in audit(code=2)


def test_record_of_an_early_version_has_no_id_and_is_listed_all_the_same(audit: Audit, store: Store) -> None:
    """Nor had it sealed one."""
    records = [asdict(one) for one in AuditLog(store).find(AuditFilter())]
    with store.write() as connection:
        for number, record in enumerate(reversed(records), 1):
            early = {"event_key": None, "body": store.sealer.seal(json.dumps(record).encode())}
            connection.execute(update(audit_event).where(audit_event.c.id == number).values(early))

    events = as_json(audit("--fhir"))

    assert len(events) == 4
    for event in events:
        AuditEvent.model_validate(event)
        assert "id" not in event


# Somebody who may write to the database, and has no key


@pytest.mark.parametrize(
    ("tampering", "shown"),
    [
        ("UPDATE audit_event SET body = 'altered' WHERE id = 3", 3),
        ("UPDATE audit_event SET body = (SELECT body FROM audit_event WHERE id = 2) WHERE id = 3", 3),
        ("UPDATE audit_event SET event_key = NULL WHERE id = 3", 3),
        ("UPDATE audit_event SET recorded_at = recorded_at - 100000 WHERE id = 3", 4),
        ("UPDATE audit_event SET patient_digest = study_digest WHERE id = 3", 4),
        ("UPDATE audit_event SET outcome = 'allowed' WHERE id = 3", 4),
    ],
)
@pytest.mark.parametrize("form", [("--all", "--json"), ("--summary", "--json")])
def test_group_35_a_record_that_was_altered_is_told_and_not_left_out_in_silence(
    audit: Audit, store: Store, tampering: str, shown: int, form: tuple[str, ...]
) -> None:
    before = json.loads(audit("--summary", "--json"))["records"]
    with store.write() as connection:
        connection.execute(text(tampering))

    told = audit(*form, code=1)
    found = list(AuditLog(store).find(AuditFilter(limit=None)))

    assert (before, len(found)) == (4, shown)
    assert told.startswith("1 of the records looked at are not as they were written")
    assert "audit_event.id 3)" in told


def test_group_35_many_altered_records_take_one_line(audit: Audit, store: Store) -> None:
    log = AuditLog(store)
    for number in range(12):
        log.append(an_access(f"2.25.{number}", recorded_at=NOW))
    with store.write() as connection:
        connection.execute(text("UPDATE audit_event SET body = 'altered' WHERE id > 1"))

    told = audit("--all", code=1)

    assert told.startswith("15 of the records")
    assert "audit_event.id 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, …)" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("form", [(), ("--csv",), ("--summary",)])
def test_one_name_in_other_letters_does_not_end_the_list(
    audit: Audit, store: Store, tmp_path: Path, form: tuple[str, ...]
) -> None:
    audit()
    AuditLog(store).append(an_access("2.25.4", recorded_at=NOW, user="Practitioner/\u0141ukasz"))
    command = [sys.executable, "-m", "imaging_cds", "audit", "--config", str(tmp_path / "app.toml"), *form]

    done = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Practitioner/\\u0141ukasz" in done.stdout
    assert b"Practitioner/p1" in done.stdout
