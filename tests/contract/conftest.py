"""The CDS service, the chart and the gateway that most contract tests begin with; a module that needs others states its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_cds_service, a_store
from tests.chart_actors import ChartActor, a_chart
from tests.gateway_worlds import running, world

__all__ = ["running", "world"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


@pytest.fixture(scope="module")
def running_chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    """One EHR for the whole module: starting it costs more than most tests of it."""
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        yield actor


@pytest.fixture
def chart(running_chart: ChartActor) -> ChartActor:
    running_chart.forgets_everything()
    return running_chart
