"""Behind nginx, in both modes: patient A's token opens nothing of B's, however the address or the header is written.

The archive records what it is asked: who must not be contacted, demonstrably was not (W3-W5, groups 9, 10, 12, 13, 20).
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from imaging_server.handover import AUTHORIZATION_HEADER, INTERNAL_PREFIX, KEY_HEADER, handover_key
from tests.nginx_actors import FILES, OCTETS, Front, a_front
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
    past = front.past_nginx().send("GET", front.world.root + FRAME, sent)

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

    told = front.past_nginx().send("GET", front.world.root + FRAME, {**asked, KEY_HEADER: key})
    near = front.past_nginx().send("GET", front.world.root + FRAME, {**asked, KEY_HEADER: key[:-1] + "x"})

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
