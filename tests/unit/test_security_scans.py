"""``make scans`` is in force: what is planted is found, and what passes is named with its reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.secret_scan import BASELINE, CHECKOUT, committed_files, scan, unknown

PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
CLOUD_KEY = "AKIA" + "Q3EGUKTR5VZ2WXYB"
PASSWORD = "Tr0ub4dor" + "-and-3-more"


def bandit(planted: Path) -> tuple[int, set[str]]:
    """Its exit status and what it found, by the project's own configuration."""
    command = [sys.executable, "-m", "bandit", "-q", "-f", "json", "-c", str(CHECKOUT / "pyproject.toml"), "-r", str(planted)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, {one["test_id"] for one in json.loads(ran.stdout)["results"]}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import subprocess\nsubprocess.run(input(), shell=True)\n", {"B602"}),
        ("import pickle\npickle.loads(input().encode())\n", {"B301", "B403"}),
        ("import requests\nrequests.get('https://ehr.example', verify=False, timeout=5)\n", {"B501"}),
        ("def find(db, name):\n    return db.execute(f'SELECT * FROM t WHERE n = {name}')\n", {"B608"}),
        ("assert input()\n", {"B101"}),
    ],
)
def test_bandit_finds_what_is_planted(tmp_path: Path, code: str, found: set[str]) -> None:
    (tmp_path / "planted.py").write_text(code)

    assert bandit(tmp_path) == (1, found)


def test_bandit_says_nothing_of_what_is_left_to_the_secrets_scan(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text('TOKEN_TYPE = "Bearer"\nimport subprocess\n')

    assert bandit(tmp_path) == (0, set())


def test_bandit_looks_through_every_package_of_the_wheel() -> None:
    (listed,) = re.findall(r"^PACKAGES := (.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)

    assert listed.split() == PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_each_exception_from_bandit_says_which_and_why() -> None:
    sources = [CHECKOUT / name for name in committed_files() if name.endswith(".py") and not name.startswith("tests/")]
    lines = [line for source in sources for line in source.read_text().splitlines() if "nosec" in line]

    assert lines
    assert [line for line in lines if not re.search(r"# nosec B\d{3} # noqa: S\d{3} - \w+", line)] == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("imaging_cds/planted.py", f'PACS_PASSWORD = "{PASSWORD}"\n', ["imaging_cds/planted.py:1: Secret Keyword"]),
        ("tests/planted.py", f'PACS_PASSWORD = "{PASSWORD}"\n', []),
        ("tests/planted.py", f'\nKEY = "{CLOUD_KEY}"\n', ["tests/planted.py:2: AWS Access Key"]),
        ("docs/planted.pem", "-----BEGIN EC " + "PRIVATE KEY-----\n", ["docs/planted.pem:1: Private Key"]),
        ("docs/planted.toml", 'password_file = "/run/credentials/imaging-cds/password"\n', []),
        ("imaging_cds/planted.py", f'PACS_PASSWORD = "{PASSWORD}"  # pragma: allowlist secret\n', []),
        ("imaging_cds/planted.py", f'# pragma: allowlist nextline secret\nPACS_PASSWORD = "{PASSWORD}"\n', []),
        ("imaging_cds/planted.py", f'KEY = use("{CLOUD_KEY}")\n', ["imaging_cds/planted.py:1: AWS Access Key"]),
        ("docs/planted.toml", "# Secret: IMAGING_CDS__PACS__MAIN__PASSWORD_FILE\n", []),
    ],
)
def test_the_secrets_scan_finds_what_is_planted(tmp_path: Path, name: str, text: str, found: list[str]) -> None:
    planted = tmp_path / name
    planted.parent.mkdir()
    planted.write_text(text)

    assert unknown(scan(tmp_path, [name]), scan(tmp_path, [])) == found


def test_the_baseline_names_files_of_the_project_and_nothing_of_a_machine() -> None:
    written = BASELINE.read_text()

    assert set(json.loads(written)["results"]) <= set(committed_files())
    assert "line_number" not in written
    assert "generated_at" not in written
    assert str(CHECKOUT) not in written


def test_the_bill_of_materials_lists_what_a_server_installs_with_its_hashes(tmp_path: Path) -> None:
    """CycloneDX, as ``make security`` writes it: the wheel's own needs, and PostgreSQL's driver."""
    written = re.search(r"cyclonedx-py (requirements .*) -o \S+ (\S+)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert written is not None
    listed, out = CHECKOUT / written[2], tmp_path / "sbom.json"
    command = ["-m", "cyclonedx_py", *written[1].split(), "-o", str(out), str(listed)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=60, cwd=CHECKOUT)
    components = json.loads(out.read_text())["components"]

    pinned = re.findall(r"^([\w.-]+)==(\S+) ", listed.read_text(), re.MULTILINE)
    assert "psycopg" in dict(pinned)
    assert sorted((one["name"], one["version"]) for one in components) == sorted(pinned)
    assert all(one["externalReferences"][0]["hashes"] for one in components)


def test_ci_runs_both_scans() -> None:
    assert "make scans\n" in (CHECKOUT / ".ci" / "run").read_text()
