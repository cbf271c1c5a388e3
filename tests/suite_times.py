"""How long each suite took in all: printed after every run, so that a suite which grows too long is seen while it is small.

Minutes of work, not of the clock: tests of several workers at once add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

SUITES = ("unit", "contract", "security", "browser", "interop")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTime:
    """What one suite took."""

    suite: str
    tests: int
    minutes: float


def suite_times(reports: Iterable[pytest.TestReport]) -> list[SuiteTime]:
    """By suite, the longest first; preparing and clearing up count, for a test once."""
    seconds: dict[str, float] = defaultdict(float)
    tests: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        seconds[_suite_of(report.nodeid)] += report.duration
        tests[_suite_of(report.nodeid)].add(report.nodeid)
    found = [SuiteTime(suite=suite, tests=len(names), minutes=seconds[suite] / 60) for suite, names in tests.items()]
    return sorted(found, key=lambda one: -one.minutes)


def _suite_of(nodeid: str) -> str:
    folder = nodeid.removeprefix("tests/").partition("/")[0]
    return folder if folder in SUITES else "other"
