"""An application behind nginx that notes what it was told of each request's body, and what it got of it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import from_table
from tests.conftest import free_port_number, serving
from tests.contract.tls_actors import TestAuthority
from tests.listening import listening
from tests.nginx_actors import OCTETS, me, running_nginx
from tests.security.gateway_stubs import FRAME, StubPacs

MOST = 4096
TARGET = f"/imaging/north/dicom-web/main{FRAME}"
FIELDS = f"Host: x\r\nAuthorization: Bearer some-token\r\nAccept: {OCTETS}\r\n"
VICTIM = (
    f"POST /cds-services/imaging-findings/feedback HTTP/1.1\r\n{FIELDS}Content-Length: 7\r\nConnection: close\r\n\r\n{{victim"
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Application:
    """Says yes to all, and notes of each request what it was told of its body, and what it got within a moment."""

    asked: list[tuple[bytes, int, bytes]] = field(default_factory=list)

    def talk(self, connection: socket.socket) -> None:
        connection.settimeout(1.0)
        with connection, suppress(OSError):
            said = b""
            while True:
                while b"\r\n\r\n" not in said:
                    if not (piece := connection.recv(65536)):
                        return
                    said += piece
                head, _, said = said.partition(b"\r\n\r\n")
                stated = _LENGTH.search(head)
                length = int(stated[1]) if stated else 0
                with suppress(TimeoutError):
                    while len(said) < length and (piece := connection.recv(65536)):
                        said += piece
                self.asked.append((head.split(b"\r\n")[0], length, said[:length]))
                said = said[length:]
                yes = (
                    b"204 No Content\r\nX-Accel-Expires: 20"
                    if b"/handover/" in head
                    else b"401 Unauthorized\r\nContent-Length: 0"
                )
                connection.sendall(b"HTTP/1.1 " + yes + b"\r\n\r\n")


@dataclass
class Behind:
    """nginx in front of it."""

    port: int
    application: Application
    authority: Path | None = None
    """Of its certificate."""

    def connected(self, *protocols: str) -> socket.socket:
        """A connection for one of these protocols of TLS, where there is TLS."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if self.authority is None:
            return connection
        tls = ssl.create_default_context(cafile=self.authority)
        tls.set_alpn_protocols(protocols or ("http/1.1",))
        return tls.wrap_socket(connection, server_hostname="127.0.0.1")

    def say(self, words: str) -> socket.socket:
        connection = self.connected()
        connection.sendall(words.encode())
        return connection

    def asked(self) -> list[tuple[bytes, int, bytes]]:
        """But for what nginx asks for itself."""
        return [one for one in self.application.asked if b"/handover/" not in one[0]]


@contextmanager
def behind_nginx(mode: Mode, directory: Path, authority: TestAuthority | None = None) -> Iterator[Behind]:
    """Over TLS, where there is an authority."""
    port, pacs, application = free_port_number(), StubPacs(), Application()
    with listening(application.talk) as app_port, serving(pacs.app(), free_port_number()) as pacs.base:
        pacs_table = {"name": "main", "dicomweb_root": pacs.root, "hand_over": "frames", "keeps_hierarchy": True}
        table = {
            "public_base_url": f"http://127.0.0.1:{port}",
            "state": {"state_dir": str(directory / "state")},
            "imaging_server": {"handed_decision_s": 10},
            "cds": {"max_body_bytes": MOST},
            "ehr": [{"name": "north", "fhir_base": "https://north.example/fhir"}],
            "pacs": [pacs_table],
        }
        shown = authority.chain() if authority else None
        options = NginxOptions(
            mode=mode, listen=f"127.0.0.1:{port}", apps=(f"127.0.0.1:{app_port}",), user=me(), certificate=shown, key=shown
        )
        one = lambda text: text.replace("processes auto", "processes 1")  # noqa: E731
        with running_nginx(from_table(table), options, "k" * 64, directory / "nginx", one):
            application.asked.clear()
            yield Behind(port, application, authority.file if authority else None)
