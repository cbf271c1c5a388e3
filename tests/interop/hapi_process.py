"""A real HAPI FHIR JPA server as a process of its own, for interop tests and benchmarks: empty, in memory, R4 or R5."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from fhir_imaging.fhir_versions import FhirVersion
from tests.conftest import free_port_number
from tests.interop.hapi_build import HINT, class_path, is_built

START_TIMEOUT_S = 240.0
"""Twenty seconds of one processor; a busy machine takes several times that."""
_JAVA = ("-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC")
"""Small, and soon up: it lives for a minute."""
_FHIR = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Hapi:
    """A running HAPI FHIR."""

    base: str
    version: FhirVersion
    process_id: int
    session: requests.Session

    def ask(self, path: str, **headers: str) -> dict[str, Any]:
        """What stands there just now: HAPI answers a search from its memory for a minute unless told not to."""
        answer = self.send("GET", path, headers={"Cache-Control": "no-cache", **headers})
        assert answer.ok, answer.text
        return dict(answer.json())

    def found(self, search: str) -> list[dict[str, Any]]:
        """All resources that match, up to 500."""
        mark = "&" if "?" in search else "?"
        return [dict(entry["resource"]) for entry in self.ask(f"{search}{mark}_count=500").get("entry", [])]

    def put(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """As it stands afterwards, under the id that it has."""
        answer = self.send("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.ok, answer.text
        return dict(answer.json())

    def send(
        self, method: str, path: str, resource: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        sent = {"Accept": _FHIR, "Content-Type": _FHIR, **(headers or {})}
        return self.session.request(method, f"{self.base}/{path}", json=resource, headers=sent, timeout=120)


@contextmanager
def running_hapi(home: Path, version: FhirVersion) -> Iterator[Hapi]:
    """An empty server that leaves only its log below ``home``. Skips the test where it is not built."""
    java = shutil.which("java")
    if java is None or not is_built():
        pytest.skip(HINT)
    port, log = free_port_number(), home / "hapi.log"
    with log.open("wb") as lines, requests.Session() as session:
        session.trust_env = False
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))
        process = subprocess.Popen(
            [java, *_JAVA, "-cp", class_path(), "HapiServer", version, str(port)],
            stdout=lines,
            stderr=subprocess.STDOUT,
            cwd=home,
        )
        running = Hapi(f"http://127.0.0.1:{port}/fhir", version, process.pid, session)
        try:
            _wait_until_up(running, process, log)
            yield running
        finally:
            process.kill()  # there is nothing to keep, and an orderly end takes seconds
            process.wait(20)


def _wait_until_up(running: Hapi, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if running.send("GET", "metadata").ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
