"""``imaging-cds feedback``: counts and reasons per rule, as a table and as CSV, without what users wrote (R34)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomli_w

from cds_service.card_parts import IssuedCard
from cds_service.feedback import FeedbackEntry, Outcome, OverrideReason
from cds_service.feedback_store import FeedbackStore
from fhir_imaging.store.engine import Store
from imaging_cds.cli import main
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.settings import load

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
NOW = int(AT.timestamp())
EHR = "https://ehr.example.org"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "app.toml"
    path.write_text(tomli_w.dumps(app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer"))))
    return path


@pytest.fixture
def feedback(config: Path) -> Iterator[FeedbackStore]:
    store = Store.open(load(config).state)
    store.migrate()
    yield FeedbackStore(store)
    store.close()


def shown(feedback: FeedbackStore, rule_id: str, *card_uuids: str, at: int = NOW, service: str = "imaging-findings") -> None:
    cards = [IssuedCard(card={"uuid": one, "indicator": "info"}, rule_id=rule_id) for one in card_uuids]
    feedback.remember(cards, service_id=service, client=EHR, now=at)


def told(feedback: FeedbackStore, card_uuid: str, outcome: Outcome, reason: OverrideReason | None = None) -> None:
    entry = FeedbackEntry(card_uuid=card_uuid, outcome=outcome, at=AT, reason=reason)
    feedback.record([entry], service_id="imaging-findings", client=EHR, now=NOW)


@pytest.fixture
def a_week(feedback: FeedbackStore) -> FeedbackStore:
    """One rule that people follow, one that everybody overrides, one of another service, one of last month."""
    shown(feedback, "good/row", "g1", "g2", "g3")
    told(feedback, "g1", Outcome.ACCEPTED)
    shown(feedback, "bad/row", "b1", "b2", "b3", "b4")
    told(feedback, "b1", Outcome.OVERRIDDEN, OverrideReason(system="s", code="patient-refuses"))
    told(feedback, "b2", Outcome.OVERRIDDEN, OverrideReason(system="s", code="patient-refuses"))
    told(feedback, "b2", Outcome.OVERRIDDEN, OverrideReason(system="s", code="=cmd()", comment="Alma said no"))
    told(feedback, "b3", Outcome.OVERRIDDEN, OverrideReason(comment="Alma again"))
    told(feedback, "b4", Outcome.OVERRIDDEN)
    shown(feedback, "order/row", "o1", service="imaging-order-sign")
    shown(feedback, "old/row", "x1", at=NOW - 40 * 86_400)
    return feedback


def rows(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, dict[str, str]]:
    assert main(["feedback", "--config", str(config), "--csv", *options]) == 0
    printed = capsys.readouterr().out
    assert "Alma" not in printed
    return {row["rule"]: row for row in csv.DictReader(io.StringIO(printed))}


def test_r34_each_rule_with_its_counts_and_reasons(
    config: Path, a_week: FeedbackStore, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(config, capsys)

    assert list(found) == ["bad/row", "good/row", "old/row", "order/row"], "the most overridden first"
    assert found["good/row"] == {
        "rule": "good/row",
        "indicator": "info",
        "shown": "3",
        "accepted": "1",
        "overridden": "0",
        "overridden_percent": "0",
        "why": "",
    }
    bad = found["bad/row"]
    assert (bad["shown"], bad["overridden"], bad["overridden_percent"]) == ("4", "4", "100")
    assert bad["why"].split("; ")[0] == "patient-refuses: 2"
    assert set(bad["why"].split("; ")[1:]) == {"=cmd() with a comment: 1", "a comment only: 1", "no reason given: 1"}


def test_limits_by_time_and_service(config: Path, a_week: FeedbackStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert "old/row" not in rows(config, capsys, "--since", "2026-11-01")
    assert list(rows(config, capsys, "--service", "imaging-order-sign")) == ["order/row"]
    assert rows(config, capsys, "--since", "2026-11-22T00:00:00+02:00") == {}


def test_a_reason_is_no_formula_in_a_spreadsheet(
    config: Path, feedback: FeedbackStore, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(feedback, "bad/row", "b1")
    told(feedback, "b1", Outcome.OVERRIDDEN, OverrideReason(system="s", code="=cmd()"))

    assert rows(config, capsys)["bad/row"]["why"] == "'=cmd(): 1"


def test_the_table_for_people(
    config: Path, a_week: FeedbackStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    assert main(["feedback", "--config", str(config)]) == 0

    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["Rule", "Indicator", "Shown", "Accepted", "Overridden", "Overridden", "%", "Why"]
    assert "patient-refuses: 2" in printed
    assert "Alma" not in printed


def test_what_is_no_terminal_gets_each_rule_on_one_line(
    config: Path, feedback: FeedbackStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rule_id = f"site-pack-2026/{'a-long-row-' * 8}end"
    shown(feedback, rule_id, "b1")
    told(feedback, "b1", Outcome.OVERRIDDEN, OverrideReason(system="s", code="patient refuses " * 10))

    assert main(["feedback", "--config", str(config)]) == 0

    heading, line = (one.strip() for one in capsys.readouterr().out.splitlines())
    assert heading.startswith("Rule")
    assert line.startswith(rule_id)
    assert "patient refuses patient refuses" in line


def test_a_narrow_terminal_does_not_part_a_rules_id(
    config: Path, feedback: FeedbackStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown(feedback, "site-pack-2026/a-row-with-a-name-of-its-own", "b1")

    assert main(["feedback", "--config", str(config)]) == 0

    assert "site-pack-2026/a-row-with-a-name-of-its-own" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--csv"]])
def test_r34_a_reason_cannot_steer_the_terminal_or_begin_a_line(
    config: Path, feedback: FeedbackStore, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    shown(feedback, "bad/row", "b1")
    told(
        feedback, "b1", Outcome.OVERRIDDEN, OverrideReason(system="s", code="x\x1b[2J\x07\u202e\x9b1m\nforged/rule\r\ty:smile:")
    )

    assert main(["feedback", "--config", str(config), *options]) == 0

    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 2
    assert "x?[2J???1m?forged/rule??y:smile:: 1" in printed


def test_no_card_at_all_is_said(config: Path, feedback: FeedbackStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feedback", "--config", str(config)]) == 0
    assert "No card was shown in this time." in capsys.readouterr().out
