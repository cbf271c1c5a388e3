"""Large answers through the gateway: bounded memory, and the archive's place in the pool comes back (group 19, group 23)."""

from __future__ import annotations

import http.client
import resource
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import free_port_number
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import BULK, INSTANCE, METADATA, STUDY_A, StubPacs, instance_of, series_of

MB = 1024 * 1024
PIECE = b"\x5a" * MB
FILES = 'multipart/related; type="application/dicom"; boundary=b0undary'
PART_HEAD = b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n"
PART_END = b"\r\n--b0undary--"
WADO = (
    f"/wado?requestType=WADO&studyUID={STUDY_A}&seriesUID={series_of(STUDY_A)}"
    f"&objectUID={instance_of(STUDY_A)}&contentType=application/dicom"
)


class HugePacs(StubPacs):
    """An archive whose images come from a bare socket, so that it costs no memory and sees who hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.megabytes = 0
        self.gone = threading.Event()
        self.images_port = free_port_number()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.images_port}/archive/dicom-web"

    @contextmanager
    def images(self) -> Iterator[None]:
        """Answers images itself and sends everything else on to the usual archive."""
        listener = socket.create_server(("127.0.0.1", self.images_port))
        listener.settimeout(0.05)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            listener.close()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                received = connection.recv(4096)
                if not received:
                    return
                request += received
            target = request.split(b" ", 2)[1].decode()
            if "bulkdata" in target or target.endswith(instance_of(STUDY_A)):
                self._send_images(connection, target)
            else:
                connection.sendall(self._usual(target))

    def _send_images(self, connection: socket.socket, target: str) -> None:
        is_file = "bulkdata" not in target
        head, end = (PART_HEAD, PART_END) if is_file else (b"", b"")
        kind = FILES if is_file else "application/octet-stream"
        length = len(head) + self.megabytes * MB + len(end)
        status = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        try:
            connection.sendall(status.encode() + head)
            for _ in range(self.megabytes):
                connection.sendall(PIECE)
            connection.sendall(end)
        except OSError:
            self.gone.set()

    def _usual(self, target: str) -> bytes:
        """From the usual archive behind; its stand-in speaks HTTP well enough to be read to its end."""
        behind = http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=10)
        try:
            behind.request("GET", target)
            answer = behind.getresponse()
            body = answer.read()
        finally:
            behind.close()
        head = f"HTTP/1.1 {answer.status} X\r\nContent-Type: {answer.headers['Content-Type']}\r\n"
        return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, HugePacs]]:
    pacs = HugePacs()
    folder: Path = tmp_path_factory.mktemp("gateway")
    with pacs.images(), a_world(folder, pacs=pacs, archive={"max_connections": 1, "connect_timeout_s": 1.0}) as world:
        yield world, pacs


@pytest.fixture
def huge(running: tuple[World, HugePacs]) -> tuple[World, HugePacs]:
    running[0].start_anew()
    running[1].gone.clear()
    return running


def begun(world: World, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=30)
    connection.request("GET", world.root + path, headers={"Authorization": f"Bearer {world.north.token()}"})
    return connection.getresponse()


@pytest.mark.parametrize(
    ("path", "megabytes"),
    [(BULK, 300), (INSTANCE, 2100), (WADO, 300)],
    ids=["single", "multipart of more than 2 GB", "unwrapped"],
)
def test_hundreds_of_megabytes_pass_in_bounded_memory(huge: tuple[World, HugePacs], path: str, megabytes: int) -> None:
    """Group 19. As one body, as a multipart message that is looked through, and as a file that is unwrapped."""
    world, pacs = huge
    pacs.megabytes = megabytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    received = 0
    with begun(world, path) as answer:
        assert answer.status == 200
        while piece := answer.read(MB):
            received += len(piece)

    wrapping = len(PART_HEAD) + len(PART_END) if path == INSTANCE else 0
    assert received == megabytes * MB + wrapping
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 40


@pytest.mark.parametrize("path", [BULK, INSTANCE, WADO], ids=["single", "multipart", "unwrapped"])
def test_allocations_do_not_grow_with_the_image(huge: tuple[World, HugePacs], path: str) -> None:
    """The peak of what the whole process allocates on the way, stand-ins included: a few pieces, whatever the size."""
    world, pacs = huge

    peaks = []
    for pacs.megabytes in (10, 40):
        with begun(world, path) as answer:
            answer.read(1000)
            tracemalloc.start()
            # Not to the very end: Werkzeug's own server then sets 10 MB aside to drain the request.
            for _ in range(4 * (pacs.megabytes - 2)):
                answer.read(256 * 1024)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    assert max(peaks) < 3 * MB
    assert peaks[1] < peaks[0] + MB


@pytest.mark.parametrize("path", [BULK, INSTANCE, WADO], ids=["single", "multipart", "unwrapped"])
def test_caller_who_goes_away_gives_the_only_place_in_the_pool_back(huge: tuple[World, HugePacs], path: str) -> None:
    world, pacs = huge
    pacs.megabytes = 200
    with begun(world, path) as answer:
        answer.read(1000)
        busy = world.get(METADATA, world.north.token())
        # A close that leaves bytes unread resets the connection, as a closed browser tab does.
        answer.close()

    assert pacs.gone.wait(10)
    assert busy.status == 503
    deadline = time.monotonic() + 5
    while (freed := world.get(METADATA, world.north.token())).status != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert freed.status == 200


def test_head_of_a_huge_object_reads_none_of_it(huge: tuple[World, HugePacs]) -> None:
    world, pacs = huge
    pacs.megabytes = 200

    started = time.monotonic()
    answer = world.send("HEAD", world.root + BULK, {"Authorization": f"Bearer {world.north.token()}"})

    assert (answer.status, answer.body) == (200, b"")
    assert time.monotonic() - started < 2
    assert world.get(METADATA, world.north.token()).status == 200
