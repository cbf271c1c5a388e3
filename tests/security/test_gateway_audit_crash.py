"""Access that was answered is in the audit sinks, however the server died: real workers, ended with kill -9 (group 34)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import tomli_w
from fhir.resources.R4B.auditevent import AuditEvent
from flask import Response

from fhir_imaging.audit_outbox import LEASE_S
from tests.audit_actors import StubAuditServer
from tests.conftest import CHECKOUT, free_port_number, serving
from tests.security.gateway_stubs import INSTANCE, PACS_PASSWORD, STUDY_A, StubEhr, StubPacs

START_TIMEOUT_S = 60
JTI = "urn:ietf:params:oauth:jti:"


class Installation:
    """A gateway of two workers as a site runs it, between stubs."""

    def __init__(self, directory: Path, ehr: StubEhr, pacs: StubPacs, server: StubAuditServer, **audit: Any) -> None:
        self.ehr = ehr
        self.port = free_port_number()
        self.file = directory / "audit.jsonl"
        self.config = directory / "app.toml"
        base = f"http://127.0.0.1:{self.port}"
        settings = ehr.settings()
        table = {
            "public_base_url": base,
            "components": ["imaging_server"],
            "state": {"state_dir": str(directory / "state")},
            "cds": {"app_base_url": base},
            "server": {"host": "127.0.0.1", "port": self.port, "workers": 2, "threads": 8},
            "ehr": [
                {
                    "name": settings.name,
                    "fhir_base": settings.fhir_base,
                    "token_issuer": settings.token_issuer,
                    "jwks_url": settings.jwks_url,
                }
            ],
            "pacs": [{"name": "main", "dicomweb_root": pacs.root, "user": "gateway", "password": PACS_PASSWORD}],
            "audit": {"file": str(self.file), "fhir_base": server.fhir_base, **audit},
        }
        self.config.write_text(tomli_w.dumps(table))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its own process group, killed whole at the end."""
        with (self.config.parent / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "imaging_cds", "serve", "--config", str(self.config)],
                cwd=CHECKOUT,
                stderr=log,
                stdout=log,
                start_new_session=True,
            )
        try:
            self._wait_until(lambda: self._status("/readyz", {}) == 200, START_TIMEOUT_S)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def opens(self, jti: str) -> bool:
        """Whether the study was opened with a token of this id, as the caller saw it."""
        token = self.ehr.token(jti=jti)
        target = f"/imaging/north/dicom-web/main{INSTANCE}"
        return self._status(target, {"Authorization": f"Bearer {token}"}) == 200

    def _status(self, target: str, headers: dict[str, str]) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def wait_for_delivery(self, answered: set[str]) -> None:
        """Until the file has them all; what a dead worker had taken comes back when its lease ends."""
        self._wait_until(lambda: answered <= set(self.written()), LEASE_S + 30)

    def written(self) -> Counter[str]:
        """How often each token's opening stands in the file."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return Counter(token_of(json.loads(line)) for line in lines)

    @staticmethod
    def _wait_until(is_so: Any, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.1)


def token_of(event: dict[str, Any]) -> str:
    AuditEvent.model_validate(event)
    return next(agent["policy"][0].removeprefix(JTI) for agent in event["agent"] if "policy" in agent)


@pytest.fixture
def counterparts() -> Iterator[tuple[StubEhr, StubPacs, StubAuditServer]]:
    ehr, pacs, server = StubEhr("north"), StubPacs(), StubAuditServer()
    ehr.studies[STUDY_A] = "pat-a"
    pacs.persons[STUDY_A] = ("MRN-A", "NORTH")
    with (
        serving(ehr.app(), free_port_number()) as ehr.base,
        serving(pacs.app(), free_port_number()) as pacs.base,
        serving(server.app(), free_port_number()) as server.base,
    ):
        yield ehr, pacs, server


def test_every_answered_access_is_in_both_sinks_once_after_kill_9(
    tmp_path: Path, counterparts: tuple[StubEhr, StubPacs, StubAuditServer]
) -> None:
    ehr, pacs, server = counterparts
    site, answered = Installation(tmp_path, ehr, pacs, server), set[str]()

    def knock(jti: str) -> str | None:
        return jti if site.opens(jti) else None

    for _ in range(3):
        with site.running() as process, ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(knock, str(uuid4())) for _ in range(120)]
            deadline = time.monotonic() + 30
            while sum(one.done() for one in asked) < 60 and time.monotonic() < deadline:
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)  # requests and deliveries are under way
            answered |= {jti for one in asked if (jti := one.result()) is not None}
    with site.running():
        site.wait_for_delivery(answered)
        deadline = time.monotonic() + LEASE_S + 30
        while not answered <= {token_of(event) for event in list(server.events.values())} and time.monotonic() < deadline:
            time.sleep(0.1)

    assert len(answered) >= 100
    written = site.written()
    assert answered <= set(written)
    assert set(written.values()) == {1}
    assert answered <= (arrived := Counter(token_of(event) for event in server.events.values())).keys()
    assert set(arrived.values()) == {1}


def test_two_workers_deliver_without_doubles(tmp_path: Path, counterparts: tuple[StubEhr, StubPacs, StubAuditServer]) -> None:
    ehr, pacs, server = counterparts
    site = Installation(tmp_path, ehr, pacs, server)
    tokens = {str(uuid4()) for _ in range(80)}
    with site.running(), ThreadPoolExecutor(8) as pool:
        assert all(pool.map(site.opens, tokens))
        site.wait_for_delivery(tokens)
        deadline = time.monotonic() + 30
        while len(server.events) < len(tokens) and time.monotonic() < deadline:
            time.sleep(0.05)

    assert site.written() == Counter(tokens)
    assert Counter(token_of(event) for event in server.events.values()) == Counter(tokens)
    assert set(server.writes.values()) == {1}


def test_sink_that_is_down_refuses_access_beyond_the_limit_and_gets_everything_later(
    tmp_path: Path, counterparts: tuple[StubEhr, StubPacs, StubAuditServer]
) -> None:
    ehr, pacs, server = counterparts
    site = Installation(tmp_path, ehr, pacs, server, max_pending=10)
    server.instead = lambda _: Response(status=503)
    opened: list[str] = []
    with site.running():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            jti = str(uuid4())
            if not site.opens(jti):
                break
            opened.append(jti)
            time.sleep(0.05)
        time.sleep(1.2)  # each worker looks once a second how much waits
        retrieved = len(pacs.retrievals())
        refused = site.opens(str(uuid4()))
        assert len(pacs.retrievals()) == retrieved
        server.instead = lambda _: None
        site._wait_until(lambda: set(opened) <= {token_of(one) for one in list(server.events.values())}, 60)
        time.sleep(1.2)
        again = site.opens(str(uuid4()))

    assert (len(opened) > 10, refused, again) == (True, False, True)
    reasons = Counter(event.get("outcomeDesc") for event in server.events.values())
    assert reasons["audit-backlog"] >= 2
