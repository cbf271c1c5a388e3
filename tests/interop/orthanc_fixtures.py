"""Debian's Orthanc for a module of tests, and what starts demos on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.orthanc_demos import DemosOnOrthanc
from tests.interop.orthanc_process import Orthanc, running_orthanc


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An empty one."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def demos(orthanc: Orthanc, pytestconfig: pytest.Config, viewer_dir: Path) -> DemosOnOrthanc:
    """Of this module's Orthanc."""
    return DemosOnOrthanc(orthanc, pytestconfig, viewer_dir)
