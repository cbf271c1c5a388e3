"""The table of how long each suite took."""

from __future__ import annotations

import pytest

from tests.suite_times import suite_times


def report(nodeid: str, when: str, seconds: float) -> pytest.TestReport:
    return pytest.TestReport(nodeid, (nodeid, 1, nodeid), {}, "passed", None, when, duration=seconds)  # type: ignore[arg-type]


def test_each_suite_has_the_time_of_all_its_tests_and_their_preparation() -> None:
    slow, other = "tests/interop/test_hapi.py::test_one[R4]", "tests/unit/test_uids.py::test_two"
    reports = [report(slow, "setup", 60), report(slow, "call", 30), report(slow, "teardown", 30), report(other, "call", 6)]

    assert [(one.suite, one.tests, one.minutes) for one in suite_times(reports)] == [("interop", 1, 2.0), ("unit", 1, 0.1)]


def test_what_stands_in_no_suite_is_not_left_out() -> None:
    assert [one.suite for one in suite_times([report("tests/test_more.py::test_one", "call", 1)])] == ["other"]
