"""How long each suite took in all, printed after every long run; in CI a suite that outgrows its budget fails the run.

Minutes of work, not of the clock: of one core, to which tests that share it (``side_by_side``) add up. CI has two cores and an
hour, of which checks and installing take a few minutes: all budgets together are 55 minutes on two cores. Who needs more takes
it from another suite.
The minutes are those of one machine; on one that proves slower while the tests run (``machine_speed``) they are more.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.machine_speed import MachineSpeed
from tests.side_by_side import cores, share_of_a_core

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

BUDGET_MINUTES: Mapping[str, float] = {"contract": 33, "browser": 32, "interop": 23, "security": 17, "unit": 5}
OTHER = "other"
"""Whatever lies in none of these folders. It has no budget: a suite of its own gets one here."""
MANY_REPORTS = 1000
"""From here on a run is one of whole suites, and its times are printed."""
_SLOWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTime:
    """What one suite took."""

    suite: str
    tests: int
    minutes: float
    modules: tuple[tuple[str, float], ...]
    """Each module with its minutes, the longest first."""


def suite_times(
    reports: Iterable[pytest.TestReport], budgets: Mapping[str, float] = BUDGET_MINUTES, *, share: float = 1.0
) -> list[SuiteTime]:
    """By suite, the longest first; preparing and clearing up count, for a test once. ``share``: what each had of a core."""
    seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    tests: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        suite = _suite_of(report.nodeid, budgets)
        seconds[suite][report.nodeid.partition("::")[0]] += report.duration * share
        tests[suite].add(report.nodeid)
    found = [
        SuiteTime(
            suite=suite,
            tests=len(names),
            minutes=sum(seconds[suite].values()) / 60,
            modules=tuple(sorted(((name, s / 60) for name, s in seconds[suite].items()), key=lambda one: -one[1])),
        )
        for suite, names in tests.items()
    ]
    return sorted(found, key=lambda one: -one.minutes)


def _suite_of(nodeid: str, budgets: Mapping[str, float]) -> str:
    folder = nodeid.removeprefix("tests/").partition("/")[0]
    return folder if folder in budgets else OTHER


def table(times: Sequence[SuiteTime], budgets: Mapping[str, float] = BUDGET_MINUTES) -> Iterator[str]:
    """A line for each suite: its minutes, its share of its budget and of all work."""
    whole = sum(one.minutes for one in times) or 1
    for one in times:
        budget = budgets.get(one.suite, 0)
        used = f"{one.minutes / budget:4.0%} of {budget:3.3g} min" if budget else "no budget"
        yield f"{one.suite:9} {one.minutes:6.1f} min, {used:15}, {one.minutes / whole:4.0%} of all {one.tests:6} tests"


def over_budget(times: Sequence[SuiteTime], budgets: Mapping[str, float] = BUDGET_MINUTES) -> list[str]:
    """In words, each suite that took more than it may, with the modules where most of it went."""
    return [_in_words(one, budgets.get(one.suite, 0)) for one in times if one.minutes > budgets.get(one.suite, 0)]


def _in_words(one: SuiteTime, budget: float) -> str:
    slowest = ", ".join(f"{name} {took:.1f} min" for name, took in one.modules[:_SLOWEST])
    return (
        f"{one.suite}: {one.minutes:.1f} minutes of work, and its budget is {budget:.3g}. Make it faster, or change the "
        f"budgets in tests/suite_times.py. Slowest: {slowest}."
    )


class SuiteBudgets:
    """The pytest plugin, by which a run fails in words."""

    def __init__(self, config: pytest.Config, budgets: Mapping[str, float] = BUDGET_MINUTES) -> None:
        self._config, self._base = config, budgets
        self._speed = MachineSpeed()

    @property
    def _budgets(self) -> Mapping[str, float]:
        return {suite: round(minutes * self._speed.slowness, 4) for suite, minutes in self._base.items()}

    def pytest_runtest_logreport(self) -> None:
        """With each test that has ended, where all of them are counted."""
        if not hasattr(self._config, "workerinput"):
            self._speed.look()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Before pytest tells how it went. A run that failed already keeps its status."""
        if exitstatus == pytest.ExitCode.OK and self._counts() and over_budget(self._times(), self._budgets):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        reports = self._reports()
        if len(reports) <= MANY_REPORTS and not self._counts():
            return
        times = self._times()
        terminalreporter.section("minutes of work of each suite")
        for line in table(times, self._budgets):
            terminalreporter.write_line(line)
        terminalreporter.write_line(str(self._speed))
        for line in over_budget(times, self._budgets) if self._counts() else ():
            terminalreporter.write_line(f"FAILED: over its time budget: {line}", red=True)

    def _counts(self) -> bool:
        """Whether this is all of CI: nothing may be skipped, and nobody chose some tests, or had them run longer."""
        config = self._config
        chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "lf", "maxfail"))
        whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen
        soaking = int(os.environ.get("IMAGING_CDS_SOAK", "1")) > 1
        return bool(os.environ.get("IMAGING_CDS_NO_SKIP")) and whole and not soaking

    def _times(self) -> list[SuiteTime]:
        share = share_of_a_core(self._config.getoption("numprocesses", None) or 1, cores())
        return suite_times(self._reports(), self._budgets, share=share)

    def _reports(self) -> list[pytest.TestReport]:
        """Those of all workers; a worker itself has none."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or hasattr(self._config, "workerinput"):
            return []
        return [one for kind in terminal.stats.values() for one in kind if isinstance(one, pytest.TestReport)]
