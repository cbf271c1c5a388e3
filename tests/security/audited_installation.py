"""A gateway of two workers as a site runs it, with its audit sinks, between stubs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_imaging.audit_outbox import LEASE_S
from imaging_server.auditing import AUTHORIZATION_UNAVAILABLE
from tests.audit_actors import StubAuditServer
from tests.conftest import CHECKOUT, free_port_number, serving
from tests.security.gateway_stubs import INSTANCE, PACS_PASSWORD, STUDY_A, StubEhr, StubPacs

START_TIMEOUT_S = 60
JTI = "urn:ietf:params:oauth:jti:"


class Installation:
    """A gateway of two workers as a site runs it, between stubs."""

    def __init__(
        self,
        directory: Path,
        ehr: StubEhr,
        pacs: StubPacs,
        server: StubAuditServer,
        *,
        database_url: str | None = None,
        **audit: Any,
    ) -> None:
        self.ehr = ehr
        self.port = free_port_number()
        self.file = directory / "audit.jsonl"
        self.config = directory / "app.toml"
        base = f"http://127.0.0.1:{self.port}"
        settings = ehr.settings()
        table = {
            "public_base_url": base,
            "components": ["imaging_server"],
            "state": {"state_dir": str(directory / "state"), **({"database_url": database_url} if database_url else {})},
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
            self.wait_until(lambda: self.status("/readyz", {}) == 200, START_TIMEOUT_S)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def opens(self, jti: str) -> bool:
        """Whether the study was opened with a token of this id, as the caller saw it."""
        return self.asks(INSTANCE, jti) == 200

    def asks(self, path: str, jti: str) -> int | None:
        """The status of one request below the gateway's root with a token of this id; None without an answer."""
        return self.status(f"/imaging/north/dicom-web/main{path}", {"Authorization": f"Bearer {self.ehr.token(jti=jti)}"})

    def status(self, target: str, headers: dict[str, str]) -> int | None:
        """Of one request on a connection of its own; None without an answer."""
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
        self.wait_until(lambda: answered <= set(self.written()), LEASE_S + 30)

    def written(self) -> Counter[str]:
        """How often each token's opening or refusal stands in the file."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        tokens = (token_of(json.loads(line)) for line in lines)
        return Counter(token for token in tokens if token is not None)

    @staticmethod
    def wait_until(is_so: Callable[[], bool], timeout_s: float) -> None:
        """Fails where it takes longer."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.1)


def token_of(event: dict[str, Any]) -> str | None:
    """The id of the token that a valid event is about; None where it could not be checked.

    Workers look once a second for what ends access: just after a database came back one still refuses, and has that on record.
    """
    AuditEvent.model_validate(event)
    tokens = [agent["policy"][0].removeprefix(JTI) for agent in event["agent"] if "policy" in agent]
    assert tokens or (event["outcome"], event["outcomeDesc"]) == ("8", AUTHORIZATION_UNAVAILABLE)
    return tokens[0] if tokens else None


@contextmanager
def audit_counterparts() -> Iterator[tuple[StubEhr, StubPacs, StubAuditServer]]:
    """An EHR and an archive that know study A, and an audit server."""
    ehr, pacs, server = StubEhr("north"), StubPacs(), StubAuditServer()
    ehr.studies[STUDY_A] = "pat-a"
    pacs.persons[STUDY_A] = ("MRN-A", "NORTH")
    with (
        serving(ehr.app(), free_port_number()) as ehr.base,
        serving(pacs.app(), free_port_number()) as pacs.base,
        serving(server.app(), free_port_number()) as server.base,
    ):
        yield ehr, pacs, server
