"""Behind nginx, in both modes: patient A's token opens nothing of B's, however the address or the header is written.

The archive records what it is asked: who must not be contacted, demonstrably was not (W3-W5, groups 9, 10, 12, 13, 20).
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from imaging_server.handover import AUTHORIZATION_HEADER, INTERNAL_PREFIX, KEY_HEADER, handover_key
from tests.nginx_actors import FILES, KEPT_S, OCTETS, Front, a_front
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import FRAME, INSTANCE, PACS_PASSWORD, STUDY_A, STUDY_B, Asked, instance_of, series_of

BYTES = b"pixels of " + STUDY_A.encode()
SERIES_A = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
LONG_UID = "1." + "2" * 63


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with a_front(tmp_path_factory.mktemp("nginx"), request.param) as front:
        yield front


@pytest.fixture
def front(running: Front) -> Front:
    running.world.start_anew()
    return running


def opened(front: Front, token: str) -> None:
    """The token's own study has been looked at: in one mode nginx now keeps that decision."""
    for path, accept in ((FRAME, OCTETS), (f"/studies/{STUDY_A}", FILES), (SERIES_A, FILES), (INSTANCE, FILES)):
        answer = front.world.get(path, token, Accept=accept)
        assert (answer.status, BYTES in answer.body) == (200, True), (path, answer.body)
    front.world.pacs.asked.clear()


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (FRAME.replace(STUDY_A, STUDY_B), OCTETS),
        (f"/studies/{STUDY_B}", FILES),
        (SERIES_A.replace(STUDY_A, STUDY_B), FILES),
        (INSTANCE.replace(STUDY_A, STUDY_B), FILES),
        (f"/studies/{STUDY_A}/series/{series_of(STUDY_B)}", FILES),
        (f"/studies/{STUDY_A}/series/{series_of(STUDY_B)}/instances/{instance_of(STUDY_B)}", FILES),
        (f"/studies/{STUDY_A}/series/{series_of(STUDY_B)}/instances/{instance_of(STUDY_B)}/frames/1", OCTETS),
        (f"/studies/{STUDY_B}/series/{series_of(STUDY_A)}/instances/{instance_of(STUDY_A)}/frames/1", OCTETS),
    ],
)
def test_other_patients_study_stays_closed_also_after_the_own_one_was_opened(front: Front, path: str, accept: str) -> None:
    """Groups 9 and 10; the archive itself would answer all of these but those with a series of another study."""
    token = front.world.north.token("pat-a")
    opened(front, token)
    before = len(front.world.audit())

    answer = front.world.get(path, token, Accept=accept)

    assert answer.status == 403
    assert front.world.pacs.retrievals() == []
    assert front.world.audit()[0].outcome == "denied"
    assert len(front.world.audit()) == before + 1, "each refusal is recorded once"


def test_instance_of_another_study_below_an_open_series_is_refused(front: Front) -> None:
    """Group 10. Where nginx decides by series, the archive keeps its hierarchy; its 404 becomes the gate's own refusal."""
    foreign = f"{SERIES_A}/instances/{instance_of(STUDY_B)}/frames/1"

    def hierarchy(asked: Asked) -> Response | None:
        return Response("not in that series", 404) if asked.path.endswith(foreign) else None

    token = front.world.north.token("pat-a")
    opened(front, token)
    front.world.pacs.answer = hierarchy

    answer = front.world.get(foreign, token, Accept=OCTETS)

    assert (answer.status, answer.problem) == (403, "not-in-study")
    assert b"that series" not in answer.body
    assert front.world.audit()[0].reason == "not-in-study"


B_FRAME = FRAME.replace(STUDY_A, STUDY_B)


@pytest.mark.parametrize(
    "path",
    [
        f"/studies/{STUDY_A}/../{STUDY_B}",
        f"/studies/{STUDY_A}/..{B_FRAME.removeprefix('/studies')}",
        f"/studies/{STUDY_A}/%2e%2e/{STUDY_B}",
        f"/studies/{STUDY_A}%2f..%2f{STUDY_B}",
        f"/studies/{STUDY_A}%252f..%252f{STUDY_B}",
        f"/studies/{STUDY_A}/series/..%2f..%2f{STUDY_B}",
        f"//studies/{STUDY_B}",
        f"/studies//{STUDY_B}",
        f"/studies/{STUDY_B}/",
        f"/studies/{STUDY_B}.",
        f"/studies/{STUDY_B}%20",
        f"/studies/{STUDY_B}%0a",
        f"/studies/{STUDY_B}%00",
        f"/studies/{STUDY_B};x=1",
        f"/studies/{STUDY_B},{STUDY_A}",
        f"/Studies/{STUDY_B}",
        f"/studies/{LONG_UID}",
        f"/studies/{STUDY_B}?StudyInstanceUID={STUDY_A}",
        f"/studies/{STUDY_A}?../{STUDY_B}",
        "/studies/2.25.%D9%A1%D9%A1",
        f"{B_FRAME}?x",
        f"{B_FRAME}#",
        f"{FRAME}/../../../../../../../{STUDY_B}/series",
        f"{FRAME}%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f{STUDY_B}",
        FRAME.replace("frames", "Frames"),
        f"{FRAME}%0a",
        f"{FRAME}/",
        f"{FRAME}.",
        f"{FRAME},",
        FRAME.replace("frames/1", "frames/0"),
        FRAME.replace("/frames", "//frames"),
        B_FRAME.replace("/frames", "%2fframes"),
    ],
)
def test_odd_addresses_reach_no_archive(front: Front, path: str) -> None:
    """Groups 12 and 13. nginx normalises addresses; what is not written plainly goes to the application as it came."""
    token = front.world.north.token("pat-a")
    opened(front, token)

    answer = front.world.send("GET", front.world.root + path, {"Authorization": f"Bearer {token}", "Accept": OCTETS})

    assert answer.status in (400, 403, 404), (answer.status, answer.body)
    assert front.world.pacs.retrievals() == []


@pytest.mark.parametrize(
    "target",
    [
        f"{INTERNAL_PREFIX}/main{FRAME}",
        f"{INTERNAL_PREFIX}/main/studies/{STUDY_A}",
        f"/imaging/north/dicom-web/main/..%2f..%2f..%2f..{INTERNAL_PREFIX}/main{FRAME}",
        "/_decide/main/series",
        "/_decide/main/study",
        "/@application",
        f"/imaging/north/handover/main/studies/{STUDY_A}",
        f"/imaging/north/handover/main/studies/{STUDY_A}/series/{series_of(STUDY_A)}",
    ],
)
def test_inner_addresses_are_nobodys(front: Front, target: str) -> None:
    token = front.world.north.token("pat-a")

    answer = front.world.send("GET", target, {"Authorization": f"Bearer {token}", "Accept": OCTETS})

    # The application under test has no pages, so that its 404 outside of /imaging is a 500.
    assert answer.status in ((404,) if target.startswith("/imaging/") else (404, 500))
    assert front.world.pacs.asked == []


OURS = (KEY_HEADER, "X-Accel-Redirect", "X-Imaging-Archive-Accept", AUTHORIZATION_HEADER, "X-Accel-Expires")
FALSE = (None, "", "Bearer", "Bearer x y", "Basic Z2F0ZXdheTp4", "Bearer eyJhbGciOiJub25lIn0.e30.")


@pytest.mark.parametrize("name", OURS)
def test_callers_own_words_to_nginx_count_for_nothing(front: Front, name: str) -> None:
    """Group 20: not through nginx, and not at the application's own port."""
    token, value = front.world.north.token("pat-a"), f"{INTERNAL_PREFIX}/main{B_FRAME}"
    sent = {"Authorization": f"Bearer {token}", "Accept": OCTETS, name: value}

    through = front.world.send("GET", front.world.root + FRAME, sent)
    other = front.world.send("GET", front.world.root + B_FRAME, sent)
    past = _past_nginx(front).send("GET", front.world.root + FRAME, sent)

    assert (through.status, other.status, past.status) == (200, 403, 200)
    for answer in (through, past):
        assert BYTES in answer.body
        assert PACS_PASSWORD.encode() not in answer.body
        assert not [one for one in answer.headers if one.lower().startswith(("x-accel-redirect", "x-imaging"))]
    credentials = {one.headers["Authorization"].split()[0] for one in front.world.pacs.asked}
    assert credentials == {"Basic"}, "the archive met a caller's header"


def test_directions_are_told_to_nginx_alone(front: Front) -> None:
    """Somebody who has the key is told where the bytes are, and who has it but for one character is told nothing."""
    key, token = handover_key(front.world.store.sealer), front.world.north.token("pat-a")
    asked = {"Authorization": f"Bearer {token}", "Accept": OCTETS}

    told = _past_nginx(front).send("GET", front.world.root + FRAME, {**asked, KEY_HEADER: key})
    near = _past_nginx(front).send("GET", front.world.root + FRAME, {**asked, KEY_HEADER: key[:-1] + "x"})

    assert (told.headers["X-Accel-Redirect"], told.body) == (f"{INTERNAL_PREFIX}/main{FRAME}", b"")
    assert near.headers["X-Accel-Redirect"] is None
    assert BYTES in near.body


def test_several_authorization_headers_open_no_more_than_the_first(front: Front) -> None:
    a, b = front.world.north.token("pat-a"), front.world.north.token("pat-b")
    opened(front, a)

    for first, second in ((a, b), (b, a)):
        for path, owner in ((FRAME, a), (B_FRAME, b)):
            status, body = _sent_twice(front, path, first, second)
            assert status in (200, 400, 401, 403)
            assert (status == 200) <= (first is owner), "the second token opened something"
            assert (b"pixels" in body) is (status == 200)


@pytest.mark.parametrize("authorization", FALSE)
def test_no_token_or_a_false_one_opens_nothing(front: Front, authorization: str | None) -> None:
    opened(front, front.world.north.token("pat-a"))
    sent = {"Accept": OCTETS} | ({} if authorization is None else {"Authorization": authorization})

    answer = front.world.send("GET", front.world.root + FRAME, sent)

    assert answer.status == 401
    (challenge,) = answer.headers.get_all("WWW-Authenticate", [])
    assert challenge.startswith("Bearer")
    assert front.world.pacs.asked == []


def test_token_that_has_ended_opens_nothing_within_the_bound(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Group 2: a decision is kept no longer than the token lives."""
    with a_front(tmp_path_factory.mktemp("ending"), Mode.AUTH_REQUEST, server={"token_leeway_s": 0}) as front:
        token = front.world.north.token("pat-a", exp=int(time.time()) + 4)
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        ended = time.time() + 4

        last = _last_success(lambda: front.world.get(FRAME, token, Accept=OCTETS).status == 200, until=time.time() + 6)

        assert last <= ended
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 401


@pytest.mark.parametrize("mode", list(Mode))
def test_revocation_is_noticed_within_the_bound(mode: Mode, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Group 6: what nginx keeps is taken off the application's own time, so that decision_cache_s stays the bound."""
    bound = 2 * KEPT_S
    with a_front(tmp_path_factory.mktemp("revoked"), mode, server={"decision_cache_s": bound}) as front:
        world, token = front.world, "opaque-token-of-pat-a"
        world.south.introspected[token] = {**world.south.claims("pat-a"), "active": True}
        target = f"/imaging/south/dicom-web/main{FRAME}"
        sent = {"Authorization": f"Bearer {token}", "Accept": OCTETS}
        for _ in range(20):
            assert world.send("GET", target, sent).status == 200
        assert world.south.paths().count("/auth/introspect") == 1, "each frame asked the authorization server"
        world.south.introspected[token] = {"active": False}
        revoked = time.time()

        last = _last_success(lambda: world.send("GET", target, sent).status == 200, until=revoked + bound + 2)

        assert last - revoked <= bound
        assert world.send("GET", target, sent).status == 401


def test_outage_opens_nothing_once_the_kept_decision_has_ended(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fail closed: 503 in the application's words, and the archive is not asked."""
    with a_front(tmp_path_factory.mktemp("outage"), Mode.AUTH_REQUEST) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        front.world.north.answers["/"] = lambda: Response("rubbish", 502)
        time.sleep(2 * KEPT_S + 0.5)
        front.world.pacs.asked.clear()

        answer = front.world.get(FRAME, token, Accept=OCTETS)

        assert answer.status == 503
        assert front.world.pacs.asked == []


def test_removed_decision_ends_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For whoever ends somebody's access: nginx reads the file for each request."""
    with a_front(tmp_path_factory.mktemp("removed"), Mode.AUTH_REQUEST, server={"decision_cache_s": KEPT_S + 0.1}) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        time.sleep(0.2)  # the application keeps its own decisions for a tenth of a second here
        front.world.north.studies[STUDY_A] = "pat-b"
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200, "nothing is kept"
        for path in front.nginx.decisions():
            path.unlink()

        answer = front.world.get(FRAME, token, Accept=OCTETS)

        assert answer.status == 403


def _past_nginx(front: Front) -> World:
    return replace(front.world, url=front.behind)


def _sent_twice(front: Front, path: str, first: str, second: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(front.world.url).netloc, timeout=20)
    try:
        connection.putrequest("GET", front.world.root + path)
        for token in (first, second):
            connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Accept", OCTETS)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _last_success(ask: Callable[[], bool], *, until: float) -> float:
    """When it was asked for the last time with success (UTC seconds, before the question)."""
    last = 0.0
    while time.time() < until:
        asked = time.time()
        last = asked if ask() else last
        time.sleep(0.1)
    return last
