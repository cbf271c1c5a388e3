"""FHIR dates as intervals, and the prefixes that compare them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehr_sandbox.fhir_dates import PREFIXES, Interval, compare, parse_interval, split_prefix

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024", 366 * 86400),
        ("2024-02", 29 * 86400),
        ("2024-02-29", 86400),
        ("2024-02-29T10:00Z", 60),
        ("2024-02-29T10:00:00Z", 1),
        ("2024-02-29T10:00:00.5Z", 0.1),
        ("2024-02-29T10:00:00 02:00", 1),
        ("2024-12", 31 * 86400),
    ],
)
def test_precision_makes_the_width(text: str, seconds: float) -> None:
    interval = parse_interval(text)

    assert interval is not None
    assert interval.high - interval.low == pytest.approx(seconds)


def test_zones_are_resolved_and_a_missing_one_is_utc() -> None:
    assert parse_interval("2026-05-10T10:00:00+02:00") == parse_interval("2026-05-10T08:00:00Z")
    assert parse_interval("2026-05-10T08:00:00") == parse_interval("2026-05-10T08:00:00Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13", "2024-02-30", "24", "2024-1-1", "2024-01-01T25:00", "9999"])
def test_what_is_no_date_is_none_and_never_an_error(text: str) -> None:
    assert parse_interval(text) is None


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_interval(split_prefix(text)[1])


DAY, NEXT_DAY, MONTH = Interval(10, 20), Interval(20, 30), Interval(0, 100)


@pytest.mark.parametrize(
    ("found", "asked", "satisfied"),
    [
        (DAY, DAY, {"eq", "ge", "le", "ap"}),
        (DAY, NEXT_DAY, {"ne", "lt", "le", "eb", "ap"}),
        (NEXT_DAY, DAY, {"ne", "gt", "ge", "sa", "ap"}),
        (DAY, MONTH, {"eq", "ge", "le", "ap"}),
        (MONTH, DAY, {"ne", "gt", "ge", "lt", "le", "ap"}),
    ],
)
def test_prefixes_compare_intervals(found: Interval, asked: Interval, satisfied: set[str]) -> None:
    assert {prefix for prefix in PREFIXES if compare(prefix, found, asked, NOW)} == satisfied
