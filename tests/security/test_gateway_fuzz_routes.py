"""Every route with anything in its places: UIDs, encodings, query, method and headers (groups 9, 12, 13, 20 and 23)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_server.rate_limit import RateLimitSettings
from imaging_server.routes import ROUTES, Route
from tests.examples import examples
from tests.security.gateway_actors import VIEWER_ORIGIN, Answer, World, a_world
from tests.security.gateway_stubs import PACS_PASSWORD, STUDY_A, STUDY_B, instance_of, series_of

fuzzed = settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_PLACE = re.compile(r"<(?:any\(([^)]*)\)|dicom_([a-z]+)):([a-z]+)>")
OWN = {"study": STUDY_A, "series": series_of(STUDY_A), "instance": instance_of(STUDY_A), "frames": "1", "bulk": "7FE00010"}
FOREIGN = {"study": STUDY_B, "series": series_of(STUDY_B), "instance": instance_of(STUDY_B), "frames": "2,1", "bulk": "a/b"}
SPOILS = (
    *(
        "%0a",
        "%0d%0a",
        "%00",
        "%20",
        "%09",
        ";x=1",
        "%3Bx",
        "%2f",
        "/",
        "//",
        "/.",
        "/..",
        "%2e%2e",
        "%252e",
        "..%2f",
        "\\",
        "%5c",
    ),
    *(
        ",",
        "%2C2.25.22",
        "*",
        "%2A",
        "?x=1",
        "%3F",
        "#x",
        "%23",
        "%D9%A2",
        "%EF%BC%92",
        "%ff",
        "%c0%ae",
        "%u002e",
        "%",
        "%2",
        "~",
    ),
    *(
        "\xe9",
        "0",
        ".",
        "..",
        "-1",
        "'",
        '"',
        "<",
        "|",
        "{}",
        "%E2%80%8B",
        "%F0%9F%98%80",
        "%ED%A0%80",
        "+",
        "%2B",
        "@",
        "&",
        "=",
    ),
)
# What HTTP lets stand in a request line; raw requests with anything else are tried elsewhere.
spoils = st.one_of(st.sampled_from(SPOILS), st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=6))
HEADERS = (
    *("Accept", "Range", "If-Range", "If-None-Match", "If-Match", "Origin", "X-Request-Id", "Forwarded", "Accept-Charset"),
    *(
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Cookie",
        "Content-Type",
        "Expect",
        "TE",
        "Referer",
        "User-Agent",
        "Via",
        "Prefer",
    ),
)
HEADER_VALUES = (
    *("*/*", "image/jpeg", "application/dicom", "multipart/related; type=*/*", "bytes=0-1", "bytes=-1,5-", '"e"', "null"),
    *(VIEWER_ORIGIN, "host=attacker.example", "a/b;q=2", "*/*;q=0", "application/dicom+json", 'multipart/related; type="'),
    *("application/octet-stream; transfer-syntax=*", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90"),
)
latin = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
headers = st.dictionaries(
    st.sampled_from(HEADERS), st.one_of(st.sampled_from(HEADER_VALUES), st.text(alphabet=latin, max_size=40)), max_size=4
)
NAMES = (
    *(
        "accept",
        "PatientID",
        "00100020",
        "StudyInstanceUID",
        "0020000d",
        "SeriesInstanceUID",
        "limit",
        "offset",
        "includefield",
    ),
    *("quality", "viewport", "window", "annotation", "iccprofile", "fuzzymatching", "access_token", "patient", "x"),
)
names = st.sampled_from(NAMES)
VALUES = (
    *(
        STUDY_A,
        STUDY_B,
        "MRN-B",
        "*",
        "all",
        "1",
        "0",
        "true",
        "100,100",
        "40,400,linear",
        "patient",
        "image/jpeg",
        "0,0",
        "-0",
    ),
    *("*/*;boundary=%E2%82%AC", "1e9", "9" * 30, "%D9%A1", "%FF", "%00", "%0A", "", "NaN,NaN,linear"),
)
values = st.one_of(st.sampled_from(VALUES), spoils)


@st.composite
def targets(draw: st.DrawFn) -> str:
    """A route with its places filled, mostly rightly, and now and then spoilt; with any query."""
    route: Route = draw(st.sampled_from(ROUTES))

    def fill(place: re.Match[str]) -> str:
        if place[1]:
            return str(draw(st.sampled_from(place[1].split(","))))
        filled = draw(st.sampled_from([OWN, OWN, OWN, FOREIGN]))[place[3]]
        return filled + draw(st.sampled_from(["", "", "", draw(spoils)]))

    path = _PLACE.sub(fill, route.rule)
    pairs = draw(st.lists(st.tuples(names, values), max_size=3))
    return path + ("?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else "")


def is_within(world: World, answer: Answer) -> bool:
    """Whether an answer is A's, and names neither archive nor credential."""
    said = str(answer.headers).encode() + answer.body
    hidden = (world.pacs.base.removeprefix("http://").encode(), PACS_PASSWORD.encode(), b"attacker.example")
    return not any(word in said for word in hidden) and (answer.status != 200 or STUDY_B.encode() not in answer.body)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With no limit to refusals, which a long run would reach."""
    limits = RateLimitSettings(refusals_per_minute=0.0)
    with a_world(tmp_path_factory.mktemp("gateway"), server={"rate_limit": limits}) as made:
        yield made


@fuzzed
@given(targets(), headers, st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS"]))
def test_any_request_at_any_route_is_answered_within_the_study(
    running: World, target: str, sent: dict[str, str], method: str
) -> None:
    running.start_anew()
    good = {"Authorization": f"Bearer {running.north.token()}"}
    clean = {name: value.strip() for name, value in sent.items()}

    answer = running.send(method, running.root + target.encode("ascii", "replace").decode(), {**clean, **good})

    assert answer.status in (200, 204, 206, 400, 403, 404, 406, 417)
    assert is_within(running, answer)
    assert all(STUDY_B not in one.path and ".." not in one.path for one in running.pacs.asked)
    assert all(one.method in ("GET", "HEAD") and running.north.base not in str(one.headers) for one in running.pacs.asked)
    assert method != "OPTIONS" or running.pacs.asked == running.north.asked == []


@fuzzed
@given(targets(), headers)
def test_any_request_without_a_token_reaches_nobody(running: World, target: str, sent: dict[str, str]) -> None:
    running.start_anew()
    clean = {name: value.strip() for name, value in sent.items()}

    answer = running.send("GET", running.root + target.encode("ascii", "replace").decode(), clean)

    assert answer.status in (400, 401, 404, 406, 417)
    assert is_within(running, answer)
    assert running.pacs.asked == running.north.asked == []
