"""A server of a dozen lines that says yes to whatever is asked: the floor under everything that asks Python.

``python -m tests.benchmarks.bare_loop PORT`` serves until it is stopped. It understands no HTTP; nginx, which asks, does.
"""

from __future__ import annotations

import socket
import sys
from selectors import EVENT_READ, DefaultSelector

_YES = b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"


def serve(port: int) -> None:
    """One thread, all callers."""
    loop = DefaultSelector()
    listening = socket.create_server(("127.0.0.1", port))
    loop.register(listening, EVENT_READ)
    while True:
        for key, _ in loop.select():
            if key.fileobj is listening:
                loop.register(listening.accept()[0], EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                _answer(loop, key.fileobj)


def _answer(loop: DefaultSelector, caller: socket.socket) -> None:
    asked = caller.recv(65536)
    if asked:
        caller.sendall(_YES)
    else:
        loop.unregister(caller)
        caller.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
