"""Intervals and the dates that follow from a study's date."""

from __future__ import annotations

from datetime import date

import pytest

from imaging_findings.history import ReportFacts
from imaging_findings.intervals import DueWindow, Interval, Unit, add_months, whole_years
from imaging_findings.quantities import interval_in
from imaging_findings.quotes import quotes_of


@pytest.mark.parametrize(
    ("interval", "due"),
    [
        (Interval(10, 10, Unit.DAY), "2026-09-10"),
        (Interval(8, 12, Unit.WEEK), "2026-10-26 to 2026-11-23"),
        (Interval(6, 6, Unit.MONTH), "2027-02-28"),
        (Interval(18, 24, Unit.MONTH), "2028-02-29 to 2028-08-31"),
        (Interval(2, 2, Unit.YEAR), "2028-08-31"),
    ],
)
def test_due_dates_are_calendar_dates(interval: Interval, due: str) -> None:
    assert str(interval.due(date(2026, 8, 31))) == due


def test_the_last_day_is_not_overdue() -> None:
    window = DueWindow(date(2026, 1, 1), date(2026, 6, 30))

    assert not window.is_overdue(date(2026, 6, 30))
    assert window.is_overdue(date(2026, 7, 1))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3, 2), (-1, 1)])
def test_an_interval_is_positive_and_ascending(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="positive and ascending"):
        Interval(low, high, Unit.MONTH)


def test_the_calendar_ends() -> None:
    with pytest.raises(OverflowError):
        add_months(date(9999, 12, 1), 1)


@pytest.mark.parametrize(("on", "years"), [(date(2026, 2, 27), 25), (date(2026, 2, 28), 25), (date(2026, 3, 1), 26)])
def test_whole_years_of_a_leap_day_birth(on: date, years: int) -> None:
    assert whole_years(date(2000, 2, 29), on) == years


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ({"valueQuantity": {"value": 6, "code": "mo"}}, "6 months"),
        ({"valueQuantity": {"value": 1, "code": "a"}}, "1 year"),
        ({"valueRange": {"low": {"value": 6, "code": "mo"}, "high": {"value": 12, "code": "mo"}}}, "6–12 months"),
        ({"valueRange": {"low": {"value": 6, "code": "mo"}, "high": {"value": 1, "code": "a"}}}, None),
        ({"valueRange": {"low": {"value": 6, "code": "mo"}}}, None),
        ({"valueQuantity": {"value": 6.5, "code": "mo"}}, None),
        ({"valueQuantity": {"value": 6, "code": "min"}}, None),
        ({"valueQuantity": {"value": 6, "comparator": "<", "code": "mo"}}, None),
        ({"valueQuantity": {"value": 10**9, "code": "mo"}}, None),
        ({}, None),
    ],
)
def test_a_coded_interval_is_read_strictly(component: dict[str, object], expected: str | None) -> None:
    interval = interval_in(component)

    assert (str(interval) if interval else None) == expected


@pytest.mark.parametrize(
    ("sentence", "intervals"),
    [
        ("Recommend CT in 6 months.", ["6 months"]),
        ("Follow-up CT in 6-12 months is advised.", ["6–12 months"]),
        ("Repeat in 3 to 6 months, then in 2 years.", ["3–6 months", "2 years"]),
        ("A 6-month follow-up is suggested.", ["6 months"]),
        ("Follow-up in 12-6 months.", []),
        ("Follow-up as clinically needed.", []),
    ],
)
def test_a_quoted_sentence_names_its_intervals(sentence: str, intervals: list[str]) -> None:
    (quote,) = quotes_of(a_report(sentence))

    assert [str(one) for one in quote.intervals] == intervals


def test_only_sentences_about_follow_up_are_quoted() -> None:
    report = a_report(
        "Nodule of 7 mm, unchanged for 24 months. No effusion.\nFollow-up CT in 12 months. " + "Recommend x" * 100
    )

    quotes = [quote.sentence for quote in quotes_of(report)]

    assert quotes[0] == "Follow-up CT in 12 months."
    assert all(len(quote) <= 300 for quote in quotes)


def a_report(conclusion: str) -> ReportFacts:
    return ReportFacts(
        reference="DiagnosticReport/r",
        day=None,
        signed_by=None,
        conclusion=conclusion,
        studies=frozenset(),
        results=frozenset(),
    )
