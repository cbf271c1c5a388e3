"""The table of how long each suite took, and the budgets that it may not outgrow in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.side_by_side import share_of_a_core, workers
from tests.suite_times import BUDGET_MINUTES, SuiteTime, over_budget, suite_times, table

CHECKOUT = Path(__file__).parent.parent.parent
README = CHECKOUT / "tests" / "README.md"
BUDGETS = {"contract": 36.0, "unit": 4.0, "browser": 33.0}
BUDGETED_RUN = """
from tests.suite_times import SuiteBudgets

def pytest_configure(config):
    config.pluginmanager.register(SuiteBudgets(config, {"unit": %s, "contract": 1.0}))
"""


def report(nodeid: str, when: str, seconds: float) -> pytest.TestReport:
    return pytest.TestReport(nodeid, (nodeid, 1, nodeid), {}, "passed", None, when, duration=seconds)  # type: ignore[arg-type]


def took(suite: str, minutes: float, **modules: float) -> SuiteTime:
    return SuiteTime(suite=suite, tests=3, minutes=minutes, modules=tuple(modules.items()))


def test_each_suite_has_the_time_of_all_its_tests_and_their_preparation() -> None:
    slow, other = "tests/interop/test_hapi.py::test_one[R4]", "tests/unit/test_uids.py::test_two"
    reports = [report(slow, "setup", 60), report(slow, "call", 30), report(slow, "teardown", 30), report(other, "call", 6)]

    assert [(one.suite, one.tests, one.minutes) for one in suite_times(reports)] == [("interop", 1, 2.0), ("unit", 1, 0.1)]


def test_tests_that_share_a_core_count_with_their_share_of_it() -> None:
    """Three workers on two cores: what they took adds up to what the clock says, times two."""
    reports = [report(f"tests/unit/test_{worker}.py::test_one", "call", 60) for worker in "abc"]

    assert [one.minutes for one in suite_times(reports, share=share_of_a_core(3, 2))] == [pytest.approx(2.0)]
    assert share_of_a_core(1, 2) == share_of_a_core(0, 2) == 1


@pytest.mark.parametrize(("of_cores", "expected"), [(1, 1), (2, 3), (3, 4), (8, 12)])
def test_half_as_many_tests_again_as_cores_run_side_by_side(of_cores: int, expected: int) -> None:
    assert workers(of_cores) == expected


def test_what_stands_in_no_suite_is_not_left_out() -> None:
    assert [one.suite for one in suite_times([report("tests/test_more.py::test_one", "call", 1)])] == ["other"]


def test_a_suite_names_its_slowest_modules_first() -> None:
    reports = [report("tests/unit/test_a.py::test_1", "call", 60), report("tests/unit/test_b.py::test_1", "call", 90)]
    reports += [report("tests/unit/test_a.py::test_2", "call", 60)]

    assert suite_times(reports)[0].modules == (("tests/unit/test_a.py", 2.0), ("tests/unit/test_b.py", 1.5))


def test_every_folder_of_tests_has_a_budget_and_all_fit_into_an_hour_of_two_cores() -> None:
    folders = {path.parent.name for path in (CHECKOUT / "tests").glob("*/test_*.py")}

    assert folders - {"benchmarks"} == BUDGET_MINUTES.keys()
    for suite, minutes in BUDGET_MINUTES.items():
        assert re.search(rf"^\| `{suite}` \|.*\| {minutes:g} \|$", README.read_text(), re.MULTILINE), suite
    assert sum(BUDGET_MINUTES.values()) / 2 <= 56


def test_the_table_tells_the_share_of_the_budget_and_of_all_work() -> None:
    lines = list(table([took("contract", 18), took("unit", 2), took("other", 0)], BUDGETS))

    assert lines[0].startswith("contract")
    assert "18.0 min,  50% of  36 min" in lines[0]
    assert " 90% of all" in lines[0]
    assert "50% of   4 min" in lines[1]
    assert "no budget" in lines[2]


def test_a_suite_over_its_budget_is_named_with_figures_and_where_the_time_went() -> None:
    told = over_budget([took("browser", 27.0), took("unit", 4.2, test_slow=3.0, test_quick=0.3), took("other", 0.4)], BUDGETS)

    assert len(told) == 2
    assert "unit: 4.2 minutes of work, and its budget is 4" in told[0]
    assert "test_slow 3.0 min, test_quick 0.3 min" in told[0]
    assert told[1].startswith("other: 0.4 minutes")


@pytest.mark.parametrize(
    ("budget", "no_skip", "more", "code"),
    [
        ("0.0001", "1", ("-p", "xdist", "-n", "1"), 1),
        ("1.0", "1", (), 0),
        ("0.0001", "", (), 0),
        ("0.0001", "1", ("-k", "slow"), 0),
        ("0.0001", "1", ("tests/unit",), 0),
    ],
    ids=["over", "within", "not-in-ci", "some-by-name", "some-by-folder"],
)
def test_only_a_whole_run_of_ci_fails_by_its_budget(
    budget: str, no_skip: str, more: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    unit = tmp_path / "tests" / "unit"
    unit.mkdir(parents=True)
    (unit / "test_one.py").write_text("import time\n\ndef test_slow():\n    time.sleep(0.05)\n")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    (tmp_path / "conftest.py").write_text(BUDGETED_RUN % budget)

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *more]
    environment = {**os.environ, "IMAGING_CDS_NO_SKIP": no_skip, "IMAGING_CDS_SOAK": "1", "PYTHONPATH": str(CHECKOUT)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert run.returncode == code, run.stdout + run.stderr
    assert ("over its time budget: unit: 0.0 minutes" in run.stdout) == bool(code)
    assert ("tests/unit/test_one.py" in run.stdout.partition("Slowest:")[2]) == bool(code)
