"""Several processes of one synchronisation on PostgreSQL, one of them killed: each study once in FHIR (issue 6; DESIGN §9)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.contract.sync_kill_actors import PATIENCE_S, a_world, assert_fhir_agrees, wait_until_written
from tests.interop.postgresql_actors import a_postgresql_server

pytestmark = pytest.mark.interop
STUDIES = 600
SEED = 20261122


def test_processes_that_share_a_back_fill_bring_each_study_once_though_one_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - for a test that can be repeated
    with (
        a_postgresql_server() as server,
        a_world(tmp_path, chance, studies=STUDIES, database_url=server.new_database()) as world,
    ):
        processes = [world.start() for _ in range(3)]
        wait_until_written(world, STUDIES // 4, processes[0])
        processes[0].kill()
        processes[0].communicate()

        told = [process.communicate(timeout=PATIENCE_S) for process in processes[1:]]

        assert [process.returncode for process in processes[1:]] == [0, 0], told
        summaries = [json.loads(output) for output, _ in told]
        assert all(one["done"] > 0 for one in summaries), "they shared the work"
        assert [one["dead"] for one in summaries] == [0, 0]
        assert_fhir_agrees(world)
