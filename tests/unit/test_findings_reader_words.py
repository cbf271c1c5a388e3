"""Ga, Gc: a report's words against a table. They are quoted, hold an order back and lead the card; no date comes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cds_service.wording import summary_of
from imaging_findings.advice import Guidance
from imaging_findings.quotes import intervals_ahead
from imaging_findings.rules import Urgency
from tests.cds_actors import DCM, a_lung_rads, a_nodule, a_report, an_observation, concept
from tests.unit.test_findings_guidance import the_guidance

BASE = "https://imaging-cds.example/fhir/CodeSystem"
NODULE = "7 mm solid lung nodule (CT 2026-10-01): "


def reported(words: str, finding: Mapping[str, Any] | None = None) -> Guidance:
    return the_guidance(finding or a_nodule(7.0), reports=[a_report(words)])


@pytest.mark.parametrize(
    "words",
    [
        "7 mm nodule stable since 2019. No further follow-up is recommended.",
        "No follow-up imaging is needed.",
        "No routine CT follow-up required.",
        "No follow-up.",
        "Follow-up imaging is not necessary.",
        "The nodule does not require further follow-up.",
        "The nodule doesn't require further follow-up.",
        "These nodules don’t need any follow-up imaging.",
    ],
)
def test_ga_a_report_that_asks_for_no_follow_up_is_not_overruled_by_the_table(words: str) -> None:
    guidance = reported(words)

    assert guidance.urgency is Urgency.INFO
    assert (guidance.next_step, guidance.order, guidance.overdue) == (None, None, False)
    assert summary_of(guidance).startswith(NODULE + "report asks for no follow-up (see quote)")
    assert guidance.quotes
    assert guidance.statements, "the table's row stays to be read"


@pytest.mark.parametrize(
    "words",
    [
        "No follow-up is needed if the patient is at low risk.",
        "No follow-up is needed for the renal cyst.",
        "No prior follow-up is available.",
        "Recommend no delay in follow-up.",
    ],
)
def test_gc_words_that_do_not_plainly_ask_for_nothing_leave_the_table(words: str) -> None:
    guidance = reported(words)

    assert guidance.urgency is Urgency.WARNING
    assert guidance.next_step is not None
    assert guidance.headline is None


def test_ga_a_category_that_the_reader_coded_is_louder_than_the_words_and_nothing_is_drafted() -> None:
    guidance = reported("No further follow-up is recommended.", a_lung_rads("3"))

    assert guidance.urgency is Urgency.WARNING
    assert guidance.next_step is not None
    assert guidance.order is None
    assert guidance.notes == ("The report's words ask for no follow-up: no order is drafted.",)


def test_gc_words_that_ask_and_do_not_ask_draft_nothing() -> None:
    guidance = reported("No follow-up is needed for the granuloma. Recommend CT chest in 6 months for the nodule.")

    assert guidance.order is None
    assert guidance.urgency is Urgency.WARNING


@pytest.mark.parametrize(
    ("words", "interval"),
    [
        ("Recommend follow-up CT in 3 months.", "3 months"),
        ("A 3-month follow-up CT is suggested.", "3 months"),
        ("Recommend repeat CT after 2-4 weeks.", "2–4 weeks"),
    ],
)
def test_ga_another_interval_in_the_report_leads_and_nothing_is_drafted(words: str, interval: str) -> None:
    guidance = reported(words)

    assert summary_of(guidance).startswith(f"{NODULE}report asks for {interval} (see quote); table differs")
    assert guidance.order is None
    assert str(guidance.next_step and guidance.next_step.due) == "2027-04-01 to 2027-10-01", "the table's, not the report's"


@pytest.mark.parametrize("words", ["Recommend follow-up CT in 6 months.", "Recommend CT chest in 6 to 12 months."])
def test_ga_where_report_and_table_agree_the_order_is_drafted(words: str) -> None:
    guidance = reported(words)

    assert guidance.headline is None
    assert guidance.order is not None


@pytest.mark.parametrize(
    "words",
    [
        "Follow-up of known nodule, unchanged over 24 months.",
        "Follow up with PCP in 2 weeks.",
        "3-month follow-up CT shows a stable nodule.",
    ],
)
def test_gc_a_time_that_has_passed_or_is_a_visits_is_nobodys_interval(words: str) -> None:
    """The draft is held back, as before; the summary does not put the time into the report's mouth."""
    assert intervals_ahead(words) == ()
    assert reported(words).headline is None


def short_interval(category: str) -> dict[str, Any]:
    return an_observation(
        code=concept(f"{BASE}/imaging-assessment", "bi-rads"),
        valueCodeableConcept=concept(f"{BASE}/bi-rads", category, "5"),
        component=[{"code": concept(DCM, "111053"), "valueCodeableConcept": concept(DCM, "111142")}],
    )


def test_y1_the_short_interval_of_111142_is_the_rows_six_months() -> None:
    """Y1: 1 to 11 months would be overdue only after eleven; the table's six lie inside."""
    guidance = the_guidance(short_interval("3"))

    assert str(guidance.next_step and guidance.next_step.due) == "2027-04-01"
    assert "“" in guidance.statements[0].words


def test_y1_the_short_interval_stays_where_the_table_gives_none() -> None:
    guidance = the_guidance(short_interval("4"))

    assert str(guidance.next_step and guidance.next_step.due) == "2026-11-01 to 2027-09-01"
