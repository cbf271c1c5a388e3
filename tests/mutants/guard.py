"""A pytest plugin for the runs in a copy: it ends the run unless the code under test is the copy's own.

The package is installed editable, so that its original would be imported if the copy did not come first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

COPY_VARIABLE = "IMAGING_CDS_MUTANTS_COPY"
FOREIGN_CODE_STATUS = 77
PACKAGES = ("cds_service", "ehr_sandbox", "fhir_imaging", "imaging_cds", "imaging_findings", "imaging_server", "smart_app")


def foreign_modules(root: Path) -> list[str]:
    """The modules of ours that were imported from elsewhere than below ``root``."""
    ours = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in (*PACKAGES, "tests")}
    files = {name: getattr(module, "__file__", None) for name, module in ours.items()}
    return sorted(name for name, file in files.items() if file and not Path(file).resolve().is_relative_to(root.resolve()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Asked at the end, when everything that takes part has been imported."""
    foreign = foreign_modules(Path(os.environ[COPY_VARIABLE]))
    if foreign or not any(name in sys.modules for name in PACKAGES):
        pytest.exit(f"not the copy's code was imported: {foreign[:5]}", returncode=FOREIGN_CODE_STATUS)
