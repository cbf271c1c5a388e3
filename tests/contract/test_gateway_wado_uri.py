"""WADO-URI at the gateway, in front of an archive that has only WADO-RS (PS3.18 §9; P5, W3, groups 9, 10, 34)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from flask import Response

from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import SMALL_BODY, STUDY_A, Asked, instance_of, multipart, series_of

FILE = b"\x00" * 128 + b"DICM" + b"a synthetic object"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"small_body_bytes": SMALL_BODY}) as world:
        yield world


def wado(**more: str) -> str:
    uids = {"studyUID": STUDY_A, "seriesUID": series_of(STUDY_A), "objectUID": instance_of(STUDY_A)}
    query = {"requestType": "WADO", **uids, **more}
    return "/wado?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())


def a_file(content: bytes = FILE, **headers: str) -> Response:
    return multipart([(content, headers)], part_type=f"application/dicom; transfer-syntax={JPEG_2000}")


def serve_files(world: World, content: bytes = FILE, **headers: str) -> None:
    world.pacs.answer = lambda asked: a_file(content, **headers) if asked.path.endswith(instance_of(STUDY_A)) else None


def head_of(world: World, path: str) -> Answer:
    return world.send("HEAD", world.root + path, {"Authorization": f"Bearer {world.north.token()}"})


def retrieved(world: World) -> Asked:
    return world.pacs.retrievals()[-1]


def test_file_comes_without_its_multipart_wrapping(world: World) -> None:
    serve_files(world, **{"Content-Location": "http://pacs.internal.example/x"})

    answer = world.get(wado(contentType="application/dicom", transferSyntax="*"), world.north.token())

    assert (answer.status, answer.body) == (200, FILE)
    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={JPEG_2000}"
    assert "pacs.internal" not in str(answer.headers)
    assert retrieved(world).headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'
    assert retrieved(world).target.endswith(f"/instances/{instance_of(STUDY_A)}")


@pytest.mark.parametrize("with_length", [True, False])
def test_large_file_is_streamed(world: World, with_length: bool) -> None:
    content = FILE + bytes(range(256)) * 4_000
    stated = {"Content-Length": str(len(content))} if with_length else {}
    serve_files(world, content, **stated)

    answer = world.get(wado(contentType="application/dicom"), world.north.token())

    assert answer.body == content
    assert answer.headers["Content-Length"] == (str(len(content)) if with_length else None)
    assert answer.headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("refusal", [400, 406])
def test_archive_that_has_single_files_only_is_asked_again(world: World, refusal: int) -> None:
    def single(asked: Asked) -> Response | None:
        if not asked.path.endswith(instance_of(STUDY_A)):
            return None
        if asked.headers["Accept"].startswith("multipart/"):
            return Response(status=refusal)
        return Response(FILE, content_type="application/dicom")

    world.pacs.answer = single

    answer = world.get(wado(contentType="application/dicom"), world.north.token())

    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, FILE, "application/dicom")
    assert retrieved(world).headers["Accept"] == "application/dicom"


def test_picture_comes_from_rendered_with_its_options(world: World) -> None:
    query = {"rows": "100", "columns": "200", "windowCenter": "40", "windowWidth": "400", "imageQuality": "80"}

    answer = world.get(wado(contentType="image/jpeg", frameNumber="3", **query), world.north.token())

    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert retrieved(world).path.endswith(f"/instances/{instance_of(STUDY_A)}/frames/3/rendered")
    assert retrieved(world).query == {"viewport": ["200,100"], "window": ["40,400,linear"], "quality": ["80"]}
    assert retrieved(world).headers["Accept"] == "image/jpeg"


def test_archive_never_sees_a_wado_uri_query(world: World) -> None:
    world.get(wado(), world.north.token())

    assert not any("wado" in one.path or "objectUID" in one.target for one in world.pacs.asked)


@pytest.mark.parametrize("content_type", ["application/dicom", "image/jpeg"])
def test_head_says_what_get_would(world: World, content_type: str) -> None:
    serve_files(world)
    path = wado(contentType=content_type)

    head, get = head_of(world, path), world.get(path, world.north.token())

    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["Content-Type"].partition(";")[0] == get.headers["Content-Type"].partition(";")[0] == content_type


@pytest.mark.parametrize(
    "answer",
    [
        multipart([(FILE, {}), (b"another object", {})], part_type="application/dicom"),
        multipart([(b"pixels", {})], part_type="application/octet-stream"),
        multipart([(b"<html>", {"Content-Type": "text/html"})], part_type="application/dicom"),
        Response(b'multipart/related; type="application/dicom"', content_type="application/dicom+json"),
        Response(b"cut", content_type='multipart/related; type="application/dicom"; boundary=b0undary'),
        Response(b"<html>", content_type="text/html"),
        Response(status=204),
        Response(b"", 206, content_type="application/dicom"),
    ],
    ids=["two parts", "no DICOM", "HTML part", "JSON", "no multipart", "HTML", "nothing", "partial"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anything_but_the_one_object_is_not_passed_on(world: World, answer: Response, method: str) -> None:
    """W5: never more than was asked for, and nothing that a browser would run."""
    body = answer.get_data()
    world.pacs.answer = lambda asked: (
        Response(body, answer.status, content_type=answer.content_type) if asked.path.endswith(instance_of(STUDY_A)) else None
    )

    said = world.send(
        method, world.root + wado(contentType="application/dicom"), {"Authorization": f"Bearer {world.north.token()}"}
    )

    # HEAD sees no body, so that only GET can tell what is in it.
    wrong_inside = method == "HEAD" and said.status == 200 and said.headers["Content-Type"] == "application/dicom"
    assert said.status == 502 or wrong_inside
    assert b"<html>" not in said.body
    assert FILE not in said.body


def test_second_part_of_a_large_answer_breaks_the_answer_off(world: World) -> None:
    parts = [(FILE + b"x" * SMALL_BODY * 10, {}), (b"another object", {})]
    world.pacs.answer = lambda asked: (
        multipart(parts, part_type="application/dicom") if asked.path.endswith(instance_of(STUDY_A)) else None
    )

    with pytest.raises(Exception, match=r"IncompleteRead|incomplete"):
        world.get(wado(contentType="application/dicom"), world.north.token())


def test_refused_query_asks_nobody(world: World) -> None:
    for query in ("requestType=WADO", f"requestType=WADO&objectUID={instance_of(STUDY_A)}", wado(anonymize="yes")[6:]):
        answer = world.get(f"/wado?{query}", world.north.token())

        assert answer.status == 400
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize("content_type", ["application/dicom+xml", "text/html", "application/pdf;q=0"])
def test_type_that_is_not_offered_is_406_in_words(world: World, content_type: str) -> None:
    answer = world.get(wado(contentType=content_type), world.north.token())

    assert (answer.status, answer.problem) == (406, "not-acceptable")
    assert "application/dicom" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "action"),
    [
        ({"contentType": "application/dicom"}, "study-opened"),
        ({"contentType": "image/jpeg"}, "study-opened"),
        ({"rows": "128", "columns": "128"}, "study-previewed"),
        ({"rows": "2000", "columns": "128"}, "study-opened"),
    ],
)
def test_audit_says_what_was_disclosed(world: World, query: dict[str, str], action: str) -> None:
    """P8: a small picture is a preview here as it is by WADO-RS."""
    world.get(wado(**query), world.north.token())

    record = world.audit()[0]
    assert (record.outcome, record.action.value, record.study_instance_uid) == ("allowed", action, STUDY_A)


def test_archive_status_is_explained(world: World) -> None:
    world.pacs.answer = lambda asked: Response(status=404) if asked.path.endswith("/rendered") else None

    answer = world.get(wado(), world.north.token())

    assert (answer.status, answer.problem) == (404, "archive-404")
