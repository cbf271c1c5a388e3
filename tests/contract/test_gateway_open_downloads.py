"""Callers of one token who take large answers slowly: so many at once, and nobody else notices (groups 19 and 23)."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Response

from imaging_server.rate_limit import RateLimitSettings
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import (
    BULK,
    FRAME,
    INSTANCE,
    METADATA,
    SMALL_BODY,
    STUDY_A,
    Asked,
    dicom_json,
    instance_of,
    series_of,
)

PIECE = bytes(range(256)) * 4096
PART_HEAD = b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n"
PART_END = b"\r\n--b0undary--"
FILES = 'multipart/related; type="application/dicom"; boundary=b0undary'
FRAMES = FILES.replace("/dicom", "/octet-stream")
WADO = (
    f"/wado?requestType=WADO&studyUID={STUDY_A}&seriesUID={series_of(STUDY_A)}"
    f"&objectUID={instance_of(STUDY_A)}&contentType=application/dicom"
)


class LargeImages:
    """An archive's answers: images without end, or of ``pieces`` megabytes; everything else as ever."""

    def __init__(self) -> None:
        self.pieces = 100_000
        self.part_head = PART_HEAD

    def answer(self, asked: Asked) -> Response | None:
        if asked.path.endswith("/frames/1"):
            return Response(iter([b"--b0undary\r\n\r\n", b"a frame", PART_END]), content_type=FRAMES)
        if "bulkdata" in asked.path:
            return Response((PIECE for _ in range(self.pieces)), content_type="application/octet-stream")
        return Response(self._file(), content_type=FILES) if asked.path.endswith(instance_of(STUDY_A)) else None

    def _file(self) -> Iterator[bytes]:
        yield self.part_head
        yield from (PIECE for _ in range(self.pieces))
        yield PART_END


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=0.0, open_downloads=4)
    settings = {"small_body_bytes": SMALL_BODY, "rate_limit": limits}
    with a_world(tmp_path_factory.mktemp("gateway"), server=settings) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    return running


@pytest.fixture
def images(world: World) -> LargeImages:
    images = LargeImages()
    world.pacs.answer = images.answer
    return images


@contextmanager
def slowly(world: World, path: str, token: str) -> Iterator[http.client.HTTPResponse]:
    """An answer of which its caller takes no more than the beginning."""
    with closing(http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=30)) as connection:
        connection.request("GET", world.root + path, headers={"Authorization": f"Bearer {token}"})
        with connection.getresponse() as response:
            yield response


@contextmanager
def all_places_taken(world: World, token: str, path: str = BULK) -> Iterator[None]:
    with ExitStack() as stack:
        assert [stack.enter_context(slowly(world, path, token)).status for _ in range(4)] == [200] * 4
        yield


def soon(world: World, path: str, token: str) -> int:
    """The status once the server has noticed that somebody went away: it writes to find that out."""
    deadline = time.monotonic() + 10
    while True:
        with slowly(world, path, token) as response:
            if response.status != 429 or time.monotonic() > deadline:
                return response.status
        time.sleep(0.05)


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("path", [BULK, INSTANCE, WADO], ids=["single", "multipart", "unwrapped"])
def test_group_23_a_fifth_slow_download_of_a_token_waits_and_nobody_else_does(world: World, path: str) -> None:
    token = world.north.token()
    with all_places_taken(world, token, path):
        refused = [world.get(path, token) for _ in range(3)]
        frames = [world.get(FRAME, token) for _ in range(6)]
        described = world.get(METADATA, token).status
        with slowly(world, path, world.north.token()) as other:
            assert other.status == 200

    assert [(one.status, one.problem) for one in refused] == [(429, "too-many-requests")] * 3
    assert refused[0].headers["Content-Type"] == "application/problem+json"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert [one.status for one in frames] == [200] * 6, "small, though the archive does not say how long they are"
    assert b"a frame" in frames[0].body
    assert described == 200


def test_group_23_long_json_has_a_place_too_and_gives_it_back(world: World) -> None:
    comment = {"00204000": {"vr": "LT", "Value": ["x" * 6_000_000]}}
    world.pacs.answer = lambda asked: (
        dicom_json([{**world.pacs.instance(STUDY_A, 1), **comment}]) if asked.path.endswith("/metadata") else None
    )
    token = world.north.token()
    taken = [len(world.get(METADATA, token).body) for _ in range(6)]
    with all_places_taken(world, token, METADATA):
        refused = world.get(METADATA, token)
        searched = world.get("/studies", token).status

    assert min(taken) > 6_000_000, "one after the other, as many as are wanted"
    assert (refused.status, refused.problem, searched) == (429, "too-many-requests", 200)
    assert soon(world, METADATA, token) == 200


def test_group_23_who_has_too_many_downloads_is_on_record(tmp_path: Path) -> None:
    with a_world(tmp_path, server={"rate_limit": RateLimitSettings(open_downloads=1)}) as world:
        world.pacs.answer = LargeImages().answer
        token = world.north.token()
        with slowly(world, BULK, token):
            refused = [world.get(BULK, token).status for _ in range(3)]
        denied = [one for one in world.audit() if one.outcome == "denied"]

    assert refused == [429] * 3
    assert [(one.reason, one.patient_id, one.user) for one in denied] == [("too-many-requests", "pat-a", "Practitioner/p1")]


def test_group_23_each_download_that_ends_makes_room(world: World, images: LargeImages) -> None:
    token, images.pieces = world.north.token(), 2
    ended = [world.get(path, token) for _ in range(6) for path in (BULK, INSTANCE, WADO)]

    assert {one.status for one in ended} == {200}
    assert {len(one.body) >= 2 * len(PIECE) for one in ended} == {True}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("path", [BULK, INSTANCE, WADO], ids=["single", "multipart", "unwrapped"])
def test_group_23_a_caller_who_goes_away_makes_room(world: World, path: str) -> None:
    token = world.north.token()
    with all_places_taken(world, token, path):
        assert world.get(path, token).status == 429

    assert soon(world, path, token) == 200


def failing(world: World, images: LargeImages, how: Callable[[LargeImages], str]) -> list[Answer]:
    """More failures of one token, one after the other, than it has places."""
    token, path = world.north.token(), how(images)
    return [world.get(path, token) for _ in range(6)]


def is_no_dicom_file(images: LargeImages) -> str:
    images.part_head = b"--b0undary\r\nContent-Type: text/plain\r\n\r\n"
    return WADO


def is_no_message(images: LargeImages) -> str:
    images.part_head = b"--b0undary\r\nX-Long: " + b"x" * 400_000
    return INSTANCE


@pytest.mark.parametrize("how", [is_no_dicom_file, is_no_message])
def test_group_23_an_answer_that_cannot_be_made_keeps_no_place(
    world: World, images: LargeImages, how: Callable[[LargeImages], str]
) -> None:
    """Once it is refused halfway for what it is, not for how many there are."""
    assert [one.status for one in failing(world, images, how)] == [502] * 6


def test_group_23_an_archive_that_breaks_off_keeps_no_place(world: World) -> None:
    def cut() -> Iterator[bytes]:
        yield from [PIECE] * 3
        raise ConnectionAbortedError

    world.pacs.answer = lambda asked: (
        Response(cut(), content_type="application/octet-stream") if "bulkdata" in asked.path else None
    )
    token = world.north.token()
    for _ in range(6):
        with slowly(world, BULK, token) as response:
            assert response.status == 200
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                response.read()


LITTLE = RateLimitSettings(open_downloads=2, all_downloads=3)
BESIDE = RateLimitSettings(open_downloads=2, all_downloads=0)


@pytest.mark.parametrize(
    ("limits", "archive"), [(LITTLE, {}), (BESIDE, {"max_connections": 4})], ids=["threads", "connections of an archive"]
)
@pytest.mark.parametrize("path", [BULK, INSTANCE, WADO], ids=["single", "multipart", "unwrapped"])
def test_group_23_however_many_tokens_take_slowly_frames_go_on(
    tmp_path: Path, limits: RateLimitSettings, archive: dict[str, int], path: str
) -> None:
    settings = {"small_body_bytes": SMALL_BODY, "rate_limit": limits}
    with a_world(tmp_path, server=settings, archive=archive) as world:
        world.pacs.answer = LargeImages().answer
        one, other, reader = (world.north.token() for _ in range(3))
        with ExitStack() as stack:
            taken = [stack.enter_context(slowly(world, path, token)).status for token in (one, one, other)]
            refused = [world.get(path, token) for token in (other, reader, one)]
            frames = [world.get(FRAME, reader).status for _ in range(6)]
            described = world.get(METADATA, reader).status
        denied = [one.reason for one in world.audit() if one.outcome == "denied"]

        assert taken == [200, 200, 200]
        assert [(one.status, one.problem) for one in refused] == [(503, "busy"), (503, "busy"), (429, "too-many-requests")]
        assert [int(one.headers["Retry-After"]) >= 1 for one in refused] == [True] * 3
        assert (frames, described) == ([200] * 6, 200)
        assert denied == ["too-many-requests"], "that there is no room is nobody's doing"
        assert world.get(path.replace(STUDY_A, "2.25.404"), reader).status == 403
        images = LargeImages()
        images.pieces = 2
        world.pacs.answer = images.answer
        assert until_there_is_room(world, path, reader) == 200


def until_there_is_room(world: World, path: str, token: str) -> int:
    deadline = time.monotonic() + 10
    while (status := world.get(path, token).status) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    return status


def test_group_23_a_site_may_have_no_such_limit(tmp_path: Path) -> None:
    with a_world(tmp_path, server={"rate_limit": RateLimitSettings(open_downloads=0)}) as world:
        world.pacs.answer = LargeImages().answer
        token = world.north.token()
        with all_places_taken(world, token), slowly(world, BULK, token) as fifth:
            assert fifth.status == 200
