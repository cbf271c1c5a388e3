"""An application that fails in the midst of an answer, on the product's own server: what has not begun ends as a 500."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.conftest import CHECKOUT, free_port_number

PROGRAM = """
import sys
from flask import Flask
from imaging_cds.server import ServerSettings, serve

def make():
    app = Flask("faulty", static_folder=None)
    app.wsgi_app = answers
    return app

def answers(environ, start_response):
    if environ["PATH_INFO"] == "/at-once":
        raise ValueError("a fault")
    length = {"/short": "9"}.get(environ["PATH_INFO"], "4")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length)])
    return pieces(environ["PATH_INFO"])

def pieces(path):
    yield b"" if path == "/before-the-first-byte" else b"fine"
    if path not in ("/fine", "/short"):
        raise ValueError("a fault")

serve(make, ServerSettings(host="127.0.0.1", port=int(sys.argv[1]), workers=1, threads=2))
"""
FINE = b"GET /fine HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port_number()
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(number)], cwd=CHECKOUT)
    try:
        wait_until_served(number)
        yield number
    finally:
        program.terminate()
        program.wait(30)


def wait_until_served(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the program does not serve")


def heard(port: int, target: str, *, fields: bytes = b"") -> bytes:
    """All that is said to this request and to one behind it, until the server hangs up or has answered both."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n%s\r\n" % (target.encode(), fields))
        said = b""
        while b"fine" not in said and (piece := caller.recv(65536)):
            said += piece
        if said.startswith(b"HTTP/1.1 200 "):
            try:
                caller.sendall(FINE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                while piece := caller.recv(65536):
                    said += piece
            except ConnectionError:
                pass
        return said


WAYS = {"plain": b"", "as gunicorn reads it": b"Content-Length: 0\r\n"}
"""Both ways in which this server reads a request."""


@pytest.mark.parametrize("fields", WAYS.values(), ids=WAYS)
def test_a_fault_before_anything_was_said_is_a_500_without_its_words(port: int, fields: bytes) -> None:
    said = heard(port, "/at-once", fields=fields)

    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"a fault" not in said
    assert b"Traceback" not in said


def test_a_fault_after_an_empty_piece_is_a_500_since_nothing_has_gone_out(port: int) -> None:
    said = heard(port, "/before-the-first-byte")

    assert said.startswith(b"HTTP/1.1 500 ")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("fields", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("target", ["/after-the-first-byte", "/later"])
def test_a_fault_after_the_first_byte_ends_the_connection_and_nothing_is_said_behind_it(
    port: int, target: str, fields: bytes
) -> None:
    said = heard(port, target, fields=fields)

    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"fine")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("fields", WAYS.values(), ids=WAYS)
def test_the_server_goes_on_after_all_that(port: int, fields: bytes) -> None:
    assert heard(port, "/fine", fields=fields).count(b"HTTP/1.1 200 ") == 2
