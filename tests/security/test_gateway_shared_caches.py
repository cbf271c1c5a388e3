"""Caches and browsers between callers and the gateway, and what time tells (groups 15, 21 and 22)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest
from flask import Response

from tests.security.gateway_actors import VIEWER_ORIGIN, Answer, World, a_world
from tests.security.gateway_stubs import BULK, FRAME, INSTANCE, METADATA, PRIOR_A, STUDY_A, STUDY_B, instance_of, series_of

WADO = f"/wado?requestType=WADO&studyUID={STUDY_A}&seriesUID={series_of(STUDY_A)}&objectUID={instance_of(STUDY_A)}"
OF_A = [METADATA, FRAME, BULK, f"{INSTANCE}/rendered", f"{INSTANCE}/thumbnail", "/studies", WADO, f"/studies/{STUDY_A}/series"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 1}) as world:
        yield world


class SharedCache:
    """Keeps whatever RFC 9111 §3 lets a shared cache keep, by address alone: the most eager one that is still allowed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, Answer] = {}

    def get(self, path: str, token: str | None) -> Answer:
        if path in self._kept:
            return self._kept[path]
        answer = self._world.get(path, token)
        if not {"private", "no-store"} & set((answer.headers["Cache-Control"] or "").replace(" ", "").split(",")):
            self._kept[path] = answer
        return answer


@pytest.mark.parametrize("path", OF_A)
def test_group_21_a_cache_that_patients_share_gives_nobody_the_others_images(world: World, path: str) -> None:
    cache = SharedCache(world)

    own = cache.get(path, world.north.token("pat-a"))
    other, nobodys = cache.get(path, world.north.token("pat-b")), cache.get(path, None)

    assert (own.status, nobodys.status) == (200, 401)
    assert other.status == (200 if path == "/studies" else 403)
    assert STUDY_A.encode() not in other.body


@pytest.mark.parametrize("path", OF_A)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", [{"If-None-Match": "*"}, {"If-None-Match": '"1"'}, {"If-Match": '"2"'}])
def test_group_21_a_condition_is_never_an_answer(world: World, path: str, method: str, condition: dict[str, str]) -> None:
    """A 304 would say "it is still as you know it" to whoever asks: there is none, and the archive's own never comes down."""

    def unchanged() -> Response:
        return Response(status=304, headers={"ETag": '"1"'})

    world.pacs.answer = lambda asked: unchanged() if "If-None-Match" in asked.headers else None
    headers = {"Authorization": f"Bearer {world.north.token()}", **condition}

    own = world.send(method, world.root + path, headers)
    nobodys = world.send(method, world.root + path, condition)
    others = world.send(method, world.root + path.replace(STUDY_A, STUDY_B), headers)

    assert (own.status, nobodys.status) == (200, 401)
    assert others.status == (200 if path == "/studies" else 403)
    assert own.headers["ETag"] is own.headers["Last-Modified"] is None


def test_group_21_what_a_browser_keeps_open_is_asked_for_anew_once_the_study_is_withdrawn(world: World) -> None:
    token = world.north.token()
    first = world.get(f"/studies/{PRIOR_A}/metadata", token)
    del world.north.studies[PRIOR_A]
    time.sleep(1.1)

    second = world.get(f"/studies/{PRIOR_A}/metadata", token, If_None_Match="*")

    assert (first.status, second.status) == (200, 403)


@pytest.mark.parametrize(
    ("method", "headers"), [("PUT", "authorization"), ("DELETE", "x-http-method-override"), ("GET", "*"), ("POST", "cookie")]
)
def test_group_22_a_preflight_permits_what_there_is_and_no_more(world: World, method: str, headers: str) -> None:
    asked = {"Origin": VIEWER_ORIGIN, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}

    answer = world.send("OPTIONS", world.root + METADATA, asked)

    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    permitted = {one.strip() for one in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert permitted == {"Authorization", "Accept", "Range", "If-Range", "X-Request-Id"}
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize(
    "origin", ["null", VIEWER_ORIGIN, f"{VIEWER_ORIGIN}, https://attacker.example", "https://VIEWER.example"]
)
@pytest.mark.parametrize("path", [METADATA, f"/studies/{STUDY_B}", "/nothing"])
def test_group_22_no_answer_lets_a_page_use_the_browsers_own_credentials(world: World, origin: str, path: str) -> None:
    for method in ("GET", "OPTIONS"):
        answer = world.send(method, world.root + path, {"Origin": origin, "Authorization": f"Bearer {world.north.token()}"})

        assert answer.headers["Access-Control-Allow-Credentials"] is None
        assert answer.headers["Access-Control-Allow-Origin"] in ((origin,) if origin == VIEWER_ORIGIN else (None,))
        assert answer.headers.get_all("Access-Control-Allow-Origin", [])[1:] == []


def test_group_15_time_tells_nothing_of_what_exists(world: World) -> None:
    """Loosely: another patient's study and one that is nowhere take about as long, since neither reaches the archive."""

    def seconds(study: str) -> float:
        token, begun = world.north.token(), time.perf_counter()
        assert world.get(f"/studies/{study}/metadata", token).status == 403
        return time.perf_counter() - begun

    pairs = [(seconds(STUDY_B), seconds("2.25.99")) for _ in range(15)]

    others, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert world.pacs.asked == []
    assert abs(others - unknown) < max(others, unknown) / 2 + 0.005
