"""A back-fill killed at random moments, between servers that fail at random: nothing lost, nothing twice (issue 6)."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from tests.contract.sync_kill_actors import (
    PATIENCE_S,
    World,
    a_world,
    assert_fhir_agrees,
    wait_until_written,
)
from tests.contract.sync_kill_servers import BROKEN, SILENT
from tests.examples import SOAK

STUDIES = 2000
KILLS = 6
GROWING = 150
SEEDS = range(20261121, 20261121 + SOAK)
"""Of what is left to chance, for a test that can be repeated."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_back_fill_that_is_killed_again_and_again_ends_exactly_as_the_archive_is(tmp_path: Path, seed: int) -> None:
    """Kills come when so many resources are written, at random, so that each process has done something."""
    chance = random.Random(seed)  # noqa: S311 - for a test that can be repeated
    with a_world(tmp_path, chance, studies=STUDIES) as world:
        killed_at = []
        for threshold in sorted(chance.sample(range(50, STUDIES - 200), KILLS)):
            process = world.start()
            wait_until_written(world, threshold, process)
            time.sleep(chance.random() / 10)
            process.kill()
            process.communicate()
            killed_at.append(world.written())

        last = world.start()
        told, errors = last.communicate(timeout=PATIENCE_S)

        assert last.returncode == 0, errors[-3000:]
        assert len(set(killed_at)) == KILLS
        summary = json.loads(told)
        assert (summary["dead"], summary["waiting"]) == (0, 0)
        assert_fhir_agrees(world)
        for seen in (one.seen for one in world.faults):
            assert {429, 500, 503, BROKEN, SILENT} <= seen.keys()
        assert {409, 412} <= world.faults[1].seen.keys()
        assert world.faults[1].lost > 0, "some writes were done and not answered"
        assert world.archive.missed > 0, "some studies were not found when they were looked at"


@pytest.mark.parametrize("seed", SEEDS)
def test_studies_that_grow_while_the_service_is_killed_again_and_again_stand_as_they_are_at_last(
    tmp_path: Path, seed: int
) -> None:
    """A change that comes while a worker has the study is not lost either, whoever is killed. SIGTERM ends it in order."""
    chance = random.Random(seed)  # noqa: S311 - for a test that can be repeated
    with a_world(tmp_path, chance, studies=GROWING, recent=True) as world:
        for _ in range(4):
            process = world.start()
            wait_until_written(world, 1, process)
            for _ in range(60):
                world.archive.grows(chance.randrange(GROWING))
                time.sleep(0.03)
            process.kill()
            process.communicate()

        last = world.start()
        wait_until_it_agrees(world)
        asked_at = time.monotonic()
        last.terminate()
        _, errors = last.communicate(timeout=PATIENCE_S)

        assert last.returncode == 0, errors[-3000:]
        assert time.monotonic() - asked_at < 10
        assert_fhir_agrees(world, are_written_once=False)


def wait_until_it_agrees(world: World) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return assert_fhir_agrees(world, are_written_once=False)
        except AssertionError:
            if time.monotonic() > give_up_at:
                raise
        time.sleep(0.1)
