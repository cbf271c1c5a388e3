"""An archive that keeps its connections, as nearly all do, and says of a frame word for word what a test wants.

Everything else it asks a ``StubPacs``, whose own server ends each connection.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from flask import Flask
from werkzeug.test import Client

from tests.listening import listening
from tests.security.gateway_stubs import StubPacs

BOUNDARY = "b-0"
PIXELS = bytes(range(256)) * 40
Talk = Callable[[socket.socket, str], bool]
"""Answers a request for a path; whether the connection stays."""


def frame_answer(root: str, path: str, pixels: bytes = PIXELS, *, boundary: str = BOUNDARY, more: str = "") -> bytes:
    """A frame as Orthanc says it; ``more``: further lines of the answer's head."""
    location = f"Content-Location: {root}{path}\r\n"
    part = f"--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(pixels)}\r\n{location}\r\n".encode()
    body = part + pixels + f"\r\n--{boundary}--".encode()
    kind = f'multipart/related; type="application/octet-stream"; boundary={boundary}'
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class KeptPacs(StubPacs):
    """``connections`` counts those that were made to it, ``heads`` has what was said on them."""

    kept: str = ""
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    frames: Talk | None = None
    """What to say of a frame instead of the usual."""
    instead: Callable[[str], Talk | None] = lambda _path: None
    """What to say of a path instead of anything else."""

    @property
    def root(self) -> str:
        return f"{self.kept}/archive/dicom-web"

    def usual_frame(self, connection: socket.socket, path: str) -> bool:
        connection.sendall(frame_answer(self.root, path))
        return True

    def talk(self, connection: socket.socket, app: Client) -> None:
        """Until one of both has enough."""
        self.connections += 1
        with connection, suppress(OSError):  # the gateway hangs up on what it cannot use
            while (head := _head(connection)) and self._answers(connection, head, app):
                pass

    def _answers(self, connection: socket.socket, head: bytes, app: Client) -> bool:
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        fields = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:] if line)
        path = target.decode().removeprefix("/archive/dicom-web")
        talk = self.instead(path)
        if talk is not None:
            return talk(connection, path)
        answer = app.open(target.decode(), method=method.decode(), headers=fields)
        if "/frames/" in path and answer.status_code == 200 and self.answer(self.asked[-1]) is None:
            return (self.frames or self.usual_frame)(connection, path)
        body = answer.get_data()
        lines = [f"HTTP/1.1 {answer.status}", f"Content-Type: {answer.content_type}", f"Content-Length: {len(body)}", "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        return True


def _head(connection: socket.socket) -> bytes:
    """The next request's; all of them are without a body."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        try:
            piece = connection.recv(65536)
        except OSError:
            return b""
        if not piece:
            return b""
        said += piece
    return said


@contextmanager
def a_kept_archive(tls: ssl.SSLContext | None = None) -> Iterator[KeptPacs]:
    """Listens until the block ends; over TLS, where it is told what to show."""
    pacs = KeptPacs()
    app: Flask = pacs.app()
    with listening(lambda connection: pacs.talk(connection, app.test_client()), tls=tls) as port:
        pacs.kept = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield pacs


def slowly(pieces: list[bytes], pause_s: float) -> Talk:
    """Says these, one after the other."""

    def talk(connection: socket.socket, _path: str) -> bool:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)
        return True

    return talk
