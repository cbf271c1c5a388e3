"""What the server tells nginx by itself, by the pass that a series was given (``at_once``): never more than the gate would.

Spec: SMART Imaging Access W3, W5; groups 1, 5, 6, 9, 10, 16, 20, 21, 23, 34 and 35; docs/decisions/0007.
"""

from __future__ import annotations

import http.client
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from fhir_imaging.clients.archive_credentials import ClientCredentials, FixedCredential
from fhir_imaging.clients.breaker import BreakerSettings
from fhir_imaging.settings import HandOver
from fhir_imaging.store.engine import SQLITE_FILE
from fhir_imaging.web import RequestSummary, install, observe
from imaging_cds import at_once, worker
from imaging_cds.plain_requests import in_pieces
from imaging_server import revocations, settings, standing_directions
from imaging_server.handover import AUTHORIZATION_HEADER, KEY_HEADER, HandedArchive, Handover, handover_key
from imaging_server.rate_limit import RateLimitSettings
from imaging_server.revocations import Revocation, RevocationLog
from imaging_server.views import create_blueprint, error_surface
from tests.examples import examples
from tests.security.gateway_actors import VIEWER_ORIGIN, World, a_world
from tests.security.gateway_stubs import FRAME, METADATA, PRIOR_A, STUDY_A, STUDY_B, instance_of, series_of
from tests.worker_here import Caller, RunningWorker, a_worker

ONE_FORM = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
HANDED: dict[str, Any] = {"hand_over": HandOver.FRAMES, "keeps_hierarchy": True, "headers": {"X-Tenant": "north"}}
PATH = f"/imaging/north/dicom-web/main{FRAME}"
NEXT = PATH.replace(instance_of(STUDY_A), instance_of(STUDY_A, 1, 2))
EACH_S = 0.02
NOTICED_S = 8.0


@dataclass(repr=False)
class Ward:
    """The gateway on the product's own server, as nginx sees it."""

    world: World
    running: RunningWorker
    told: list[RequestSummary] = field(default_factory=list)

    def nginx(self, token: str | None = None, **headers: str) -> Caller:
        """nginx for one caller, on a connection of its own."""
        shown = {"Accept": ONE_FORM, KEY_HEADER: handover_key(self.world.store.sealer)}
        caller = self.running.caller(shown | {name.replace("_", "-"): value for name, value in headers.items()})
        caller.headers["Authorization"] = f"Bearer {token or self.world.north.token()}"
        return caller


@contextmanager
def a_ward(directory: Path, **changes: Any) -> Iterator[Ward]:
    with ExitStack() as stack:
        world = stack.enter_context(a_world(directory, archive=HANDED, **changes))
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(world.services)])
        told: list[RequestSummary] = []
        observe(app, told.append)
        app.register_blueprint(create_blueprint(world.services))
        yield Ward(world, stack.enter_context(a_worker(app)), told)


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes that do not end before what else has to."""
    monkeypatch.setattr(settings, "LONGEST_PASS_S", 60.0)


UNLIMITED = {"decision_cache_s": 60.0, "rate_limit": RateLimitSettings(requests_per_second=0.0)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "LONGEST_PASS_S", 60.0)
        with a_ward(tmp_path_factory.mktemp("at-once"), server=UNLIMITED) as ward:
            yield ward


@pytest.fixture
def ward(shared: Ward, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """Nobody has to look up meanwhile whether access was ended, which is the application's to do; tests of that are below."""
    for name in ("LOOK_EVERY_S", "LONGEST_UNREAD_S"):
        monkeypatch.setattr(revocations, name, 60.0)
    shared.world.start_anew()
    shared.told.clear()
    shared.running.at_once.clear()
    return shared


def let_in(ward: Ward, caller: Caller, path: str = PATH) -> None:
    """As far as the server may answer further frames by itself."""
    assert caller.ask(path).status == 200
    assert wait_for(lambda: not ward.running.worker._with_threads), "the thread has let go of the connection"
    ward.running.at_once.clear()


def wait_for(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + NOTICED_S
    while not is_so() and time.monotonic() < until:
        time.sleep(EACH_S)
    return is_so()


def without_what_differs(answer: Any) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.headers.items() if name != "Date")


@pytest.mark.parametrize("further", [{}, {"Origin": VIEWER_ORIGIN}, {"Origin": "https://elsewhere.example"}])
def test_further_frames_are_answered_at_once_in_the_applications_words(ward: Ward, further: dict[str, str]) -> None:
    token, number = ward.world.north.token(), {"X_Request_Id": "reading-room-4711"}
    whole = ward.nginx(token, **further).ask(PATH, **number)
    caller = ward.nginx(token, **further)
    let_in(ward, caller)
    ward.world.pacs.asked.clear()

    told = caller.ask(PATH, **number)

    assert ward.running.at_once == [True]
    assert (told.status, told.body, without_what_differs(told)) == (whole.status, b"", without_what_differs(whole))
    assert told.headers["Date"].endswith(" GMT")
    assert wait_for(lambda: len(ward.told) == 3), "it is told of an answer when that was sent"
    assert replace(ward.told[-1], duration_s=0) == replace(ward.told[0], duration_s=0)
    assert (ward.told[-1].reference, ward.told[-1].names) == ("reading-room-4711", {"ehr": "north", "pacs": "main"})
    assert ward.world.pacs.asked == []


def test_each_frame_has_its_own_address_and_number(ward: Ward) -> None:
    caller = ward.nginx()
    let_in(ward, caller)
    several = PATH.replace("/frames/1", "/frames/1,2,30")

    told = [caller.ask(path, X_Request_Id=f"reading-room-{at}") for at, path in enumerate((PATH, several))]

    assert ward.running.at_once == [True, True]
    root = "/imaging/north/dicom-web/main"
    assert [one.headers["X-Accel-Redirect"] for one in told] == [
        f"/_handed/main{path.removeprefix(root)}" for path in (PATH, several)
    ]
    assert [one.headers["X-Request-Id"] for one in told] == ["reading-room-0", "reading-room-1"]


@pytest.mark.parametrize("number", ["1" * 8, "eyJhbGciOiJIUzI1NiJ9", "a", 'x"y', "p" * 65])
def test_group_34_a_number_that_is_no_plain_one_is_made_anew(ward: Ward, number: str) -> None:
    caller = ward.nginx()
    let_in(ward, caller)
    ward.told.clear()

    told = caller.ask(PATH, X_Request_Id=number)

    assert ward.running.at_once == [True]
    assert wait_for(lambda: bool(ward.told))
    assert told.headers["X-Request-Id"] == ward.told[0].reference != number


def test_another_connection_of_the_same_callers_is_answered_at_once_too(ward: Ward) -> None:
    """nginx has several, and sends whatever comes next on any of them."""
    token = ward.world.north.token()
    first, second = ward.nginx(token), ward.nginx(token)
    let_in(ward, first)
    let_in(ward, second)

    assert [one.ask(PATH).status for one in (first, second, first)] == [200] * 3
    assert ward.running.at_once == [True] * 3


def test_two_callers_on_one_connection_are_told_apart(ward: Ward) -> None:
    mine, other = ward.world.north.token(), ward.world.north.token("pat-b")
    nginx = ward.nginx(mine)
    let_in(ward, nginx)

    assert nginx.ask(PATH, Authorization=f"Bearer {other}").status == 403
    assert ward.running.at_once == [False]
    assert nginx.ask(PATH).status == 200
    assert ward.world.audit()[0].outcome == "denied"


ELSEWHERE: dict[str, tuple[str, int]] = {
    "instance that is not in the series": (PATH.replace("/instances/", "/instances/9"), 403),
    "series that is not in the study": (PATH.replace(series_of(STUDY_A), series_of(STUDY_A, 2)), 403),
    "another patient's study": (PATH.replace(STUDY_A, STUDY_B), 403),
    "the study of no one": (PATH.replace(STUDY_A, "2.25.99"), 403),
    "another EHR": (PATH.replace("/north/", "/south/"), 401),
    "no such EHR": (PATH.replace("/north/", "/east/"), 404),
    "frame 0": (PATH.replace("/frames/1", "/frames/0"), 404),
    "a frame that is none": (PATH.replace("/frames/1", "/frames/1,"), 404),
    "dots": (PATH.replace("/instances/", "/instances/../instances/"), 404),
}


@pytest.mark.parametrize(("path", "status"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_group_10_nothing_beside_the_series_is_opened(ward: Ward, path: str, status: int) -> None:
    caller = ward.nginx()
    let_in(ward, caller)
    ward.world.pacs.asked.clear()

    answer = caller.ask(path)

    assert (answer.status, ward.running.at_once) == (status, [False])
    assert "X-Accel-Redirect" not in answer.headers
    assert ward.world.pacs.retrievals() == []


OTHER_WORDS: dict[str, dict[str, Any]] = {
    "no token": {"Authorization": None},
    "no key of nginx's": {KEY_HEADER.replace("-", "_"): None},
    "another key": {KEY_HEADER.replace("-", "_"): "0" * 64},
    "another form": {"Accept": "image/jpeg, */*"},
    "another origin": {"Origin": "https://elsewhere.example"},
    "another address before nginx": {"X_Forwarded_For": "10.0.0.9"},
    "a field more": {"X_Anything": "1"},
    "another case": {"accept": ONE_FORM, "Accept": None},
}


@pytest.mark.parametrize("changes", OTHER_WORDS.values(), ids=OTHER_WORDS)
def test_group_21_other_words_go_to_the_application(ward: Ward, changes: dict[str, Any]) -> None:
    caller = ward.nginx()
    let_in(ward, caller)

    told = caller.ask(PATH, **changes)

    assert ward.running.at_once == [False]
    if changes.get("Authorization", "") is None:
        assert told.status == 401
    if any(name.startswith("X_Imaging") for name in changes):
        assert AUTHORIZATION_HEADER not in told.headers


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "DELETE"])
def test_group_16_other_methods_go_to_the_application(ward: Ward, method: str) -> None:
    caller = ward.nginx()
    let_in(ward, caller)

    told = caller.ask(PATH, method)

    assert ward.running.at_once == [False]
    assert "X-Accel-Redirect" not in told.headers or method == "HEAD"


@pytest.mark.parametrize("query", ["?", "?a=b", "?accept=image/jpeg"])
def test_a_query_goes_to_the_application(ward: Ward, query: str) -> None:
    caller = ward.nginx()
    let_in(ward, caller)

    caller.ask(PATH + query)

    assert ward.running.at_once == [False]


def test_what_is_no_frame_goes_to_the_application(ward: Ward) -> None:
    caller = ward.nginx()
    let_in(ward, caller)

    answer = caller.ask(f"/imaging/north/dicom-web/main{METADATA}", Accept="application/dicom+json")

    assert (answer.status, ward.running.at_once) == (200, [False])


def in_bytes(ward: Ward, caller: Caller, path: str = PATH) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{ward.running.port}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in caller.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def statuses(connection: Any, wanted: int) -> list[bytes]:
    """The status lines of the answers without a body that come."""
    said = b""
    while said.count(b"\r\n\r\n") < wanted:
        piece = connection.recv(65536)
        assert piece, said
        said += piece
    return [part.partition(b"\r\n")[0] for part in said.split(b"\r\n\r\n")[:-1]]


@pytest.mark.parametrize("cut", [1, 20, -3, -1])
def test_group_20_a_request_that_comes_in_pieces_is_read_whole(ward: Ward, cut: int) -> None:
    caller = ward.nginx()
    request = in_bytes(ward, caller)
    connection = ward.running.raw(request)
    with connection:
        assert statuses(connection, 1) == [b"HTTP/1.1 200 OK"]
        assert wait_for(lambda: not ward.running.worker._with_threads)
        ward.running.at_once.clear()
        connection.sendall(request[:cut])
        time.sleep(0.2)
        connection.sendall(request[cut:])

        assert statuses(connection, 1) == [b"HTTP/1.1 200 OK"]
        assert ward.running.at_once == [False]


def test_group_20_several_requests_at_a_time_are_each_answered(ward: Ward) -> None:
    caller = ward.nginx()
    request, hidden = in_bytes(ward, caller), in_bytes(ward, caller, PATH.replace(STUDY_A, STUDY_B))
    with ward.running.raw(request) as connection:
        assert statuses(connection, 1) == [b"HTTP/1.1 200 OK"]
        assert wait_for(lambda: not ward.running.worker._with_threads)
        connection.sendall(request + request + hidden)

        assert statuses(connection, 3)[:2] == [b"HTTP/1.1 200 OK"] * 2
        assert ward.world.audit()[0].outcome == "denied"


def test_who_hangs_up_is_let_go(ward: Ward) -> None:
    caller = ward.nginx()
    let_in(ward, caller)
    held = ward.running.worker.nr_conns

    caller.connection.close()

    assert wait_for(lambda: ward.running.worker.nr_conns == held - 1)


def test_group_23_who_does_not_read_is_cut_and_nobody_waits(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = ward.nginx()
    let_in(ward, caller)
    held = ward.running.worker.nr_conns
    with monkeypatch.context() as full:
        full.setattr(worker, "_sent", lambda client, answer: 7)
        with pytest.raises(http.client.HTTPException):
            caller.ask(PATH)

    assert wait_for(lambda: ward.running.worker.nr_conns == held - 1)
    assert ward.nginx().ask(PATH).status == 200


def test_a_fault_there_is_the_applications_to_answer(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = ward.nginx()
    let_in(ward, caller)

    def fails(*_: object) -> None:
        raise RuntimeError("synthetic")

    monkeypatch.setattr(standing_directions.StandingDirections, "__call__", fails)

    assert [caller.ask(PATH).status for _ in range(2)] == [200, 200]
    assert ward.running.at_once == [False, False]


def test_words_are_forgotten_when_nobody_uses_them(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "_KEPT_S", 0.3)
    nginx, another = ward.nginx(), ward.world.north.token()
    let_in(ward, nginx)
    assert nginx.ask(PATH, Authorization=f"Bearer {another}").status == 200
    time.sleep(0.4)
    ward.running.at_once.clear()

    assert nginx.ask(PATH).status == 200
    assert ward.running.at_once == [False]


def test_two_callers_who_take_turns_on_one_connection_are_each_answered_at_once(ward: Ward) -> None:
    """As behind nginx: words are found by their digest where the connection's last ones were another's."""
    mine, again = ward.world.north.token(), ward.world.north.token()
    nginx = ward.nginx(mine)
    let_in(ward, nginx)
    assert [nginx.ask(PATH, Authorization=f"Bearer {again}").status for _ in range(2)] == [200, 200]
    ward.running.at_once.clear()

    assert [nginx.ask(PATH, Authorization=f"Bearer {token}").status for token in (mine, again, mine)] == [200] * 3
    assert ward.running.at_once == [True] * 3


CHANGES = st.tuples(
    st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=4) | st.sampled_from([b"\r\n", b"\n", b"/", b":", b" "])
)


@pytest.fixture(scope="module")
def words(shared: Ward) -> bytes:
    """A request that can be answered at once."""
    shared.world.start_anew()
    return in_bytes(shared, shared.nginx())


def test_group_34_no_token_is_kept_with_the_words(ward: Ward) -> None:
    token = ward.world.north.token()
    let_in(ward, ward.nginx(token))

    known = ward.running.worker._at_once._known._values

    assert known
    assert [key for key in known if token in str(key)] == []


@trials(max_examples=examples(300))
@given(CHANGES)
def test_group_20_no_change_of_the_words_is_overlooked(shared: Ward, words: bytes, changes: tuple[int, int, bytes]) -> None:
    """Whatever bytes come: answered at once is only who says the same, about a frame of the same series."""
    server, here, elsewhere = shared.running.worker._at_once, ("127.0.0.1", 1), ("127.0.0.2", 1)

    def can_be() -> bool:
        """Once a second the application is asked, whether access was ended."""
        with shared.running.raw(words) as connection:
            return statuses(connection, 1) == [b"HTTP/1.1 200 OK"] and server.answer(words, here) is not None

    assert server.answer(words, here) is not None or wait_for(can_be)
    at, gone = changes[0] % len(words), changes[1]
    changed = words[:at] + changes[2] + words[at + gone :]

    answer, pieces, known = server.answer(changed, here), in_pieces(changed), in_pieces(words)

    assert server.answer(words, elsewhere) is None
    if answer is not None:
        assert pieces is not None
        assert known is not None
        assert pieces[1] == known[1]
        assert pieces[0][1].partition(b"/instances/")[0] == known[0][1].partition(b"/instances/")[0]


def until(caller: Caller, status: int) -> tuple[list[int], float]:
    """One frame after the other until one is answered so: all statuses, and the seconds that it took."""
    began, seen = time.monotonic(), []
    while time.monotonic() - began < NOTICED_S:
        seen.append(caller.ask(PATH).status)
        if seen[-1] == status:
            break
        time.sleep(EACH_S)
    return seen, time.monotonic() - began


def _of_the_patient(world: World) -> Revocation:
    del world.north.studies[STUDY_A]
    return Revocation(marked_at=int(time.time()), patient="pat-a")


def _of_the_token(world: World) -> Revocation:
    return Revocation(marked_at=int(time.time()), token_reference="jti-of-the-stream")


@pytest.mark.parametrize(("ends", "status"), [(_of_the_patient, 403), (_of_the_token, 401)], ids=["patient", "token"])
def test_group_6_access_that_is_ended_ends_in_the_middle_of_a_series(
    tmp_path: Path, ends: Callable[[World], Revocation], status: int
) -> None:
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        caller = ward.nginx(ward.world.north.token(jti="jti-of-the-stream"))
        let_in(ward, caller)
        assert caller.ask(PATH).status == 200
        RevocationLog(ward.world.store).mark(ends(ward.world))

        seen, took_s = until(caller, status)

        assert True in ward.running.at_once
        assert set(seen) == {200, status}
        assert took_s < revocations.LOOK_EVERY_S + 2, "within about a second, on a slow machine"


def test_group_6_while_marks_cannot_be_read_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "LONGEST_UNREAD_S", 1.5)
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        caller = ward.nginx()
        let_in(ward, caller)
        with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
            connection.execute("ALTER TABLE revocation RENAME TO elsewhere")
        connection.close()

        seen, _ = until(caller, 503)

        assert set(seen) == {200, 503}


def test_group_5_it_ends_with_the_token(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "token_leeway_s": 0}) as ward:
        end = int(time.time()) + 3
        caller = ward.nginx(ward.world.north.token(exp=end))
        let_in(ward, caller)
        while time.time() < end:
            assert caller.ask(PATH).status == 200 or time.time() >= end
            time.sleep(EACH_S)

        assert True in ward.running.at_once
        assert caller.ask(PATH).status == 401


def test_a_change_at_the_ehr_shows_within_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LONGEST_PASS_S", 1.0)
    with a_ward(tmp_path, server={**UNLIMITED, "decision_cache_s": 2.0}) as ward:
        caller = ward.nginx()
        let_in(ward, caller)
        del ward.world.north.studies[STUDY_A]

        seen, took_s = until(caller, 403)

        assert True in ward.running.at_once
        assert (set(seen), seen[-1]) == ({200, 403}, 403)
        assert took_s < 2.0 + 1.0, "on a slow machine"


def test_group_23_it_is_no_way_round_the_rate_limit(tmp_path: Path) -> None:
    limits = RateLimitSettings(requests_per_second=0.001, request_burst=6)
    with a_ward(tmp_path, server={"decision_cache_s": 60.0, "rate_limit": limits}) as ward:
        caller = ward.nginx()
        let_in(ward, caller)

        assert [caller.ask(PATH).status for _ in range(7)] == [200] * 5 + [429] * 2
        assert True in ward.running.at_once
        assert ward.world.audit()[0].outcome == "denied"


def test_group_23_who_is_refused_too_often_waits_here_too(tmp_path: Path) -> None:
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=3)
    with a_ward(tmp_path, server={"decision_cache_s": 60.0, "rate_limit": limits}) as ward:
        token = ward.world.north.token()
        caller = ward.nginx(token)
        let_in(ward, caller)
        for _ in range(3):
            assert ward.nginx(token).ask(PATH.replace(STUDY_A, STUDY_B)).status == 403

        assert caller.ask(PATH).status == 429


def test_group_23_an_archive_that_is_left_alone_is_left_alone(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "breaker": BreakerSettings(outages=2, cool_down_s=60)}) as ward:
        caller = ward.nginx()
        let_in(ward, caller)
        ward.world.pacs.answer = lambda _: Response("no", 502)
        for study in (STUDY_A, PRIOR_A):
            ward.world.get(FRAME.replace(STUDY_A, study), ward.world.north.token())

        answer = caller.ask(PATH)

        assert (answer.status, ward.running.at_once) == (503, [False])


def test_each_study_is_on_record_once_for_a_token(ward: Ward) -> None:
    known = len(ward.world.audit())
    caller = ward.nginx(ward.world.north.token(jti="jti-on-record"))
    let_in(ward, caller)
    for _ in range(3):
        caller.ask(PATH)

    recorded = ward.world.audit()[: len(ward.world.audit()) - known]
    assert [(one.outcome, one.study_instance_uid, one.token_reference) for one in recorded] == [
        ("allowed", STUDY_A, "jti-on-record")
    ]


def test_group_35_when_a_record_is_due_again_the_application_makes_it(tmp_path: Path) -> None:
    with a_ward(tmp_path, server={**UNLIMITED, "audit_window_s": 1}) as ward:
        caller = ward.nginx()
        let_in(ward, caller)
        first = len(ward.world.audit())
        ended = time.monotonic() + 2.5
        while time.monotonic() < ended:
            assert caller.ask(PATH).status == 200
            time.sleep(EACH_S)

        assert first == 1
        assert len(ward.world.audit()) >= 2
        assert True in ward.running.at_once


def test_a_credential_that_changes_by_itself_is_asked_for_each_time() -> None:
    fixed = HandedArchive(hand_over=HandOver.FRAMES, keeps_hierarchy=True, credential=FixedCredential({}), headers=())
    changing = HandedArchive(
        hand_over=HandOver.FRAMES, keeps_hierarchy=True, credential=object.__new__(ClientCredentials), headers=()
    )
    handover = Handover("key", {"fixed": fixed, "changing": changing})

    assert [handover.stays_the_same(name) for name in ("fixed", "changing", "unknown")] == [True, False, False]


def test_a_stopping_server_answers_who_still_asks_and_ends(tmp_path: Path) -> None:
    with a_ward(tmp_path, server=UNLIMITED) as ward:
        caller = ward.nginx()
        let_in(ward, caller)
        ward.running.worker.alive = False

        answer = caller.ask(PATH)

        assert (answer.status, answer.headers["Connection"], ward.running.at_once) == (200, "close", [])
