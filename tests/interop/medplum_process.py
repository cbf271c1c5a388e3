"""Medplum's FHIR router as a process of its own: a second FHIR server that we did not write, with other habits than HAPI.

Versions are UUIDs; a search parameter that it does not know finds nothing; nothing is validated; a searchset has a total, and
neither links nor pages: ``_count`` cuts it off. Status, ETag, Location and /metadata are npm/medplum_server.cjs's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.conftest import free_port_number
from tests.interop.node_process import running_script


@dataclass(frozen=True, slots=True)
class Medplum:
    """A running one, open to everybody on this machine."""

    base: str
    session: requests.Session

    def put(self, resource: Mapping[str, Any]) -> None:
        """Under the id that it has."""
        sent = self.session.put(f"{self.base}/{resource['resourceType']}/{resource['id']}", json=resource, timeout=60)
        assert sent.ok, sent.text

    def found(self, search: str) -> list[dict[str, Any]]:
        """All resources that match."""
        answer = self.session.get(f"{self.base}/{search}", timeout=60)
        assert answer.ok, answer.text
        return [dict(entry["resource"]) for entry in answer.json().get("entry", [])]


@contextmanager
def running_medplum(home: Path) -> Iterator[Medplum]:
    """An empty one. Skips the test where the packages are missing."""
    port = free_port_number()
    with running_script(home, "medplum_server.cjs", str(port)), requests.Session() as session:
        session.trust_env = False
        session.headers["Content-Type"] = "application/fhir+json"
        yield Medplum(f"http://127.0.0.1:{port}/fhir", session)
