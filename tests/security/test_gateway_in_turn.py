"""Frames that the server passes on by itself, by the pass that a series was given (``standing_frames``): never more than the
gate would, and word for word what the application says.

Spec: SMART Imaging Access W3, W5, W7; groups 1, 5, 6, 10, 16, 17, 19, 20, 21, 23 and 35; docs/decisions/0007.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from fhir_imaging.clients.breaker import BreakerSettings
from imaging_server import revocations, settings, standing_frames
from imaging_server.rate_limit import RateLimitSettings
from imaging_server.revocations import Revocation, RevocationLog
from tests.kept_archive import BOUNDARY, PIXELS, Talk, frame_answer, slowly
from tests.security.gateway_actors import VIEWER_ORIGIN, Answer
from tests.security.gateway_stubs import FRAME, PRIOR_A, STUDY_A, STUDY_B, instance_of, series_of
from tests.ward_in_turn import EACH_S, NOTICED_S, PATH, ROOT, UNLIMITED, Ward, a_ward, in_bytes, wait_for
from tests.worker_here import Caller

NEXT = PATH.replace(instance_of(STUDY_A), instance_of(STUDY_A, 1, 2))


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes that do not end before what else has to, and no rest after what was not plain."""
    monkeypatch.setattr(settings, "LONGEST_PASS_S", 60.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "LONGEST_PASS_S", 60.0)
        with a_ward(tmp_path_factory.mktemp("in-turn"), server=UNLIMITED) as ward:
            yield ward


@pytest.fixture
def ward(shared: Ward, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """Nobody has to look up meanwhile whether access was ended, which is the application's to do; tests of that are below."""
    for name in ("LOOK_EVERY_S", "LONGEST_UNREAD_S"):
        monkeypatch.setattr(revocations, name, 60.0)
    shared.world.start_anew()
    shared.pacs.frames = None
    shared.running.in_turn.clear()
    return shared


def said(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of an answer that may be compared."""
    return answer.status, answer.body, sorted((name, value) for name, value in answer.headers.items() if name != "Date")


@pytest.mark.parametrize("further", [{}, {"Origin": VIEWER_ORIGIN}, {"Origin": "https://elsewhere.example"}])
def test_further_frames_are_passed_on_in_the_applications_words(ward: Ward, further: dict[str, str]) -> None:
    token, number = ward.world.north.token(), {"X_Request_Id": "reading-room-4711"}
    whole = ward.viewer(token, **further).ask(PATH, **number)
    viewer = ward.let_in(ward.viewer(token, **further))

    passed = viewer.ask(PATH, **number)

    assert ward.turns(1) == [True]
    assert said(passed) == said(whole)
    assert PIXELS in passed.body
    assert f"{ward.world.url}{PATH}".partition("/imaging")[2].encode() in passed.body
    assert ward.pacs.kept.encode() not in passed.body
    assert (passed.headers["X-Request-Id"], passed.headers["Date"][-4:]) == ("reading-room-4711", " GMT")


def test_it_is_told_like_any_other_request(ward: Ward) -> None:
    ward.told.clear()
    viewer = ward.viewer()
    viewer.ask(PATH, X_Request_Id="reading-room-1")
    ordinary = ward.told[0]
    ward.let_in(viewer)

    viewer.ask(PATH, X_Request_Id="reading-room-1")

    assert wait_for(lambda: bool(ward.told))
    assert [replace(one, duration_s=0) for one in ward.told] == [replace(ordinary, duration_s=0)]


def test_each_frame_is_asked_for_by_its_own_address_over_one_connection(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    connections = ward.pacs.connections
    paths = [PATH, NEXT, PATH.replace("/frames/1", "/frames/30")]

    answers = [viewer.ask(path) for path in paths]

    assert ward.turns(3) == [True] * 3
    assert [one.path for one in ward.pacs.asked] == [f"/archive/dicom-web{path.removeprefix(ROOT)}" for path in paths]
    assert all(f"{path}\r\n".encode() in one.body for path, one in zip(paths, answers, strict=True))
    assert ward.pacs.connections == connections


def test_the_archive_hears_the_same_words_as_ever_and_nothing_of_the_callers(ward: Ward) -> None:
    viewer = ward.viewer(X_Ward="7")
    viewer.ask(PATH)
    ordinary = ward.pacs.heads[-1]
    ward.let_in(viewer)

    viewer.ask(PATH, X_Request_Id="reading-room-1")

    assert ward.turns(1) == [True]
    assert ward.pacs.heads[-1] == ordinary
    assert viewer.headers["Authorization"].encode() not in ordinary


def test_two_callers_on_one_connection_are_told_apart(ward: Ward) -> None:
    other = ward.world.north.token("pat-b")
    viewer = ward.let_in(ward.viewer())

    assert viewer.ask(PATH, Authorization=f"Bearer {other}").status == 403
    assert (ward.running.in_turn, ward.pacs.retrievals()) == ([], [])
    assert viewer.ask(PATH).status == 200
    assert ward.world.audit()[0].outcome == "denied"


ELSEWHERE: dict[str, tuple[str, int]] = {
    "instance that is not in the series": (PATH.replace("/instances/", "/instances/9"), 403),
    "series that is not in the study": (PATH.replace(series_of(STUDY_A), series_of(STUDY_A, 2)), 403),
    "another patient's study": (PATH.replace(STUDY_A, STUDY_B), 403),
    "another EHR": (PATH.replace("/north/", "/south/"), 401),
    "frame 0": (PATH.replace("/frames/1", "/frames/0"), 404),
    "a frame that is none": (PATH.replace("/frames/1", "/frames/1,"), 404),
    "dots": (PATH.replace("/instances/", "/instances/../instances/"), 404),
}


@pytest.mark.parametrize(("path", "status"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_group_10_nothing_beside_the_series_is_passed_on(ward: Ward, path: str, status: int) -> None:
    viewer = ward.let_in(ward.viewer())

    assert viewer.ask(path).status == status
    assert True not in ward.running.in_turn
    assert ward.pacs.retrievals() == []


OTHER_WORDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "no token": (PATH, {"Authorization": None}, 401),
    "another form": (PATH, {"Accept": "image/jpeg, */*"}, 200),
    "a field more": (PATH, {"X_Anything": "1"}, 200),
    "a query": (f"{PATH}?accept=image/jpeg", {}, 200),
    "an empty query": (f"{PATH}?", {}, 200),
    "several frames": (PATH.replace("/frames/1", "/frames/1,2"), {}, 200),
}


@pytest.mark.parametrize(("path", "changes", "status"), OTHER_WORDS.values(), ids=OTHER_WORDS)
def test_group_21_other_words_go_to_the_application(ward: Ward, path: str, changes: dict[str, Any], status: int) -> None:
    viewer = ward.let_in(ward.viewer())

    assert viewer.ask(path, **changes).status == status
    assert True not in ward.running.in_turn


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("DELETE", 405)])
def test_group_16_other_methods_go_to_the_application(ward: Ward, method: str, status: int) -> None:
    viewer = ward.let_in(ward.viewer())

    assert viewer.ask(PATH, method).status == status
    assert ward.running.in_turn == []


def answered(whole: bytes) -> Talk:
    return slowly([whole], 0.0)


def an_answer(body: bytes, *, kind: str = f'multipart/related; type="application/octet-stream"; boundary={BOUNDARY}') -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def a_part(pixels: bytes = b"pixels", lines: str = "") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n{lines}\r\n"
    return head.encode() + pixels + b"\r\n"


END = f"--{BOUNDARY}--".encode()
USUAL = frame_answer("http://elsewhere.internal", "/studies/1")
ODD: dict[str, bytes] = {
    "part without a length": an_answer(a_part() + END),
    "two parts": an_answer(a_part(lines="Content-Length: 6\r\n") * 2 + END),
    "part of another length": an_answer(a_part(lines="Content-Length: 5\r\n") + END),
    "two lengths": an_answer(a_part(lines="Content-Length: 6\r\nContent-Length: 6\r\n") + END),
    "words before the first part": an_answer(b"by pacs.internal\r\n" + a_part(lines="Content-Length: 6\r\n") + END),
    "words after the last part": an_answer(a_part(lines="Content-Length: 6\r\n") + END + b"\r\nby pacs.internal"),
    "padding behind the delimiter": an_answer(a_part(lines="Content-Length: 6\r\n").replace(b"b-0\r", b"b-0 \r", 1) + END),
    "no end": an_answer(a_part(lines="Content-Length: 6\r\n")),
    "another boundary": an_answer(a_part(lines="Content-Length: 6\r\n").replace(b"b-0", b"b-1") + END),
    "single": an_answer(b"pixels", kind="application/octet-stream"),
    "a page": an_answer(b"<html>", kind="text/html"),
    "no type": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "in chunks": USUAL.replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\nX-Length: ", 1).partition(b"\r\n\r\n")[0]
    + b"\r\n\r\n6\r\npixels\r\n0\r\n\r\n",
    "remark": frame_answer("http://x", "/y", more='Warning: 299 pacs.internal "remark"\r\n'),
    "address of the whole": frame_answer("http://x", "/y", more="Content-Location: http://pacs.internal/\r\n"),
    "ranges": frame_answer("http://x", "/y", more="Accept-Ranges: bytes\r\n"),
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
    "our password refused": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno",
    "not ready": b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno",
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://pacs.internal/\r\nContent-Length: 2\r\n\r\nno",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a field twice": USUAL.replace(b"\r\n", b"\r\nX-Host: a\r\nX-Host: b\r\n", 1),
    "nothing of HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_groups_17_and_19_what_is_not_plain_is_answered_as_the_application_does(ward: Ward, answer: bytes) -> None:
    """The application asks for itself: no byte that the server read is passed on, and what is told is the application's."""
    token, number = ward.world.north.token(), {"X_Request_Id": "reading-room-4711"}
    viewer = ward.let_in(ward.viewer(token))
    ward.pacs.frames = answered(answer)
    whole = ward.viewer(token, X_Other="words").ask(PATH, **number)
    ward.running.in_turn.clear()

    told = viewer.ask(PATH, **number)

    assert ward.running.in_turn == [False]
    assert said(told) == said(whole)
    assert b"internal" not in told.body
    assert viewer.ask(PATH, **number).status == whole.status
    assert ward.turns(2) == [False, False], "nor is that tried again at once"


def test_group_17_an_address_elsewhere_is_dropped(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    ward.pacs.frames = answered(frame_answer("http://pacs.internal", FRAME))

    answer = viewer.ask(PATH)

    assert (answer.status, ward.turns(1)) == (200, [True])
    assert b"Location" not in answer.body
    assert answer.body.endswith(b"\r\n\r\n" + PIXELS + b"\r\n--" + BOUNDARY.encode() + b"--")


def test_group_17_an_address_of_the_same_study_is_rewritten(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    ward.pacs.frames = answered(frame_answer(ward.pacs.root, f"/studies/{STUDY_A}"))

    answer = viewer.ask(PATH)

    assert (answer.status, ward.turns(1)) == (200, [True])
    assert f"{ROOT}/studies/{STUDY_A}\r\n".encode() in answer.body


def test_group_19_an_image_that_looks_like_anything_is_passed_on_as_it_is(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    pixels = b"\r\n--b-0--\r\nHTTP/1.1 200 OK\r\n\r\n--b-0\r\nContent-Location: http://pacs.internal/\r\n\r\n"
    ward.pacs.frames = lambda connection, path: bool(connection.sendall(frame_answer(ward.pacs.root, path, pixels))) or True

    answer = viewer.ask(PATH)

    assert (answer.status, ward.turns(1)) == (200, [True])
    assert pixels in answer.body


@pytest.mark.parametrize("size", [1, 4000, 70_000, 900_000])
def test_no_byte_of_the_frame_before_comes_along(ward: Ward, size: int) -> None:
    """Both are read to the same place."""
    viewer = ward.let_in(ward.viewer())
    frames = iter([b"\xaa" * 900_000, b"\xbb" * size])
    ward.pacs.frames = lambda connection, path: (
        bool(connection.sendall(frame_answer(ward.pacs.root, path, next(frames)))) or True
    )

    long, short = viewer.ask(PATH), viewer.ask(NEXT)

    assert ward.turns(2) == [True, True]
    assert long.body.count(b"\xaa") == 900_000
    assert (short.body.count(b"\xbb"), short.body.count(b"\xaa")) == (size, 0)


def test_what_is_larger_than_the_room_goes_to_the_application(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    ward.pacs.frames = lambda connection, path: (
        bool(connection.sendall(frame_answer(ward.pacs.root, path, bytes(1_100_000)))) or True
    )

    answer = viewer.ask(PATH)

    assert (answer.status, ward.running.in_turn) == (200, [False])
    assert len(answer.body) > 1_100_000


def test_what_is_to_be_streamed_goes_to_the_application(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "small_body_bytes": 64 * 1024}) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.frames = lambda connection, path: (
            bool(connection.sendall(frame_answer(ward.pacs.root, path, bytes(70_000)))) or True
        )

        assert viewer.ask(PATH).status == 200
        assert ward.running.in_turn == [False]


def test_an_answer_in_pieces_is_put_together(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    whole = frame_answer(ward.pacs.root, FRAME)
    head = whole.index(b"\r\n\r\n") + 4
    ward.pacs.frames = slowly([whole[:head], whole[head : head + 50], whole[head + 50 : -1], whole[-1:]], 0.02)

    answer = viewer.ask(PATH)

    assert (answer.status, ward.turns(1)) == (200, [True])
    assert PIXELS in answer.body


def test_what_follows_an_answer_is_no_one_elses(ward: Ward) -> None:
    """Group 20: bytes behind the stated end must not become the next frame."""
    viewer = ward.let_in(ward.viewer())
    whole = frame_answer(ward.pacs.root, FRAME)
    ward.pacs.frames = answered(whole + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")

    answers = [viewer.ask(PATH) for _ in range(3)]

    assert [b"forged" in one.body for one in answers] == [False] * 3
    assert True not in ward.running.in_turn


def closing(said_first: bytes) -> Talk:
    def talk(connection: socket.socket, _path: str) -> bool:
        connection.sendall(said_first)
        return False

    return talk


def test_an_archive_that_has_hung_up_is_asked_again(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    ward.pacs.frames = closing(b"")
    hung_up = iter([True])
    ward.pacs.frames = lambda connection, path: not next(hung_up, False) and ward.pacs.usual_frame(connection, path)

    answer = viewer.ask(PATH)

    assert (answer.status, ward.running.in_turn) == (200, [False])
    assert PIXELS in answer.body


def test_an_archive_that_breaks_off_is_explained_under_the_same_number(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    ward.pacs.frames = closing(USUAL[:-50])

    answer = viewer.ask(PATH, X_Request_Id="reading-room-9")

    assert (answer.status, ward.running.in_turn) == (502, [False])
    assert (answer.headers["Content-Type"], answer.headers["X-Request-Id"]) == ("application/problem+json", "reading-room-9")
    assert len(ward.pacs.retrievals()) == 1, "it was asked once"
    assert [(one.status, one.reference) for one in ward.told] == [(502, "reading-room-9")]
    ward.pacs.frames = None
    assert viewer.ask(PATH).status == 200


def test_an_archive_that_is_silent_is_asked_once_and_explained(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED, archive={"read_timeout_s": 0.5}) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.frames = slowly([], 3.0)
        began = time.monotonic()

        answer = viewer.ask(PATH)

        assert (answer.status, ward.running.in_turn) == (504, [False])
        assert len(ward.pacs.retrievals()) == 1
        assert time.monotonic() - began < 2.5


def test_group_23_silence_counts_and_the_archive_is_left_alone(tmp_path: Path) -> None:
    """W7: the breaker hears of these questions as of all others."""
    breaker = BreakerSettings(outages=2, cool_down_s=60)
    with a_ward(tmp_path, server={**UNLIMITED, "breaker": breaker}, archive={"read_timeout_s": 0.3}) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.frames = slowly([], 1.0)

        statuses = [viewer.ask(PATH).status for _ in range(3)]
        asked = len(ward.pacs.retrievals())

        assert statuses == [504, 504, 503]
        assert (asked, viewer.ask(PATH).status, len(ward.pacs.retrievals())) == (2, 503, 2)


def test_group_23_an_archive_that_is_left_alone_is_left_alone(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "breaker": BreakerSettings(outages=2, cool_down_s=60)}) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.answer = lambda _: Response("no", 502)
        for study in (STUDY_A, PRIOR_A):
            ward.world.get(FRAME.replace(STUDY_A, study), ward.world.north.token())
        ward.pacs.asked.clear()

        assert (viewer.ask(PATH).status, ward.running.in_turn, ward.pacs.retrievals()) == (503, [False], [])


def test_who_waits_for_a_connection_in_vain_is_told_to_come_again(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED, archive={"max_connections": 1, "connect_timeout_s": 1.0}) as ward:
        token = ward.world.north.token()
        first, second = (ward.let_in(ward.viewer(token)) for _ in range(2))
        ward.pacs.frames = slowly([], 4.0)
        first.connection.request("GET", PATH, headers=first.headers)
        wait_for(lambda: bool(ward.pacs.retrievals()))

        answer = second.ask(PATH)

        assert (answer.status, ward.running.in_turn) == (503, [False])
        assert "Retry-After" in answer.headers


def test_group_23_it_is_no_way_round_the_rate_limit(tmp_path: Path) -> None:
    limits = RateLimitSettings(requests_per_second=0.001, request_burst=6)
    with a_ward(tmp_path, server={"decision_cache_s": 60.0, "rate_limit": limits}) as ward:
        viewer = ward.let_in(ward.viewer())

        assert [viewer.ask(PATH).status for _ in range(5)] == [200] * 3 + [429] * 2
        assert True in ward.running.in_turn
        assert ward.world.audit()[0].outcome == "denied"


def seen_until(viewer: Caller, status: int) -> tuple[list[int], float]:
    """One frame after the other until one is answered so: all statuses, and the seconds that it took."""
    began, seen = time.monotonic(), []
    while time.monotonic() - began < NOTICED_S:
        seen.append(viewer.ask(PATH).status)
        if seen[-1] == status:
            break
        time.sleep(EACH_S)
    return seen, time.monotonic() - began


def test_group_6_access_that_is_ended_ends_in_the_middle_of_a_series(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        viewer = ward.let_in(ward.viewer(ward.world.north.token(jti="jti-of-the-stream")))
        RevocationLog(ward.world.store).mark(Revocation(marked_at=int(time.time()), token_reference="jti-of-the-stream"))

        seen, took_s = seen_until(viewer, 401)

        assert True in ward.running.in_turn
        assert set(seen) == {200, 401}
        assert took_s < revocations.LOOK_EVERY_S + 2, "within about a second, on a slow machine"


def test_group_5_it_ends_with_the_token(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "token_leeway_s": 0}) as ward:
        end = int(time.time()) + 3
        viewer = ward.let_in(ward.viewer(ward.world.north.token(exp=end)))
        while time.time() < end:
            assert viewer.ask(PATH).status == 200 or time.time() >= end
            time.sleep(EACH_S)

        assert True in ward.running.in_turn
        assert viewer.ask(PATH).status == 401


def test_group_35_when_a_record_is_due_again_the_application_makes_it(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "audit_window_s": 1}) as ward:
        viewer = ward.let_in(ward.viewer())
        first, ended = len(ward.world.audit()), time.monotonic() + 2.5
        while time.monotonic() < ended:
            assert viewer.ask(PATH).status == 200
            time.sleep(EACH_S)

        assert first == 1
        assert len(ward.world.audit()) >= 2
        assert True in ward.running.in_turn


def test_a_fault_there_is_the_applications_to_answer(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = ward.let_in(ward.viewer())

    def fails(*_: object) -> None:
        raise RuntimeError("synthetic")

    monkeypatch.setattr(standing_frames.StandingFrames, "__call__", fails)

    assert [viewer.ask(PATH).status for _ in range(2)] == [200, 200]
    assert ward.running.in_turn == [False, False]


def test_a_fault_behind_the_answer_ends_the_connection(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is sent a second answer to one request."""
    viewer = ward.let_in(ward.viewer())
    usual = standing_frames.StandingFrames.__call__

    def fails(self: Any, *given: Any) -> None:
        usual(self, *given)
        raise RuntimeError("synthetic")

    with monkeypatch.context() as broken:
        broken.setattr(standing_frames.StandingFrames, "__call__", fails)
        answer = viewer.ask(PATH)

        assert (answer.status, PIXELS in answer.body) == (200, True)
        viewer.connection.sock.settimeout(5)
        assert viewer.connection.sock.recv(1) == b""


def test_who_hangs_up_in_the_middle_is_let_go_and_the_archives_connection_kept(ward: Ward) -> None:
    viewer = ward.let_in(ward.viewer())
    connections, held = ward.pacs.connections, ward.running.worker.nr_conns
    ward.pacs.frames = lambda connection, path: (
        bool(connection.sendall(frame_answer(ward.pacs.root, path, bytes(1_000_000)))) or True
    )
    viewer.connection.request("GET", PATH, headers=viewer.headers)
    viewer.connection.close()

    assert wait_for(lambda: ward.running.worker.nr_conns == held - 1)
    ward.pacs.frames = None
    assert ward.let_in(ward.viewer()).ask(PATH).status == 200
    assert ward.pacs.connections == connections


def test_group_23_a_caller_who_does_not_read_holds_no_connection_to_the_archive(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED, archive={"max_connections": 1, "connect_timeout_s": 1.0}) as ward:
        token = ward.world.north.token()
        slow, quick = (ward.let_in(ward.viewer(token)) for _ in range(2))
        ward.pacs.frames = lambda connection, path: (
            bool(connection.sendall(frame_answer(ward.pacs.root, path, bytes(1_000_000)))) or True
        )
        slow.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        told = -1
        while told < len(ward.told):  # until more is on its way than the kernel holds for both sides
            told = len(ward.told)
            slow.connection.sock.sendall(in_bytes(slow))
            wait_for(lambda: len(ward.told) > told, 1.0)  # noqa: B023 - it is asked at once
        assert True in ward.running.in_turn

        assert [quick.ask(PATH).status for _ in range(3)] == [200] * 3
        assert ward.running.worker._with_threads >= 1, "the slow one still has a thread"


def test_a_stopping_server_answers_by_the_application_and_ends(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.running.worker.alive = False

        answer = viewer.ask(PATH)

        assert (answer.status, answer.headers["Connection"], ward.running.in_turn) == (200, "close", [])
