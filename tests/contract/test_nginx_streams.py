"""Large answers through nginx: constant memory, no file, and a caller who goes away sets the archive free (group 19)."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from tests.nginx_actors import FILES, Front, a_front
from tests.security.gateway_stubs import STUDY_A, Asked

PIECE = bytes(range(256)) * 4096
TOTAL_MB = 300
GROWTH_KB = 24 * 1024
STUDY = f"/studies/{STUDY_A}"


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with a_front(tmp_path_factory.mktemp("nginx"), request.param) as front:
        yield front


@pytest.fixture
def front(running: Front) -> Front:
    running.world.start_anew()
    return running


class Stream:
    """An archive's study of so many pieces; it notes whether somebody still takes them."""

    def __init__(self, pieces: int, *, cut_after: int | None = None) -> None:
        self._pieces = pieces
        self._cut_after = cut_after
        self.let_go = threading.Event()
        self.sent = 0

    def answer(self, asked: Asked) -> Response | None:
        if not asked.path.endswith(STUDY):
            return None
        return Response(self._body(), content_type='multipart/related; type="application/dicom"; boundary=b0undary')

    def _body(self) -> Iterator[bytes]:
        try:
            yield b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n"
            for number in range(self._pieces):
                if number == self._cut_after:
                    raise ConnectionAbortedError
                yield PIECE
                self.sent += 1
            yield b"\r\n--b0undary--"
        finally:
            self.let_go.set()


def connected(front: Front) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(front.world.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {front.world.north.token()}", "Accept": FILES}
    connection.request("GET", front.world.root + STUDY, headers=headers)
    return connection, connection.getresponse()


def on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_large_study_goes_through_memory_in_pieces(front: Front) -> None:
    stream = Stream(TOTAL_MB)
    front.world.pacs.answer = stream.answer
    front.world.get(STUDY.replace(STUDY_A, "2.25.404"), front.world.north.token(), Accept=FILES)
    before, disk, largest, received = front.nginx.resident_kb(), on_disk(front.nginx.directory), 0, 0

    connection, response = connected(front)
    while piece := response.read(1024 * 1024):
        received += len(piece)
        if received % (16 * len(PIECE)) < len(piece):
            largest = max(largest, front.nginx.resident_kb(), before)
    connection.close()

    assert response.status == 200
    assert received > TOTAL_MB * len(PIECE)
    assert largest - before < GROWTH_KB
    assert on_disk(front.nginx.directory) - disk < 64 * 1024


def test_caller_who_goes_away_sets_the_archive_free(front: Front) -> None:
    stream = Stream(100_000)
    front.world.pacs.answer = stream.answer

    connection, response = connected(front)
    assert len(response.read(4 * 1024 * 1024)) == 4 * 1024 * 1024
    response.close()
    connection.close()

    assert stream.let_go.wait(10), "nginx goes on reading for nobody"
    assert stream.sent < 1000


def test_caller_who_reads_slowly_is_not_read_ahead_for(front: Front) -> None:
    """What nginx takes in for a slow caller is bounded: the archive waits."""
    stream = Stream(2000)
    front.world.pacs.answer = stream.answer

    connection, response = connected(front)
    response.read(1024)
    time.sleep(1.5)
    sent = stream.sent
    response.close()
    connection.close()

    assert stream.let_go.wait(10)
    assert sent < 40, "MB read ahead of the caller"


def test_archive_that_breaks_off_is_seen_to_break_off(front: Front) -> None:
    """An answer that is cut may not look whole."""
    front.world.pacs.answer = Stream(20, cut_after=5).answer

    connection, response = connected(front)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()
