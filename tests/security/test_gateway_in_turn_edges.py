"""Frames that the server passes on by itself: what an odd archive, a full pool or a slow caller costs, and whom.

Spec: SMART Imaging Access W5, W7; groups 19, 20 and 23; docs/decisions/0007.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fhir_imaging.clients.breaker import BreakerSettings
from imaging_cds.metrics import Metrics
from imaging_server import revocations, settings
from imaging_server.rate_limit import RateLimitSettings
from tests.contract.tls_actors import TestAuthority
from tests.kept_archive import PIXELS, Talk, frame_answer, slowly
from tests.security.gateway_stubs import FRAME, PRIOR_A, STUDY_A
from tests.ward_in_turn import PATH, ROOT, UNLIMITED, Ward, a_ward, in_bytes, wait_for

BURST = 20
OTHERS = b"another patient's"


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes that do not end before what else has to, and nobody who looks up meanwhile whether access was ended."""
    monkeypatch.setattr(settings, "LONGEST_PASS_S", 60.0)
    for name in ("LOOK_EVERY_S", "LONGEST_UNREAD_S"):
        monkeypatch.setattr(revocations, name, 60.0)


def of_size(ward: Ward, size: int) -> Talk:
    def talk(connection: socket.socket, path: str) -> bool:
        connection.sendall(frame_answer(ward.pacs.root, path, bytes(size)))
        return True

    return talk


def once_more_than_it_says(ward: Ward) -> Talk:
    """The first answer has another one behind it, in one piece with its own end."""
    whole = frame_answer(ward.pacs.root, FRAME)
    answers = [(whole[:-9], whole[-9:] + frame_answer(ward.pacs.root, FRAME, OTHERS))]

    def talk(connection: socket.socket, path: str) -> bool:
        for piece in answers.pop() if answers else (frame_answer(ward.pacs.root, path),):
            connection.sendall(piece)
            time.sleep(0.05)
        return True

    return talk


@contextmanager
def a_ward_over(over: str, directory: Path) -> Iterator[Ward]:
    """Its archive is reached over TLS or not."""
    authority = TestAuthority.in_folder(directory / "authority")
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(authority.chain())
    tls, trusted = (shown, {"certificate_authority": authority.file}) if over == "TLS" else (None, {})
    with a_ward(directory, server=UNLIMITED, archive=trusted, tls=tls) as ward:
        yield ward


@pytest.mark.parametrize("over", ["TLS", "TCP"])
def test_group_20_what_is_behind_an_answer_is_never_the_next_ones(tmp_path: Path, over: str) -> None:
    """TLS reads a record as a whole: what is there no longer shows at the socket."""
    with a_ward_over(over, tmp_path) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.frames = once_more_than_it_says(ward)

        bodies = [viewer.ask(PATH).body for _ in range(4)]

        assert ward.running.in_turn[0], "it is this way that is looked at"
        assert [(PIXELS in body, OTHERS in body) for body in bodies] == [(True, False)] * 4


@pytest.mark.parametrize("over", ["TLS", "TCP"])
def test_group_20_nor_is_it_where_the_application_asks(tmp_path: Path, over: str) -> None:
    """Python reads 8192 bytes at a time, and what TLS has of the same record beyond them stays there."""
    with a_ward_over(over, tmp_path) as ward:
        viewer = ward.let_in(ward.viewer())
        first = [frame_answer(ward.pacs.root, FRAME, b"mine" * 1250)]

        def talk(connection: socket.socket, path: str) -> bool:
            odd = first.pop().ljust(8192, b"\0") + frame_answer(ward.pacs.root, FRAME, OTHERS) if first else b""
            connection.sendall(odd or frame_answer(ward.pacs.root, path))
            time.sleep(0.05)
            return True

        ward.pacs.frames = talk

        answers = [viewer.ask(PATH, X_Other=f"words {number}") for number in range(4)]

        assert True not in ward.running.in_turn
        assert [(one.status, OTHERS in one.body) for one in answers] == [(200, False)] * 4


def closes_silently(ward: Ward) -> Talk:
    def talk(connection: socket.socket, path: str) -> bool:
        connection.sendall(frame_answer(ward.pacs.root, path))
        return False

    return talk


def says_close(ward: Ward) -> Talk:
    def talk(connection: socket.socket, path: str) -> bool:
        connection.sendall(frame_answer(ward.pacs.root, path, more="Connection: close\r\n"))
        return False

    return talk


@pytest.mark.parametrize(("archive", "least"), [(of_size, BURST), (closes_silently, BURST - 1), (says_close, BURST - 1)])
def test_group_23_a_frame_counts_once_however_it_is_passed_on(tmp_path: Path, archive: object, least: int) -> None:
    """One in five seconds may count twice: of which it shows only then that it is not plain."""
    limits = RateLimitSettings(requests_per_second=0.001, request_burst=BURST)
    with a_ward(tmp_path, server={"decision_cache_s": 60.0, "rate_limit": limits}) as ward:
        ward.pacs.frames = {of_size: None, closes_silently: closes_silently(ward), says_close: says_close(ward)}[archive]
        viewer = ward.viewer()

        statuses = [viewer.ask(PATH).status for _ in range(BURST + 5)]

        assert least <= statuses.count(200) <= BURST
        assert set(statuses) == {200, 429}


@pytest.mark.parametrize("status", ["202 Accepted", "429 Too Many Requests", "503 Busy"])
def test_an_archive_that_asks_for_patience_is_asked_once(tmp_path: Path, status: str) -> None:
    """It may have taken its time to say so. The application explains it in the same words as ever."""
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        token, number = ward.world.north.token(), {"X_Request_Id": "reading-room-4711"}
        viewer = ward.let_in(ward.viewer(token))
        busy = f"HTTP/1.1 {status}\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".encode()
        ward.pacs.frames = slowly([busy], 0.0)
        whole = ward.viewer(token, X_Other="words").ask(PATH, **number)
        ward.pacs.asked.clear()

        told = viewer.ask(PATH, **number)

        assert len(ward.pacs.retrievals()) == 1
        assert (told.status, told.headers["Retry-After"]) == (503, "7")
        assert (told.status, told.body) == (whole.status, whole.body)


def test_what_is_asked_for_twice_is_told_with_all_its_seconds(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        viewer = ward.let_in(ward.viewer())
        missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"

        def slow(connection: socket.socket, _path: str) -> bool:
            time.sleep(0.4)
            connection.sendall(missing)
            return True

        ward.pacs.frames = slow

        assert viewer.ask(PATH).status == 404
        assert wait_for(lambda: bool(ward.told))
        assert [one.status for one in ward.told] == [404]
        assert ward.told[0].duration_s > 0.8


def test_group_23_a_study_that_is_left_alone_costs_others_no_connection(tmp_path: Path) -> None:
    breaker = BreakerSettings(outages=2, cool_down_s=60)
    with a_ward(tmp_path, server={**UNLIMITED, "breaker": breaker}, archive={"read_timeout_s": 0.3}) as ward:
        token = ward.world.north.token()
        viewer, other = ward.let_in(ward.viewer(token)), ward.viewer(token)
        elsewhere = PATH.replace(STUDY_A, PRIOR_A)
        assert other.ask(elsewhere).status == 200
        ward.pacs.frames = slowly([], 1.0)
        assert [viewer.ask(PATH).status for _ in range(2)] == [504, 504]
        ward.pacs.frames = None
        assert other.ask(elsewhere).status == 200
        connections, asked = ward.pacs.connections, len(ward.pacs.retrievals())

        statuses = [(viewer.ask(PATH).status, other.ask(elsewhere).status) for _ in range(4)]

        assert statuses == [(503, 200)] * 4
        assert (ward.pacs.connections, len(ward.pacs.retrievals())) == (connections, asked + 4)


def test_group_23_an_archive_that_drips_has_an_end(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED, archive={"read_timeout_s": 0.3}) as ward:
        viewer = ward.let_in(ward.viewer())
        whole = frame_answer(ward.pacs.root, FRAME)
        ward.pacs.frames = slowly([whole[:300], *(whole[place : place + 1] for place in range(300, 320)), whole[320:]], 0.2)
        began = time.monotonic()

        assert viewer.ask(PATH).status == 502
        assert time.monotonic() - began < 2.5
        assert ward.running.in_turn == [False]


def test_seconds_end_with_the_answers_headers(tmp_path: Path) -> None:
    """Of a caller who takes his time, and never reads."""
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.frames = of_size(ward, 1_000_000)
        reading = viewer.connection.sock
        reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked = 0
        while asked < 40 and (asked == 0 or wait_for(lambda: len(ward.told) == asked, 1.0)):  # noqa: B023 - it is asked at once
            reading.sendall(in_bytes(viewer))
            asked += 1
        assert asked < 40, "the kernel takes no more"
        reading.close()

        assert wait_for(lambda: len(ward.told) == asked)
        assert max(one.duration_s for one in ward.told) < 0.9


def test_frames_that_have_no_room_are_asked_for_once(tmp_path: Path) -> None:
    """Such a series does not stand at all."""
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        ward.pacs.frames = of_size(ward, 2_000_000)
        viewer = ward.viewer()
        assert viewer.ask(PATH).status == 200
        ward.pacs.asked.clear()

        assert [viewer.ask(PATH).status for _ in range(5)] == [200] * 5
        assert len(ward.pacs.retrievals()) == 5
        assert True not in ward.running.in_turn


def test_metrics_count_what_is_sent_however_it_is_passed_on(tmp_path: Path) -> None:
    metrics = Metrics()
    with a_ward(tmp_path, server=UNLIMITED, also=metrics.install) as ward:
        viewer = ward.viewer()

        sent = sum(len(viewer.ask(PATH).body) for _ in range(10))

        assert ward.turns(9)[-5:] == [True] * 5
        assert wait_for(lambda: total(metrics, "imaging_cds_requests_total") == 10)
        assert total(metrics, "imaging_cds_sent_bytes_total") == sent
        assert total(metrics, "imaging_cds_open_streams") == 0


def test_metrics_show_a_body_that_is_not_taken(tmp_path: Path) -> None:
    metrics = Metrics()
    with a_ward(tmp_path, server=UNLIMITED, also=metrics.install) as ward:
        viewer = ward.let_in(ward.viewer())
        ward.pacs.frames = of_size(ward, 1_000_000)
        viewer.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while total(metrics, "imaging_cds_open_streams") == 0:
            viewer.connection.sock.sendall(in_bytes(viewer))
            wait_for(lambda: total(metrics, "imaging_cds_open_streams") == 1, 0.3)
        viewer.connection.sock.close()

        assert wait_for(lambda: total(metrics, "imaging_cds_open_streams") == 0)


def total(metrics: Metrics, name: str) -> float:
    families = text_string_to_metric_families(metrics.as_text().decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def test_a_connection_that_is_cut_in_the_middle_of_an_answer_is_counted_off_once(tmp_path: Path) -> None:
    """A worker that believes that it has none left cuts the others when it ends."""
    with a_ward(tmp_path, server={**UNLIMITED, "small_body_bytes": 64 * 1024}) as ward:
        idle = ward.viewer()
        assert idle.ask(f"{ROOT}/studies/{STUDY_A}/series", Accept="application/dicom+json").status == 200
        whole = frame_answer(ward.pacs.root, FRAME, bytes(900_000))

        def cut(connection: socket.socket, _path: str) -> bool:
            connection.sendall(whole[:-200_000])
            return False

        ward.pacs.frames = cut
        for _ in range(3):
            viewer = ward.viewer()
            with pytest.raises((HTTPException, OSError)):  # as it comes
                viewer.ask(PATH)
            viewer.connection.close()

        assert wait_for(lambda: not ward.running.worker._with_threads and ward.running.worker.nr_conns <= 1)
        assert ward.running.worker.nr_conns == 1
