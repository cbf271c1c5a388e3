"""The nginx that the gateway is measured beside is as fast as it can be: it keeps its connections, to all whom it asks.

It once made a new one for each frame, which nobody saw, and every comparison was too good for us (docs/decisions/0007).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from imaging_cds.processes import ProcessGroup
from tests.benchmarks.gateway_nginx import NginxPorts, plain_nginx
from tests.conftest import free_port_number
from tests.interop.orthanc_process import Orthanc
from tests.listening import listening

FRAMES = 12
WORKERS = 2
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_YES = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Counting:
    """Says "ok", or yes where that is asked, and counts; a connection ends when the caller wants it to."""

    port: int = 0
    requests: int = 0
    taken: list[socket.socket] = field(default_factory=list)

    @property
    def connections(self) -> int:
        return len(self.taken)

    def serve(self, connection: socket.socket) -> None:
        self.taken.append(connection)
        with connection:
            while asked := connection.recv(65536):
                self.requests += 1
                connection.sendall(_YES if b"/decision" in asked else _OK)
                if b"connection: close" in asked.lower():
                    return


@contextmanager
def counting() -> Iterator[Counting]:
    server = Counting()
    with listening(server.serve) as server.port:
        yield server


ASKING = {None: "plain", "trivial": "asking", "trivial_here": "asking_here", "bare": "asking_bare", "yes": "asking_nginx"}


@pytest.mark.parametrize("asked", ASKING)
def test_nginx_that_is_measured_keeps_its_connections(tmp_path: Path, asked: str | None) -> None:
    with ExitStack() as stack:
        servers = {name: stack.enter_context(counting()) for name in ("archive", "trivial", "trivial_here", "bare", "yes")}
        listens = {name: free_port_number() for name in (*ASKING.values(), "accel", "kept")}
        ports = NginxPorts(**{name: server.port for name, server in servers.items()}, **listens)
        orthanc = Orthanc(url=f"http://127.0.0.1:{ports.archive}", password="any", process_id=0)
        group = ProcessGroup()
        stack.callback(group.stop)
        group.start(plain_nginx(tmp_path / "nginx", orthanc, ports))
        group.wait_ready(20)
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(FRAMES):
                assert session.get(f"http://127.0.0.1:{listens[ASKING[asked]]}/dicom-web/frame", timeout=10).text == "ok"

        for name in ("archive", asked or "archive"):
            assert servers[name].requests == FRAMES
            assert servers[name].connections <= WORKERS
