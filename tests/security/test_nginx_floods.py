"""Callers who take all connections of nginx: others go on, and no log has a name (groups 23 and 34)."""

from __future__ import annotations

import http.client
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from tests.nginx_actors import FILES, OCTETS, Front, a_front, without_room
from tests.security.gateway_stubs import FRAME, STUDY_A, Asked

SEARCH = "/imaging/north/dicom-web/main/studies?PatientName=DOE^JANE"
PIECE = bytes(range(256)) * 4096


def half_asked(stack: ExitStack, front: Front, number: int) -> list[socket.socket]:
    """Requests with a name in them that lack their last line."""
    address = urlsplit(front.world.url)
    found = []
    for _ in range(number):
        one = stack.enter_context(socket.create_connection((str(address.hostname), int(address.port or 80)), timeout=10))
        one.sendall(f"GET {SEARCH} HTTP/1.1\r\nHost: x\r\n".encode())
        found.append(one)
    time.sleep(0.5)
    return found


def test_nginx_without_a_connection_left_writes_no_query(tmp_path: Path) -> None:
    """What nginx says then ("worker_connections are not enough") holds the whole request, at level alert."""
    with a_front(tmp_path, Mode.ACCEL, changed=without_room) as front, ExitStack() as stack:
        for one in half_asked(stack, front, 40):
            try:
                one.sendall(b"Authorization: Bearer a-token\r\n\r\n")
            except OSError:
                continue
        time.sleep(1)

        written = (front.nginx.directory / "error.log").read_text() + (front.nginx.directory / "access.log").read_text()
        assert "DOE" not in written
        assert " 500 " in written or " 503 " in written, "nobody was turned away: the test shows nothing"


@pytest.mark.parametrize("mode", list(Mode))
def test_one_address_has_but_so_many_requests_under_way(mode: Mode, tmp_path: Path) -> None:
    def few(text: str) -> str:
        return re.sub(r"limit_conn imaging_addresses \d+;", "limit_conn imaging_addresses 3;", text)

    with a_front(tmp_path, mode, changed=few) as front, ExitStack() as stack:
        front.world.pacs.answer = endless
        token = front.world.north.token()
        statuses = [begun(stack, front, f"/studies/{STUDY_A}", token).status for _ in range(3)]
        further = front.world.get(FRAME, token, Accept=OCTETS)

        assert statuses == [200] * 3
        assert (further.status, further.problem, further.headers["Retry-After"]) == (429, "too-many-requests", "1")


def test_one_token_leaves_others_connections_to_the_archive(tmp_path: Path) -> None:
    """Half of them: whoever takes an answer drop by drop holds one all the while."""
    with a_front(tmp_path, Mode.AUTH_REQUEST, archive={"max_connections": 2}) as front, ExitStack() as stack:
        front.world.pacs.answer = endless
        token, other = front.world.north.token(), front.world.north.token()
        statuses = [begun(stack, front, f"/studies/{STUDY_A}", token).status for _ in range(4)]

        assert statuses == [200, 200, 429, 429]
        assert begun(stack, front, f"/studies/{STUDY_A}", other).status == 200
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200


def endless(asked: Asked) -> Response | None:
    """A study that is larger than all buffers on its way."""
    if not asked.path.endswith(f"/studies/{STUDY_A}"):
        return None

    def body() -> object:
        yield b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n"
        for _ in range(400):
            yield PIECE
        yield b"\r\n--b0undary--"

    return Response(body(), content_type='multipart/related; type="application/dicom"; boundary=b0undary')


def begun(stack: ExitStack, front: Front, path: str, token: str) -> http.client.HTTPResponse:
    """An answer of which nothing is read."""
    connection = http.client.HTTPConnection(urlsplit(front.world.url).netloc, timeout=20)
    stack.callback(connection.close)
    connection.request("GET", front.world.root + path, headers={"Authorization": f"Bearer {token}", "Accept": FILES})
    answer = connection.getresponse()
    stack.callback(answer.close)
    return answer
