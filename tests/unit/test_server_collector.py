"""A worker spares the cycle collector what it would look at in vain, once its application is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from flask import Flask

from imaging_cds.server import _Gunicorn


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_a_worker_freezes_what_its_application_loaded_and_collects_less_often() -> None:
    made = Flask("one")

    assert _Gunicorn(lambda: made, {}).load() is made

    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == (50_000, 10, 10)
    assert gc.isenabled()


@pytest.mark.usefixtures("collector")
def test_a_cycle_is_still_collected_in_the_end() -> None:
    _Gunicorn(lambda: Flask("one"), {}).load()
    collected = gc.get_stats()[0]["collections"]

    for _ in range(60_000):
        cycle: list[object] = []
        cycle.append(cycle)

    assert gc.get_stats()[0]["collections"] > collected
