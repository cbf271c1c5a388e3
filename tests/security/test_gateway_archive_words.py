"""Nothing that comes down names the archive, and nothing goes up that hides in an Accept value (groups 17 to 20)."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import (
    BULK,
    FRAME,
    INSTANCE,
    METADATA,
    SMALL_BODY,
    STUDY_A,
    STUDY_B,
    dicom_json,
    instance_of,
    only_for,
    series_of,
)

HOST = "pacs.internal.example"
BYTES = "application/octet-stream"
RELATED = f'multipart/related; type="{BYTES}"; boundary=b'
GOOD = b"--b\r\nContent-Type: application/octet-stream\r\n\r\npixels\r\n--b--"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"small_body_bytes": SMALL_BODY}) as world:
        yield world


def names_the_archive(world: World, answer: Answer) -> bool:
    said = (str(answer.headers) + answer.body.decode("latin-1")).lower()
    return HOST in said or world.pacs.base.removeprefix("http://") in said


def a_part(header: str, body: bytes = b"pixels") -> bytes:
    return b"--b\r\n" + header.encode("latin-1") + b"\r\n\r\n" + body + b"\r\n--b--"


@pytest.mark.parametrize("padding", [b"", b"p" * SMALL_BODY * 4], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "body",
    [
        HOST.encode() + b"\r\n" + GOOD,
        GOOD + b"\r\n" + HOST.encode(),
        a_part(f"Content-Type: {BYTES}; name={HOST}"),
        a_part(f"Content-Type: {BYTES}\nContent-Location: http://{HOST}/"),
        a_part(f"Content-Type: {BYTES}\r\n\tcontinued at {HOST}"),
        a_part(f"Content-Type: {BYTES}\r\nContent-ID: <1@{HOST}>"),
        a_part(f"Content-Type: {BYTES}\r\nContent-Disposition: attachment; filename={HOST}"),
        a_part(f"Content-Type: {BYTES}\r\nContent-Location : http://{HOST}/"),
        a_part(f"Content-Type: {BYTES}\r\ncOnTeNt-lOcAtIoN:http://{HOST}/"),
        a_part(f"Content-Type: {BYTES}\r\nLink: <http://{HOST}>"),
    ],
    ids=["before", "after", "name", "lone line feed", "folded", "id", "disposition", "space", "case", "link"],
)
def test_group_17_parts_do_not_name_the_archive(world: World, body: bytes, padding: bytes) -> None:
    body = body.replace(b"pixels", b"pixels" + padding)
    world.pacs.answer = only_for("/frames/1", lambda: Response(body, content_type=RELATED))

    answer = world.get(FRAME, world.north.token())

    assert answer.status == 200
    assert b"pixels" + padding in answer.body
    assert not names_the_archive(world, answer)


@pytest.mark.parametrize(
    ("path", "content_type", "told"),
    [
        (FRAME, f'{RELATED}; start="<1@{HOST}>"; start-info="{HOST}"', f'multipart/related; type="{BYTES}"; boundary="b"'),
        (
            FRAME,
            f'multipart/related; type="{BYTES}; name={HOST}"; boundary=b',
            f'multipart/related; type="{BYTES}"; boundary="b"',
        ),
        (BULK, f"{BYTES}; name={HOST}; charset={HOST}", BYTES),
        (BULK, f"{BYTES}; transfer-syntax={HOST}", BYTES),
        (BULK, f"{BYTES}; transfer-syntax=1.2.840.10008.1.2.4.90", f"{BYTES}; transfer-syntax=1.2.840.10008.1.2.4.90"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_group_18_type_of_an_answer_is_told_without_what_nobody_needs(
    world: World, path: str, content_type: str, told: str, method: str
) -> None:
    world.pacs.answer = only_for(path[-8:], lambda: Response(GOOD, content_type=content_type))

    answer = world.send(method, world.root + path, {"Authorization": f"Bearer {world.north.token()}"})

    assert (answer.status, answer.headers["Content-Type"]) == (200, told)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "[" + "9" * 5000 + "]"])
def test_group_19_numbers_that_json_does_not_know_are_not_passed_on(world: World, number: str) -> None:
    own = json.dumps(world.pacs.instance(STUDY_A))[:-1]
    body = f'[{own},"00280030":{{"vr":"DS","Value":[{number}]}}}}]'
    world.pacs.answer = only_for("/metadata", lambda: Response(body, content_type="application/dicom+json"))

    assert world.get(METADATA, world.north.token()).status == 502


def test_group_19_a_small_answer_that_unpacks_to_a_huge_one_is_given_up(tmp_path: Path) -> None:
    """Decompressed piece by piece, up to the limit of any JSON answer and no further."""
    packed = gzip.compress(b" " * 60_000_000)
    with a_world(tmp_path, server={"small_body_bytes": SMALL_BODY, "max_json_bytes": 1024 * 1024}) as world:
        token = world.north.token()
        world.get(METADATA, token)
        headers = {"Content-Encoding": "gzip"}
        world.pacs.answer = only_for("/metadata", lambda: Response(packed, 200, headers, content_type="application/dicom+json"))
        tracemalloc.start()
        try:
            answer = world.get(METADATA, token)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert answer.status == 502
    assert peak < 12_000_000


# What goes up


@pytest.mark.parametrize("parameter", ["boundary", "charset", "type", "transfer-syntax", "q"])
@pytest.mark.parametrize("value", ["%E2%82%AC", "%C3%A9", "%22%E2%82%AC%22", "%7F", "a%22b", "%5C", "%22a%5C%22b%22"])
@pytest.mark.parametrize("path", [FRAME, f"{INSTANCE}/rendered", f"/studies/{STUDY_A}"])
def test_group_20_accept_in_the_query_is_plain_text_or_refused(world: World, path: str, parameter: str, value: str) -> None:
    """A header takes Latin-1 only, so that anything else would fail inside instead of being refused."""
    answer = world.get(f"{path}?accept=*/*;{parameter}={value}", world.north.token())

    assert answer.status in (400, 406)
    assert world.pacs.asked == []


@pytest.mark.parametrize("hidden", ["x, text/html", "x;q=1, application/dicom+xml", "x,*/*"])
def test_group_20_a_quoted_value_stays_one_value_on_its_way_up(world: World, hidden: str) -> None:
    world.get(f"{INSTANCE}/rendered", world.north.token(), Accept=f'image/jpeg; charset="{hidden}"; boundary="{hidden}"')

    sent = {one.headers["Accept"] for one in world.pacs.retrievals()}
    assert sent == {f'image/jpeg; charset="{hidden}"; boundary="{hidden}"'}


# Anything at all

fuzzed = settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
lines = st.one_of(
    st.sampled_from(
        [
            f"Content-Type: {BYTES}",
            f"Content-Type: {BYTES}; name={HOST}",
            f"Content-Location: http://{HOST}/studies/{STUDY_A}",
            f"Content-Location: /archive/dicom-web/studies/{STUDY_B}",
            f"Content-ID: <{HOST}>",
            f" {HOST}",
            f"X\n{HOST}: x",
            "Content-Length: 3",
            "Content-Length: 6",
            "Content-Length: 3, 3",
            "Content-Length: -1",
            "Content-Length: 99999999999999999999",
            "",
            ":",
        ]
    ),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=20),
)
bodies = st.sampled_from([b"", b"pixels", b"\r\n--bX", b"\r\n--b", b"\r\n\r\n", b"--b\r\n", b"\x00" * 40])
delimiters = st.sampled_from([b"--b\r\n", b"\r\n--b\r\n", b"\r\n--b \t\r\n", b"\r\n--b--", b"\n--b\n", b"\r\n--B\r\n", b"--"])
pieces = st.one_of(delimiters, bodies, st.lists(lines, max_size=4).map(lambda some: "\r\n".join(some).encode("latin-1")))


def headers_of_parts(body: bytes) -> bytes:
    """All that a reader takes for headers, by the plainest rule: what follows a delimiter up to the first empty line."""
    parts = (b"\r\n" + body).split(b"\r\n--b\r\n")[1:]
    return b"\n".join((b"\r\n" + part).partition(b"\r\n\r\n")[0] for part in parts)


@fuzzed
@example([b"--b\r\n", b"\r\n--b\r\n", f"Content-Type: {BYTES}; name={HOST}".encode()], True)
@given(st.lists(pieces, max_size=12), st.booleans())
def test_group_19_any_message_of_parts_ends_in_an_answer_or_a_refusal(running: World, message: list[bytes], ends: bool) -> None:
    """Cut, nested, with lines that are none and lengths that lie: no 500, and no address of others among part headers."""
    running.start_anew()
    body = b"".join(message) + (b"\r\n--b--" if ends else b"")
    running.pacs.answer = only_for("/frames/1", lambda: Response(body, content_type=RELATED))

    answer = running.get(FRAME, running.north.token())

    assert answer.status in (200, 502)
    if b"Content-Length" not in body:  # a length is believed, so that what it covers is the image, whatever it looks like
        assert HOST.encode() not in headers_of_parts(answer.body)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["UI", "SQ", "UR", "PN", STUDY_A, STUDY_B, f"http://{HOST}/studies/{STUDY_A}", f"//{HOST}"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "00081190", "0020000D", "00100020", "Alphabetic"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
tags = ("00081190", "0020000D", "0020000E", "00080018", "00100020", "00100021", "7FE00010", "00081115", "0040E010", "x")
datasets = st.dictionaries(st.sampled_from(tags), values, max_size=6)
PATHS = (
    METADATA,
    f"{INSTANCE}/metadata",
    "/studies",
    f"/studies/{STUDY_A}/series",
    f"/instances?StudyInstanceUID={STUDY_A}",
    FRAME,
)


def addresses_in(found: Any) -> Iterator[Any]:
    """What stands in the places of addresses, in objects and lists at any depth."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key.upper() in ("BULKDATAURI", "00081190", "0040E010"):
                yield value
            else:
                yield from addresses_in(value)
    elif isinstance(found, list):
        for one in found:
            yield from addresses_in(one)


@fuzzed
@example([{"00100020": [{"BulkDataURI": f"http://{HOST}/studies/{STUDY_A}"}]}], True, METADATA)
@given(st.lists(datasets, min_size=1, max_size=3), st.booleans(), st.sampled_from(PATHS))
def test_any_data_sets_from_the_archive_end_in_an_answer_or_a_refusal(
    running: World, found: list[dict[str, Any]], of_a: bool, path: str
) -> None:
    """Groups 14 and 17: whatever stands where UIDs, persons and addresses belong."""
    running.start_anew()
    own = {
        "0020000D": {"vr": "UI", "Value": [STUDY_A]},
        "0020000E": {"vr": "UI", "Value": [series_of(STUDY_A)]},
        "00080018": {"vr": "UI", "Value": [instance_of(STUDY_A)]},
    }
    sent = [{**one, **own} if of_a else one for one in found]
    running.pacs.answer = lambda asked: dicom_json(sent)

    answer = running.get(path, running.north.token())

    assert answer.status in (200, 403, 404, 502, 503)
    if answer.status == 404:
        assert answer.problem in ("not-in-archive", "no-images-yet"), "an index of other studies does not list this one"
    if answer.status == 200 and path != FRAME:
        listed = answer.json()
        assert all(one["0020000D"]["Value"][0] == STUDY_A for one in listed)
        assert not [where for where in addresses_in(listed) if HOST in json.dumps(where)]
