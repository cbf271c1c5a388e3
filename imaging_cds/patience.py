"""How long a thread waits for its caller: one who stops in the middle of a request, or takes nothing of an answer, is let go.

A notebook that is taken from its network says no goodbye, and whoever reads nothing need not either: each held a thread, and
where images are passed on an archive's connection, for as long as the system kept the connection. The kernel counts the time,
so that it costs no request anything. Who drips is not meant: a proxy in front is for those (docs/operations.md).

Spec: groups 19 and 23.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import RequestTimeout

PATIENCE_S = 60.0
"""As long as nginx waits for one who takes nothing (send_timeout)."""
GIVEN_UP = (BlockingIOError, TimeoutError)
"""What a socket raises whose time is over: as the kernel says it, and as Python does."""


def be_patient(sock: socket.socket) -> None:
    """Waits for no more than ``PATIENCE_S`` with each reading and sending, as long as the socket is a blocking one."""
    seconds = int(PATIENCE_S)
    time = struct.pack("ll", seconds, int((PATIENCE_S - seconds) * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time)


class PatientUnreader(SocketUnreader):  # type: ignore[misc]
    """What a caller says, as gunicorn reads it. RequestTimeout, which is the caller's fault, where nothing more comes."""

    def chunk(self, size_hint: int | None = None) -> Any:
        """The next of it."""
        try:
            return super().chunk(size_hint)
        except BlockingIOError:
            raise RequestTimeout from None
