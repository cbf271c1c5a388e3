"""A production install has no extras: the command line, the application and a synchronisation start without their libraries."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.program_texts import MAKES_AN_INSTALLATION

CHECKOUT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
# Before the first import of ours: what the extras bring is not there.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

REFUSED = frozenset(sys.argv[1].split(","))
sys.meta_path.insert(0, NotInstalled())
"""
CREATES_THE_APPLICATION = f"""{MAKES_AN_INSTALLATION}
print(create_app(settings).test_client().get("/readyz", base_url="https://imaging.example").status_code)
"""
SETTINGS = """
public_base_url = "https://imaging.example"
pacs = [{ name = "main", dicomweb_root = "https://pacs.example/dicom-web" }]

[state]
state_dir = "state"

[cds]
client_authentication = "off"

[[ehr]]
name = "hospital"
fhir_base = "https://ehr.example/fhir"

[[sync]]
name = "main"
pacs = "main"
endpoint_address = "https://imaging.example/imaging/hospital/dicom-web/main"
target = { fhir_base = "https://fhir.example/r4" }
"""


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def modules_of_extras() -> frozenset[str]:
    """Top-level modules that only the extras bring; a wheel of compiled parts (``psycopg[binary]``) counts too."""
    needed = {distribution(one) for one in PROJECT["dependencies"]}
    extra = {distribution(one) for extras in PROJECT["optional-dependencies"].values() for one in extras} - needed
    return frozenset(
        module
        for module, distributions in packages_distributions().items()
        if any(one.lower() in extra or one.lower().removesuffix("-binary") in extra for one in distributions)
    )


def without_extras(directory: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs the code in a Python of its own."""
    command = [sys.executable, "-c", WITHOUT + code, ",".join(sorted(modules_of_extras()))]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_refused_here_is_what_the_extras_bring() -> None:
    assert {"numpy", "pydicom", "highdicom", "PIL", "markdown_it", "openjpeg", "psycopg"} <= modules_of_extras()
    assert not {"flask", "fhirclient", "sqlalchemy", "cryptography"} & modules_of_extras()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import imaging_cds.cli; print('loaded')", "loaded"),
        (CREATES_THE_APPLICATION, "200"),
        ("from imaging_cds.cli import main; main(['sync', '--help'])", "reconcile"),
        ("from imaging_cds.cli import main; main(['config', '--describe'])", "sync.target.fhir_base"),
        ("import numpy", ""),
    ],
    ids=["the command line", "the application", "sync --help", "config --describe", "(an extra)"],
)
def test_it_starts_without_the_extras(tmp_path: Path, code: str, said: str) -> None:
    ran = without_extras(tmp_path, code)

    assert (ran.returncode == 0) is bool(said), ran.stderr
    assert said in ran.stdout


def test_files_cannot_be_read_without_the_extra_and_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(SETTINGS)
    settings = ["--config", "app.toml"]
    code = f"from imaging_cds.cli import main; main(['migrate', *{settings}]); exit(main(['sync', 'files', *{settings}, '.']))"

    ran = without_extras(tmp_path, code)

    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert "pip install 'imaging-cds[dicom]'" in ran.stderr
