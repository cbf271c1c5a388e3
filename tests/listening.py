"""A server of a test that talks bytes: a thread for each who connects."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listens until the block ends, on the port that it gives. ``talk`` has a connection to itself, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taking = threading.Thread(target=_take, args=(server, _over(tls, talk) if tls else talk), daemon=True)
        taking.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            taking.join()


def _take(server: socket.socket, talk: Talk) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def _over(tls: ssl.SSLContext, talk: Talk) -> Talk:
    """Whoever shakes no hands is nobody's to talk with, and the next is taken all the same."""

    def talk_over(connection: socket.socket) -> None:
        try:
            shaken = tls.wrap_socket(connection, server_side=True)
        except OSError:
            return connection.close()
        return talk(shaken)

    return talk_over
