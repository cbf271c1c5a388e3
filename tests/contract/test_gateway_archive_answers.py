"""What archives say beside 200: partial answers, remarks, waits, ranges (PS3.18 §8.5; W7, M3, M13; group 18)."""

from __future__ import annotations

import pytest
from flask import Response

from tests.security.gateway_actors import World
from tests.security.gateway_stubs import BULK, FRAME, METADATA, STUDY_A, Asked, dicom_json, multipart, only_for

OCTETS = "application/octet-stream"


@pytest.mark.parametrize("status", [202, 429, 503])
@pytest.mark.parametrize(
    ("stated", "passed"),
    [
        (None, "5"),
        ("17", "17"),
        ("1.4", "2"),
        ("Fri, 01 Jan 2100 00:00:00 GMT", "86400"),
        ("Sat, 01 Jan 2000 00:00:00 GMT", "5"),
        ("soon", "5"),
        ("-3", "5"),
        ("9" * 30, "5"),
    ],
)
@pytest.mark.parametrize("path", [METADATA, FRAME, f"/studies/{STUDY_A}"])
def test_archive_that_is_not_ready_is_503_with_whole_seconds(
    world: World, path: str, status: int, stated: str | None, passed: str
) -> None:
    """W7, M13: whatever way an archive asks for patience, callers read one; 202 = still on its way from a slower store."""
    headers = {} if stated is None else {"Retry-After": stated}
    ending = path.rpartition("/")[2]
    world.pacs.answer = lambda asked: Response("recalling", status, headers) if asked.path.endswith(ending) else None

    answer = world.get(path, world.north.token())

    assert (answer.status, answer.headers["Retry-After"]) == (503, passed)
    assert answer.headers["Retry-After"].isdigit()
    assert b"recalling" not in answer.body


@pytest.mark.parametrize("status", [202, 429, 503])
def test_search_of_an_archive_that_is_not_ready_is_503_too(world: World, status: int) -> None:
    token = world.north.token()
    world.pacs.answer = lambda asked: Response(status=status, headers={"Retry-After": "9"})

    found = [world.get(path, token) for path in ("/studies", f"/studies/{STUDY_A}/series")]

    assert [(one.status, one.headers["Retry-After"]) for one in found] == [(503, "9")] * 2


@pytest.mark.parametrize(("status", "problem"), [(410, "archive-410"), (413, "archive-413"), (409, "archive-409")])
def test_gone_and_too_much_keep_their_status(world: World, status: int, problem: str) -> None:
    world.pacs.answer = only_for("/metadata", lambda: Response("at pacs.internal", status))

    answer = world.get(METADATA, world.north.token())

    assert (answer.status, answer.problem) == (status, problem)


def test_search_that_finds_too_much_is_413(world: World) -> None:
    world.pacs.answer = only_for("/series", lambda: Response("too much", 413))

    assert world.get(f"/studies/{STUDY_A}/series", world.north.token()).status == 413


def test_partial_metadata_stays_partial_with_its_remark(world: World) -> None:
    """§10.4.3: an archive that could not give all of it says 206, and so do we."""
    remark = '299 pacs.internal.example "Some instances are offline"'
    world.pacs.answer = only_for(
        "/metadata",
        lambda: Response(
            dicom_json([world.pacs.instance(STUDY_A)]).get_data(),
            206,
            {"Warning": remark},
            content_type="application/dicom+json",
        ),
    )

    answer = world.get(METADATA, world.north.token())

    assert (answer.status, len(answer.json())) == (206, 1)
    assert answer.headers["Warning"].startswith("299 imaging-cds ")
    assert "pacs.internal" not in answer.headers["Warning"]


def test_partial_images_stay_partial(world: World) -> None:
    part = multipart([(b"pixels", {})])
    world.pacs.answer = only_for("/frames/1", lambda: Response(part.get_data(), 206, content_type=part.content_type))

    assert world.get(FRAME, world.north.token()).status == 206


@pytest.mark.parametrize(
    ("remark", "said"),
    [
        (
            '299 pacs.internal: "The fuzzymatching parameter is not supported. Only literal matching has been performed."',
            "fuzzymatching",
        ),
        ('299 pacs.internal.example "There are 17 additional results that can be requested"', "more than this answer"),
        ('199 pacs.internal.example "something else"', None),
        (None, None),
    ],
)
@pytest.mark.parametrize("path", ["/studies?PatientName=A&fuzzymatching=true", f"/studies/{STUDY_A}/series?fuzzymatching=true"])
def test_remark_on_a_search_comes_down_in_our_words(world: World, path: str, remark: str | None, said: str | None) -> None:
    """§8.3.4.2 and §8.3.4.4: both remarks have the code 299; a caller must be able to tell them apart."""

    def answered(asked: Asked) -> Response | None:
        if "fuzzymatching" not in asked.query:
            return None
        usual = world.pacs.usual(asked)
        if remark is not None:
            usual.headers["Warning"] = remark
        return usual

    world.pacs.answer = answered

    warning = world.get(path, world.north.token()).headers["Warning"]

    assert (warning is None) is (said is None)
    assert said is None or said in warning
    assert "pacs.internal" not in str(warning)


# Ranges


def ranged(asked: Asked, content: bytes, content_type: str) -> Response:
    """An archive that honours ranges."""
    if asked.headers.get("Range") != "bytes=2-5":
        return Response(content, content_type=content_type)
    headers = {"Content-Range": f"bytes 2-5/{len(content)}", "Accept-Ranges": "bytes"}
    return Response(content[2:6], 206, headers, content_type=content_type)


def test_range_that_the_archive_honours_comes_down(world: World) -> None:
    world.pacs.answer = lambda asked: ranged(asked, b"0123456789", OCTETS) if asked.path.endswith("/7FE00010") else None

    answer = world.get(BULK, world.north.token(), Range="bytes=2-5", Accept=OCTETS)

    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, b"2345", "bytes 2-5/10")


def test_range_that_the_archive_ignores_is_no_partial_answer(world: World) -> None:
    """Orthanc answered the whole body with 200; a Content-Range there would be a lie."""
    world.pacs.answer = only_for(
        "/7FE00010", lambda: Response(b"0123456789", 200, {"Content-Range": "bytes 2-5/10"}, content_type=OCTETS)
    )

    answer = world.get(BULK, world.north.token(), Range="bytes=2-5", Accept=OCTETS)

    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (200, b"0123456789", None)


def test_range_that_is_not_there_says_how_much_is(world: World) -> None:
    world.pacs.answer = only_for("/7FE00010", lambda: Response(status=416, headers={"Content-Range": "bytes */10"}))

    answer = world.get(BULK, world.north.token(), Range="bytes=90-", Accept=OCTETS)

    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_piece_of_a_multipart_message_is_never_asked_for(world: World) -> None:
    """Its part headers could not be looked at, and rewriting them moves every byte behind."""
    token = world.north.token()
    whole = multipart([(b"pixels", {})])
    world.pacs.answer = lambda asked: (
        ranged(asked, whole.get_data(), str(whole.content_type)) if asked.path.endswith("/7FE00010") else None
    )

    named = world.get(BULK, token, Range="bytes=2-5", Accept=f"multipart/related; type={OCTETS}")
    assert world.pacs.retrievals()[-1].headers.get("Range") is None
    anything = world.get(BULK, token, Range="bytes=2-5")

    assert [one.headers.get("Range") for one in world.pacs.retrievals()] == [None, "bytes=2-5", None]
    assert (named.status, anything.status) == (200, 200)
    assert b"pixels" in named.body
    assert b"pixels" in anything.body


def test_range_of_anything_else_than_bulk_data_is_ignored(world: World) -> None:
    world.get(FRAME, world.north.token(), Range="bytes=2-5")

    assert world.pacs.retrievals()[-1].headers.get("Range") is None
