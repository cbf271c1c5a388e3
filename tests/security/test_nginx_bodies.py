"""Bodies that nothing asked for, on their way through nginx: what the application is told of a body is what it gets of it.

It takes the next words on a connection for what is missing, whoever's they are (group 20; RFC 9112 §11.2).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import from_table
from tests.conftest import free_port_number, serving
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

    def say(self, words: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        connection.sendall(words.encode())
        return connection

    def asked(self) -> list[tuple[bytes, int, bytes]]:
        """But for what nginx asks for itself."""
        return [one for one in self.application.asked if b"/handover/" not in one[0]]


@pytest.fixture(params=list(Mode), ids=lambda mode: mode.value)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    port, pacs = free_port_number(), StubPacs()
    application = Application()
    with listening(application.talk) as behind_nginx, serving(pacs.app(), free_port_number()) as pacs.base:
        pacs_table = {"name": "main", "dicomweb_root": pacs.root, "hand_over": "frames", "keeps_hierarchy": True}
        table = {
            "public_base_url": f"http://127.0.0.1:{port}",
            "state": {"state_dir": str(tmp_path / "state")},
            "imaging_server": {"handed_decision_s": 10},
            "cds": {"max_body_bytes": MOST},
            "ehr": [{"name": "north", "fhir_base": "https://north.example/fhir"}],
            "pacs": [pacs_table],
        }
        apps = (f"127.0.0.1:{behind_nginx}",)
        options = NginxOptions(mode=request.param, listen=f"127.0.0.1:{port}", apps=apps, user=me())
        one = lambda text: text.replace("processes auto", "processes 1")  # noqa: E731
        with running_nginx(from_table(table), options, "k" * 64, tmp_path / "nginx", one):
            application.asked.clear()
            yield Behind(port, application)


ODD = {
    "too large, and none comes": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n",
    "too large, and most of it comes": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n" + MOST * "z",
    "pieces, too large": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n{MOST + 70:x}\r\n" + MOST * "z",
    "pieces, broken": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n64\r\n" + 100 * "z" + "\r\nzz\r\n",
    "no pieces at all": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "another method": f"POST {TARGET} HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n",
    "a query": f"GET {TARGET}?a=b HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n",
    "what is expected first": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Expect: 100-continue\r\nContent-Length: {MOST + 70}\r\n\r\n",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("is_kept", [False, True], ids=["", "kept"])
def test_no_body_is_announced_that_does_not_come(behind: Behind, odd: str, is_kept: bool) -> None:
    """Before and after nginx has a decision for the token."""
    if is_kept:
        with behind.say(f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Connection: close\r\n\r\n") as first:
            assert first.recv(65536)
        behind.application.asked.clear()

    with behind.say(odd) as attacker, suppress(TimeoutError, ConnectionError):
        assert attacker.recv(65536).startswith(b"HTTP/1.1 4")
        with behind.say(VICTIM) as victim:
            assert victim.recv(65536).startswith(b"HTTP/1.1 401")

    lines = [line for line, _, _ in behind.asked()]
    assert lines[-1:] == [VICTIM.partition("\r\n")[0].encode()]
    assert behind.asked()[-1][2] == b"{victim"
    assert [(line, length) for line, length, came in behind.asked() if len(came) != length] == []


@pytest.mark.parametrize(
    "body", ["Content-Length: 9\r\n\r\nsome body", "Transfer-Encoding: chunked\r\n\r\n9\r\nsome body\r\n0\r\n\r\n"]
)
def test_a_body_that_is_whole_is_told_as_it_is_or_not_at_all(behind: Behind, body: str) -> None:
    for target in (TARGET, TARGET + "?a=b"):
        with behind.say(f"GET {target} HTTP/1.1\r\n{FIELDS}Connection: close\r\n{body}") as caller:
            assert caller.recv(65536)

    told = [(length, came) for _, length, came in behind.asked()]
    assert told[-1] == (9, b"some body")
    assert {came for _, came in told} <= {b"", b"some body"}
    assert [length == len(came) for length, came in told] == [True] * len(told)
