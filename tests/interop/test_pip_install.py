"""The wheel in an empty virtual environment by pip alone, as a site installs it (docs/operations.md), and served from there.

Needs a package index, which pip's own configuration names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import tomli_w

from tests.conftest import CHECKOUT, free_port_number
from tests.interop.outsiders import curl
from tests.interop.postgresql_actors import a_postgresql_server

pytestmark = pytest.mark.interop
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that holds the product and what it needs."""

    directory: Path

    def program(self, name: str) -> str:
        return str(self.directory / "bin" / name)

    def runs(self, name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """With nothing of ours in the environment."""
        command = [self.program(name), *arguments]
        return subprocess.run(command, cwd=cwd, env=_bare(cwd), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What the wheel needs by the reviewed hashes, then the wheel itself, which no list can have a hash of."""
    home = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True, timeout=60)
    (wheel,) = home.glob("*.whl")
    made = Installed(home / "venv")
    subprocess.run([sys.executable, "-m", "venv", str(made.directory)], check=True, capture_output=True, timeout=120)
    pip = [made.program("pip"), "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "--require-hashes", "-r", str(CHECKOUT / "requirements" / "runtime.txt")], check=True, timeout=170)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, timeout=60)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Of a small site."""
    port = free_port_number()
    table = {
        "public_base_url": f"http://127.0.0.1:{port}",
        "state": {"state_dir": str(tmp_path / "state")},
        "server": {"host": "127.0.0.1", "port": port, "workers": 1},
        "cds": {"client_authentication": "off"},
        "ehr": [{"name": "hospital", "fhir_base": "https://ehr.hospital.example/fhir"}],
    }
    path = tmp_path / "imaging-cds.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def test_pip_finds_everything_that_the_wheel_says_it_needs(installed: Installed, tmp_path: Path) -> None:
    checked = installed.runs("pip", "check", cwd=tmp_path)
    loaded = installed.runs("python", "-c", "import imaging_cds.app; print(imaging_cds.app.__file__)", cwd=tmp_path)

    assert (checked.returncode, checked.stdout) == (0, "No broken requirements found.\n")
    assert Path(loaded.stdout.strip()).is_relative_to(installed.directory), loaded.stderr


def test_settings_are_explained_and_the_database_is_made(installed: Installed, settings: Path, tmp_path: Path) -> None:
    explained = installed.runs("imaging-cds", "config", "--config", str(settings), cwd=tmp_path)
    migrated = installed.runs("imaging-cds", "migrate", "--config", str(settings), cwd=tmp_path)

    assert (explained.returncode, migrated.returncode) == (0, 0), explained.stderr + migrated.stderr
    assert 'fhir_base = "https://ehr.hospital.example/fhir"' in explained.stdout
    assert list((tmp_path / "state").glob("*.sqlite3*"))


def test_what_is_left_out_says_how_to_get_it(installed: Installed, tmp_path: Path) -> None:
    demo = installed.runs("imaging-cds", "demo", cwd=tmp_path)

    assert demo.returncode == 2
    assert "imaging-cds[demo]" in demo.stderr


def test_it_serves_its_pages_and_ends_when_told_to(installed: Installed, settings: Path, tmp_path: Path) -> None:
    with served(installed, settings, tmp_path) as (url, process):
        answers = {
            path: curl("GET", f"{url}{path}") for path in ("/", "/static/app.css", "/cds-services", "/healthz", "/readyz")
        }
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert f"{url}/callback" in answers["/"].text
    assert answers["/static/app.css"].headers["Content-Type"].startswith("text/css")
    assert answers["/cds-services"].json()["services"]
    assert status == 0


def test_with_the_servers_list_it_keeps_its_state_in_postgresql(installed: Installed, settings: Path, tmp_path: Path) -> None:
    """As docs/operations.md installs a server: PostgreSQL's driver by its hash too."""
    listed = str(CHECKOUT / "requirements" / "server.txt")
    pip = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--require-hashes", "-r", listed]
    added = installed.runs("pip", *pip, cwd=tmp_path)
    with a_postgresql_server() as server:
        table = tomllib.loads(settings.read_text())
        table["state"]["database_url"] = server.new_database().replace("postgresql+psycopg:", "postgresql:")
        settings.write_text(tomli_w.dumps(table))
        with served(installed, settings, tmp_path) as (url, _):
            ready = curl("GET", f"{url}/readyz")
        checked = installed.runs("imaging-cds", "audit", "--config", str(settings), cwd=tmp_path)

    assert (added.returncode, added.stderr) == (0, "")
    assert ready.json()["database"] == "answers"
    assert checked.returncode == 0, checked.stderr
    assert not list((tmp_path / "state").glob("*.sqlite3*"))


@contextmanager
def served(installed: Installed, settings: Path, directory: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """``imaging-cds serve``, ready."""
    url = next(line.split('"')[1] for line in settings.read_text().splitlines() if line.startswith("public_base_url"))
    log = directory / "log"
    with log.open("wb") as written:
        command = [installed.program("imaging-cds"), "serve", "--config", str(settings)]
        process = subprocess.Popen(command, cwd=directory, env=_bare(directory), stdout=written, stderr=written)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _is_ready(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url, process
    finally:
        process.kill()
        process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return curl("GET", f"{url}/readyz").ok
    except requests.ConnectionError:
        return False


def _bare(home: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8"}
