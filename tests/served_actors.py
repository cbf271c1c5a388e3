"""The whole application as ``imaging-cds serve`` runs it: several workers, between an EHR and an archive of tests."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli_w

from tests.conftest import CHECKOUT, free_port_number, serving
from tests.security.gateway_actors import Answer
from tests.security.gateway_stubs import PACS_PASSWORD, PRIOR_A, STUDY_A, STUDY_B, StubEhr, StubPacs

START_TIMEOUT_S = 40.0


@dataclass
class Installation:
    """A running server process; ``log`` is what it and its workers wrote so far."""

    url: str
    north: StubEhr
    pacs: StubPacs
    log_file: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def get(self, path: str, token: str | None = None, method: str = "GET", **headers: str) -> Answer:
        """One request on a connection of its own, so that any worker may have it."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def gateway(self, path: str, token: str | None = None, **headers: str) -> Answer:
        """Below the gateway's root."""
        return self.get(f"/imaging/north/dicom-web/main{path}", token, **headers)


@contextmanager
def a_served_installation(directory: Path, **tables: dict[str, Any]) -> Iterator[Installation]:
    """Starts it and ends it; ``tables`` are added to the settings file."""
    with ExitStack() as stack:
        north, pacs = StubEhr("north"), StubPacs()
        for counterpart in (north, pacs):
            counterpart.base = stack.enter_context(serving(counterpart.app(), free_port_number()))
        north.studies.update({STUDY_A: "pat-a", PRIOR_A: "pat-a", STUDY_B: "pat-b"})
        pacs.persons.update({STUDY_A: ("MRN-A", "NORTH"), PRIOR_A: ("MRN-A", "NORTH"), STUDY_B: ("MRN-B", "NORTH")})
        port = free_port_number()
        config = directory / "imaging-cds.toml"
        config.write_text(tomli_w.dumps(_settings(directory, port, north, pacs, tables)))
        log_file = directory / "server.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "imaging_cds", "serve", "--config", str(config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith("IMAGING_CDS")},
                start_new_session=True,
            )
        stack.callback(_end, process)
        running = Installation(f"http://127.0.0.1:{port}", north, pacs, log_file, process)
        _wait(running)
        yield running


def _settings(directory: Path, port: int, north: StubEhr, pacs: StubPacs, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ehr = {
        "name": "north",
        "fhir_base": north.fhir_base,
        "token_issuer": north.issuer,
        "jwks_url": f"{north.issuer}/jwks",
    }
    archive = {"name": "main", "dicomweb_root": pacs.root, "user": "gateway", "password": PACS_PASSWORD}
    table: dict[str, Any] = {
        "public_base_url": f"http://127.0.0.1:{port}",
        "components": ["imaging_server"],
        "state": {"state_dir": str(directory / "state")},
        "server": {"host": "127.0.0.1", "port": port, "workers": 2, "threads": 4, "graceful_timeout_s": 1},
        "ehr": [ehr],
        "pacs": [archive],
    }
    for name, added in tables.items():
        table[name] = {**table.get(name, {}), **added}
    return table


def _wait(running: Installation) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if running.get("/readyz").status == 200:
                return
        except OSError:
            pass
        assert running.process.poll() is None, running.log
        assert time.monotonic() < deadline, running.log
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
