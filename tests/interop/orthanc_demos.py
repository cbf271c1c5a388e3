"""Demos that have Debian's Orthanc as their archive (``--pacs``, ``--pacs-user``), with the images that all demos share.

The password goes in by the environment, as operators give it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.interop.orthanc_process import USER, Orthanc
from tests.interop.outsiders import demo_images, with_images

T = TypeVar("T")


class DemosOnOrthanc:
    """Starts demos that have no archive of their own: nobody listens where the sandbox's would be."""

    def __init__(self, orthanc: Orthanc, config: pytest.Config, viewer_dir: Path) -> None:
        self._orthanc = orthanc
        self._config = config
        self._viewer_dir = viewer_dir

    def run(self, start: Callable[..., AbstractContextManager[T]], directory: Path, *more: str) -> AbstractContextManager[T]:
        """One of them in a directory that does not exist yet, as ``start`` does it; ``more`` arguments as ``--seed``."""
        here = with_images(directory, demo_images(self._config))
        foreign = (f"--pacs={self._orthanc.dicomweb}", f"--pacs-user={USER}", *more)
        return start(here, self._viewer_dir, *foreign, environment={"IMAGING_CDS_PACS_PASSWORD": self._orthanc.password})
