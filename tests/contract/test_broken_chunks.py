"""Answers whose pieces cannot be put together: an outage of whoever sends them, and no fault of ours (RFC 9112 §7.1)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fhir_imaging.clients.documents import read_document
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from tests.listening import listening

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {"negative": b"-5\r\nabc\r\n", "no number": b"zz\r\nabc\r\n", "cut": b"5\r\nab", "no end": b"2\r\n{}\r\n"}
READ: dict[str, Callable[[OutboundSession, str], object]] = {
    "resource": lambda session, base: FhirClient(base, session).read("Patient", "1"),
    "document": lambda session, base: read_document(session, f"{base}/x", accept="application/json", max_bytes=1000),
}


@contextmanager
def saying(words: bytes) -> Iterator[str]:
    """A server that says this to each request, and hangs up."""

    def talk(caller: socket.socket) -> None:
        with caller:
            caller.recv(65536)
            caller.sendall(words)

    with listening(talk) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("words", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_pieces_that_cannot_be_put_together_are_an_outage(words: bytes, read: Callable[[OutboundSession, str], object]) -> None:
    with saying(HEAD + words) as base, pytest.raises(UpstreamError, match="broke off"):
        read(OutboundSession([base], timeout_s=2), base)
