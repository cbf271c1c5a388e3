"""Every counterpart killed, slowed and talking rubbish in the middle of a session, as one table: images and the study list.

What each fault looks like in more detail is in ``test_gateway_faults``, and on PostgreSQL in ``test_gateway_faults_database``.

Spec: SMART Imaging Access F5, F8, F10, W3, W5, W7, P4; security groups 6, 18, 19, 34.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE
from tests.security.gateway_actors import Answer
from tests.security.gateway_faults import LEAK, Fault, Troubled, a_troubled_world
from tests.security.gateway_stubs import FRAME, METADATA, PACS_PASSWORD, PRIOR_A, STUDY_B
from tests.security.test_gateway_faults import until

KEPT_S = 0.2
LIST = "/imaging/north/fhir/ImagingStudy?patient=pat-a"
PRIOR = f"/studies/{PRIOR_A}/metadata"
PROBLEM, OUTCOME = "application/problem+json", "application/fhir+json"


class Trouble(StrEnum):
    """What happens to a counterpart."""

    KILLED = "killed"
    SLOWED = "slowed"
    RUBBISH = "rubbish"


FAULTS = {Trouble.KILLED: Fault.GONE, Trouble.SLOWED: Fault.SLOW, Trouble.RUBBISH: Fault.NOISE}
KILLED, SLOWED, RUBBISH = Trouble
# What the caller of an image is told, by server and trouble: where it must be decided again, and while a decision is kept.
STATUS: dict[str, dict[Trouble, tuple[int, int]]] = {
    "authorization": {KILLED: (503, 200), SLOWED: (503, 200), RUBBISH: (503, 200)},
    "fhir": {KILLED: (503, 200), SLOWED: (503, 200), RUBBISH: (503, 200)},
    "pacs": {KILLED: (503, 502), SLOWED: (503, 504), RUBBISH: (503, 502)},
    "database": {KILLED: (503, 200), SLOWED: (503, 200), RUBBISH: (503, 200)},
}
CELLS = [(server, trouble) for server, row in STATUS.items() for trouble in row]
CELL_NAMES = [f"{server}-{trouble}" for server, trouble in CELLS]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Troubled]:
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=KEPT_S) as running:
        yield running


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Troubled]:
    """A gateway that keeps its decisions for the whole test."""
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=60) as running:
        yield running


@contextmanager
def in_trouble(world: Troubled, server: str, trouble: Trouble, state_dir: Path) -> Iterator[None]:
    """The trouble begins, and ends."""
    if server == "database":
        with DATABASE[trouble](world, state_dir / SQLITE_FILE):
            yield
        return
    world.lines[server].break_(FAULTS[trouble])
    try:
        yield
    finally:
        world.lines[server].mend()


@contextmanager
def gone(world: Troubled, file: Path) -> Iterator[None]:
    """The file is moved away below the running process, as a volume that is not mounted any more."""
    world.store.engine.dispose()
    away = file.with_name("away")
    for one in file.parent.glob(f"{file.name}*"):
        one.rename(one.with_name(one.name.replace(file.name, away.name)))
    yield
    world.store.engine.dispose()
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    for one in file.parent.glob(f"{away.name}*"):
        one.rename(one.with_name(one.name.replace(away.name, file.name)))


@contextmanager
def locked(world: Troubled, file: Path) -> Iterator[None]:
    """Another process holds it, for longer than a request waits."""

    def impatient(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=300")

    event.listen(world.store.engine, "connect", impatient)
    world.store.engine.dispose()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.execute("ROLLBACK")
    other.close()
    event.remove(world.store.engine, "connect", impatient)


@contextmanager
def overwritten(world: Troubled, file: Path) -> Iterator[None]:
    """Its content is something else."""
    world.store.engine.dispose()
    good = file.read_bytes()
    file.write_bytes(LEAK.encode() * (len(good) // len(LEAK)))
    yield
    world.store.engine.dispose()
    file.write_bytes(good)


DATABASE: dict[Trouble, Callable[[Troubled, Path], Any]] = {
    Trouble.KILLED: gone,
    Trouble.SLOWED: locked,
    Trouble.RUBBISH: overwritten,
}


def has_no_leak(answer: Answer) -> bool:
    said = answer.body.decode("latin-1") + str(answer.headers)
    secrets = (LEAK, "SYNTHETIC", "pacs.internal", PACS_PASSWORD, "pixels of", "Traceback", "introspection-secret", "sqlite")
    return not any(one in said for one in secrets)


def listed(world: Troubled, token: str) -> Answer:
    return world.send("GET", LIST, {"Authorization": f"Bearer {token}"})


def test_the_table_has_no_empty_cell() -> None:
    assert len(CELLS) == len(STATUS) * len(Trouble) == 12


@pytest.mark.parametrize(("server", "trouble"), CELLS, ids=CELL_NAMES)
def test_what_must_be_decided_is_refused_in_trouble_and_served_again_without_a_restart(
    world: Troubled, tmp_path: Path, server: str, trouble: Trouble
) -> None:
    token = world.opaque()
    assert until(lambda: (world.get(FRAME, token).status, listed(world, token).status) == (200, 200))
    time.sleep(KEPT_S)
    with in_trouble(world, server, trouble, tmp_path):
        retrieved = len(world.pacs.retrievals())
        started = time.monotonic()
        images = [world.get(path, token) for path in (PRIOR, METADATA)]
        studies, foreign = listed(world, token), world.get(f"/studies/{STUDY_B}/metadata", token)
        took = time.monotonic() - started
        retrieved = len(world.pacs.retrievals()) - retrieved

    assert {one.status for one in (*images, studies)} == {STATUS[server][trouble][0]}
    assert foreign.status in (403, 503)
    assert retrieved == 0, "no image was asked for"
    assert all(has_no_leak(one) for one in (*images, studies, foreign))
    assert {one.headers.get_content_type() for one in (*images, foreign)} == {PROBLEM}
    assert studies.headers.get_content_type() == OUTCOME
    assert all(one.headers["Retry-After"].isdigit() for one in (*images, studies))
    assert took < 20, "nobody waited for ever"
    assert until(lambda: world.get(PRIOR, token).status == 200), "images, without a restart"
    assert until(lambda: listed(world, token).status == 200), "the list, without a restart"
    assert until(lambda: world.get(f"/studies/{STUDY_B}/metadata", token).status == 403)


@pytest.mark.parametrize(("server", "trouble"), CELLS, ids=CELL_NAMES)
def test_while_a_decision_is_kept_only_the_archive_itself_stops_its_images(
    keeping: Troubled, tmp_path: Path, server: str, trouble: Trouble
) -> None:
    token = keeping.opaque()
    assert until(lambda: keeping.get(METADATA, token).status == 200)
    with in_trouble(keeping, server, trouble, tmp_path):
        image, foreign = keeping.get(METADATA, token), keeping.get(f"/studies/{STUDY_B}/metadata", token)

    assert image.status == STATUS[server][trouble][1]
    assert foreign.status in (403, 503)
    assert has_no_leak(foreign)
    assert image.status == 200 or has_no_leak(image)
    assert until(lambda: keeping.get(METADATA, token).status == 200), "without a restart"
