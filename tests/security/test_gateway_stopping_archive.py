"""Archives that send status and headers and then stop, break off or drip: left alone like those that say nothing at all.

Spec: SMART Imaging Access W7; groups 18, 19 and 23.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_imaging.clients.breaker import BreakerSettings, State
from imaging_server.rate_limit import RateLimitSettings
from tests.conftest import free_port_number, serving
from tests.kept_archive import KeptPacs, Talk, a_kept_archive, slowly
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import BULK, FRAME, METADATA, PRIOR_A, STUDY_A, StubPacs

SILENT_S = 0.4
"""How long the archive may be silent."""
WHOLE_S = 3 * SILENT_S
OUTAGES = 3
PIECE = bytes(256 * 1024)
SEARCH = "/studies?StudyInstanceUID={0}"


@dataclass(repr=False)
class Ward:
    """A gateway before an archive that says what a test wants, and another one beside it."""

    world: World
    pacs: KeptPacs
    token: str

    def get(self, path: str, *, archive: str = "main") -> Answer:
        target = f"/imaging/north/dicom-web/{archive}{path}"
        return self.world.send("GET", target, {"Authorization": f"Bearer {self.token}"})

    @contextmanager
    def download(self, path: str = BULK) -> Iterator[http.client.HTTPResponse]:
        """An answer of which nothing is taken but its beginning."""
        with closing(http.client.HTTPConnection(urlsplit(self.world.url).netloc, timeout=20)) as connection:
            connection.request("GET", self.world.root + path, headers={"Authorization": f"Bearer {self.token}"})
            with connection.getresponse() as response:
                yield response

    def says(self, talk: Talk | None) -> None:
        """Of everything that it is asked for."""
        self.pacs.instead = lambda _path: talk

    @property
    def state(self) -> State:
        states = {one.server: one.state for one in self.world.services.breakers}
        assert states["other-archive"] is State.CLOSED
        return states["main-archive"]

    def is_settled(self, state: State) -> bool:
        """Whether it comes to that: the server notices a moment later that somebody has gone."""
        until = time.monotonic() + 10
        while self.state is not state and time.monotonic() < until:
            time.sleep(0.02)
        return self.state is state


@contextmanager
def a_ward(directory: Path, *, cool_down_s: float = 60.0, **archive: Any) -> Iterator[Ward]:
    with ExitStack() as stack:
        pacs, other = stack.enter_context(a_kept_archive()), StubPacs()
        other.base = stack.enter_context(serving(other.app(), free_port_number()))
        settings = {
            "decision_cache_s": 60.0,
            "rate_limit": RateLimitSettings(requests_per_second=0.0, refusals_per_minute=0.0),
            "breaker": BreakerSettings(outages=OUTAGES, window_s=60, cool_down_s=cool_down_s),
            "small_body_bytes": len(PIECE),
        }
        archive = {"read_timeout_s": SILENT_S, "connect_timeout_s": 5.0, **archive}
        pacs.beside = (other.settings(name="other"),)
        world = stack.enter_context(a_world(directory, server=settings, pacs=pacs, archive=archive))
        other.persons.update(pacs.persons)
        ward = Ward(world, pacs, world.north.token())
        for study in (STUDY_A, PRIOR_A):
            for asked in (METADATA, FRAME):  # so that nobody has to look up what there is
                for name in ("main", "other"):
                    assert ward.get(asked.replace(STUDY_A, study), archive=name).status == 200
        yield ward


def head(kind: str, length: int | None) -> bytes:
    """The head of an answer; without a length it comes in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode()


JSON, PIXELS = "application/dicom+json", "application/octet-stream"
LARGE = 40 * len(PIECE)
KINDS: dict[str, tuple[str, bytes]] = {
    "search": (SEARCH, head(JSON, 500)),
    "metadata": (METADATA, head(JSON, 500)),
    "metadata in chunks": (METADATA, head(JSON, None)),
    "frame": (FRAME, head(f'multipart/related; type="{PIXELS}"; boundary=b', 500)),
    "small bulk data": (BULK, head(PIXELS, 500)),
    "bulk data in chunks": (BULK, head(PIXELS, None)),
    "large bulk data": (BULK, head(PIXELS, LARGE)),
}


def stopping(said: bytes) -> Talk:
    """Says this and no more, and stays."""

    def talk(connection: socket.socket, _path: str) -> bool:
        connection.sendall(said)
        connection.settimeout(20)
        connection.recv(1)  # until the gateway has had enough
        return False

    return talk


def breaking_off(said: bytes) -> Talk:
    def talk(connection: socket.socket, _path: str) -> bool:
        connection.sendall(said)
        return False

    return talk


def dripping(said: bytes) -> Talk:
    """One byte after the other, never silent for long; a chunk's head first, where chunks are announced."""
    chunk = b"fffff\r\n" if b"chunked" in said else b""
    return slowly([said + chunk, *[b" "] * 100], SILENT_S / 4)


FAULTS: dict[str, tuple[Callable[[bytes], Talk], float]] = {
    "stops": (stopping, SILENT_S),
    "breaks off": (breaking_off, 0.0),
    "drips": (dripping, WHOLE_S),
}


@pytest.mark.parametrize(("fault", "waits_s"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize(("path", "said"), KINDS.values(), ids=KINDS)
def test_w7_group_23_an_archive_that_stops_behind_its_head_is_left_alone(
    tmp_path: Path, path: str, said: bytes, fault: Callable[[bytes], Talk], waits_s: float
) -> None:
    with a_ward(tmp_path) as ward:
        ward.says(fault(said))
        paths = [path.format(uid).replace(STUDY_A, uid) for uid in (STUDY_A, PRIOR_A, STUDY_A)]

        began = time.monotonic()
        told = [ward.get(one).status for one in paths]
        took_s = time.monotonic() - began
        left_alone = [ward.get(one) for one in paths]
        waited_s = time.monotonic() - began - took_s
        elsewhere = [ward.get(one, archive="other").status for one in (METADATA, FRAME)]

        assert told == [502] * OUTAGES
        assert OUTAGES * waits_s * 0.9 < took_s < OUTAGES * (waits_s + SILENT_S) + 4
        assert [(one.status, one.headers["Retry-After"]) for one in left_alone] == [(503, "60")] * 3
        assert waited_s < 3 * SILENT_S, "nobody waits for it"
        assert ward.state is State.OPEN
        assert elsewhere == [200, 200]


def test_group_23_of_one_study_only_that_is_left_alone(tmp_path: Path) -> None:
    """A file that hangs in the archive's own store is no outage for all the others."""
    with a_ward(tmp_path) as ward:
        ward.pacs.instead = lambda path: stopping(head(JSON, 500)) if STUDY_A in path else None

        told = [ward.get(METADATA).status for _ in range(OUTAGES + 1)]

        assert told == [502] * OUTAGES + [503]
        assert ward.get(METADATA.replace(STUDY_A, PRIOR_A)).status == 200
        assert ward.state is State.CLOSED


def left_alone(ward: Ward) -> None:
    """As it comes to that."""
    ward.says(stopping(head(JSON, 500)))
    for study in (STUDY_A, PRIOR_A, STUDY_A):
        ward.get(METADATA.replace(STUDY_A, study))
    assert ward.state is State.OPEN


def test_group_23_whoever_tries_it_again_waits_alone_until_it_answers(tmp_path: Path) -> None:
    with a_ward(tmp_path, cool_down_s=0.5) as ward:
        left_alone(ward)
        told = []
        for _ in range(3):
            time.sleep(0.6)
            told += [ward.get(METADATA).status, ward.get(METADATA).status]
        ward.says(None)
        time.sleep(0.6)

        assert told == [502, 503] * 3
        assert ward.get(METADATA).status == 200
        assert ward.state is State.CLOSED


def large(pause_s: float = 0.0, pieces: int = LARGE // len(PIECE)) -> Talk:
    """Large bulk data, of which so many pieces come."""
    return slowly([head(PIXELS, LARGE), *[PIECE] * pieces], pause_s)


def test_group_23_nobody_waits_for_a_download_that_tries_it_again(tmp_path: Path) -> None:
    """It may take minutes, and its caller has the beginning of it already."""
    with a_ward(tmp_path, cool_down_s=0.5) as ward:
        left_alone(ward)
        time.sleep(0.6)
        ward.pacs.instead = lambda path: large(0.05) if path == BULK else None

        with ward.download() as response:
            others = [ward.get(METADATA).status for _ in range(3)]
            assert (response.status, others, ward.state) == (200, [200] * 3, State.CLOSED)
            assert len(response.read()) == LARGE


def test_group_23_a_download_that_always_stops_is_left_alone_after_the_usual_count(tmp_path: Path) -> None:
    """Also where a try of it began well."""
    with a_ward(tmp_path, cool_down_s=0.5) as ward:
        left_alone(ward)
        time.sleep(0.6)
        ward.says(stopping(head(PIXELS, LARGE) + 2 * PIECE))
        lengths = []
        for study in (STUDY_A, PRIOR_A, PRIOR_A):
            with ward.download(BULK.replace(STUDY_A, study)) as response:
                assert response.status == 200
                with pytest.raises(http.client.IncompleteRead) as cut:
                    response.read()
            lengths.append(len(cut.value.partial))

        assert lengths == [2 * len(PIECE)] * 3
        assert ward.is_settled(State.OPEN)
        assert ward.get(BULK).status == 503


def test_group_23_a_caller_who_goes_away_says_nothing_about_the_archive(tmp_path: Path) -> None:
    """Neither against it nor for it, and the next one may try it again."""
    with a_ward(tmp_path, cool_down_s=0.5, max_connections=1) as ward:
        ward.says(large())
        for _ in range(2 * OUTAGES):
            with ward.download() as response:
                assert response.status == 200
        assert ward.state is State.CLOSED
        left_alone(ward)
        time.sleep(0.6)
        ward.says(slowly([head("text/html", 3), b"abc"], 0.0))  # which we refuse ourselves
        refused = [ward.get(METADATA).status for _ in range(2 * OUTAGES)]
        assert (refused, ward.state) == ([502] * 2 * OUTAGES, State.HALF_OPEN)
        ward.says(None)

        assert ward.get(METADATA).status == 200
        assert ward.state is State.CLOSED


def test_group_19_a_slow_archive_that_goes_on_is_read_to_its_end(tmp_path: Path) -> None:
    """What is passed on may take as long as it takes, while each piece comes in time."""
    with a_ward(tmp_path) as ward:
        ward.says(large(WHOLE_S / 15))
        began = time.monotonic()

        with ward.download() as response:
            assert len(response.read()) == LARGE
        assert time.monotonic() - began > 2 * WHOLE_S
        assert ward.state is State.CLOSED


def test_group_19_a_caller_who_takes_his_time_does_not_make_the_archive_late(tmp_path: Path) -> None:
    with a_ward(tmp_path) as ward:
        ward.says(large())
        with ward.download() as response:
            time.sleep(WHOLE_S + 2 * SILENT_S)
            assert len(response.read()) == LARGE
        assert ward.state is State.CLOSED


def test_group_23_a_head_that_drips_has_an_end(tmp_path: Path) -> None:
    with a_ward(tmp_path) as ward:
        ward.says(slowly([b"HTTP/1.1 200 OK\r\nX-Long: ", *[b"x"] * 100], SILENT_S / 4))
        began = time.monotonic()

        assert ward.get(METADATA).status == 504
        assert time.monotonic() - began < WHOLE_S + SILENT_S + 2
