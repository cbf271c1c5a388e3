"""The world that most tests of the gateway begin with: one for a module, put back to the truth before each test.

A module whose gateway is another one states its own ``running``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.gateway_actors import World, a_world


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Starting it costs more than most tests of it."""
    with a_world(tmp_path_factory.mktemp("gateway")) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    """Nothing was asked yet, and both counterparts tell the truth."""
    running.start_anew()
    return running
