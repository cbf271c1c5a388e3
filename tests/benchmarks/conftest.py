"""One stack of servers and one report for all benchmarks of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.benchmarks.report import Report
from tests.benchmarks.stack import Stack, a_stack
from tests.interop.outsiders import demo_images


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with a_stack(tmp_path_factory.mktemp("bench") / "demo", demo_images(pytestconfig)) as running:
        yield running


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report()
    yield made
    if made.rows:
        made.write()
