"""A caller over HTTP/2 who says of a body what they like, and sends of it what they like (RFC 9113)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

AS_WRITTEN = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8")


@dataclass
class Told:
    """What came on one stream so far."""

    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_over: bool = False


class Http2Caller:
    """One connection, for which HTTP/2 was agreed on."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._h2 = H2Connection(AS_WRITTEN)
        self._told: dict[int, Told] = {}
        self._h2.initiate_connection()
        self._send()

    def ask(self, method: str, target: str, headers: Mapping[str, str], *, ends: bool) -> int:
        """Begins a request; its number. ``ends``: there is no body."""
        number = self._h2.get_next_available_stream_id()
        lines = [(":method", method), (":scheme", "https"), (":authority", "x"), (":path", target), *headers.items()]
        self._h2.send_headers(number, lines, end_stream=ends)
        self._told[number] = Told()
        self._send()
        return number

    def more(self, number: int, body: bytes, *, ends: bool) -> None:
        """A piece of the request's body."""
        self._h2.send_data(number, body, end_stream=ends)
        self._send()

    def reset(self, number: int) -> None:
        """The caller wants no answer any more."""
        self._h2.reset_stream(number)
        self._send()

    def answer(self, number: int) -> Told:
        """The whole of it, or what there is when nothing more comes (TimeoutError)."""
        told = self._told[number]
        while not told.is_over:
            came = self._socket.recv(65536)
            if not came:
                break
            for event in self._h2.receive_data(came):
                self._take(event)
            self._send()
        return told

    def close(self) -> None:
        """Without a word."""
        self._socket.close()

    def _take(self, event: object) -> None:
        match event:
            case ResponseReceived(stream_id=number, headers=headers) if number is not None:
                told = self._told[number]
                told.headers = [(str(name), str(value)) for name, value in headers or ()]
                told.status = int(dict(told.headers)[":status"])
            case DataReceived(stream_id=number, data=data) if number is not None:
                self._told[number].body += data or b""
                self._h2.acknowledge_received_data(len(data or b""), number)
            case StreamEnded(stream_id=number) | StreamReset(stream_id=number) if number in self._told:
                self._told[number].is_over = True

    def _send(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
