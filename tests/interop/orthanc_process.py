"""Debian's Orthanc with its DICOMweb plugin as a process of its own, with one user, for interop tests and benchmarks."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.conftest import free_port_number

USER = "orthanc"
HINT = "Orthanc with its DICOMweb plugin is not installed. On Debian: apt-get install orthanc orthanc-dicomweb"
PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/lib/orthanc/libOrthancDicomWeb.so")


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc that knows one user."""

    url: str
    password: str
    process_id: int

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def get(self, path: str) -> requests.Response:
        with self.session() as session:
            return session.get(f"{self.url}{path}", timeout=10)

    def session(self) -> requests.Session:
        """A session with its user's password."""
        made = requests.Session()
        made.trust_env = False
        made.auth = (USER, self.password)
        return made


@contextmanager
def running_orthanc(home: Path, **options: object) -> Iterator[Orthanc]:
    """An empty Orthanc that keeps its files below ``home``, with further options. Skips where it is not installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    plugin = next((path for path in PLUGINS if Path(path).exists()), None)
    if program is None or plugin is None:
        pytest.skip(HINT)
    port, password = free_port_number(), secrets.token_urlsafe(12)
    settings = {
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: password},
        "Plugins": [plugin],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **options,
    }
    (home / "orthanc.json").write_text(json.dumps(settings))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, str(home / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT)
        running = Orthanc(f"http://127.0.0.1:{port}", password, process.pid)
        try:
            _wait_until_up(running, process, home / "log")
            yield running
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_up(running: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if running.get("/dicom-web/studies?limit=1").ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
