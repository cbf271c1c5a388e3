"""Archives that know fewer forms than the standard: asked again, form by form, before a caller is refused (PS3.18 §8.7; W2).

Shaped by Orthanc 1.10 and AWS HealthImaging; ``interop/test_gateway_orthanc.py`` has the real one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Response

from imaging_server.asking import MAX_WAYS, Way, ways_to_ask
from imaging_server.resource import DicomResource, parse_path
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import FRAME, INSTANCE, METADATA, STUDY_A, Asked, multipart

FILE = b"\x00" * 128 + b"DICM"
WRAPPED = 'multipart/related; type="application/dicom"'
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def a_resource(path: str) -> DicomResource:
    resource = parse_path(path)
    assert resource is not None
    return resource


@pytest.mark.parametrize(
    ("path", "accept", "ways"),
    [
        # One form is asked for once.
        (FRAME, "multipart/related; type=image/jp2", [Way('multipart/related; type="image/jp2"')]),
        (METADATA, None, [Way("application/dicom+json")]),
        (f"/studies/{STUDY_A}", None, [Way(f"{WRAPPED}; transfer-syntax=*")]),
        # A list as a whole, and then its members, the most wanted first.
        (
            FRAME,
            "image/jpeg;q=0.5, application/octet-stream",
            [
                Way("image/jpeg; q=0.5, application/octet-stream"),
                Way("application/octet-stream"),
                Way("image/jpeg"),
            ],
        ),
        # Anything, for archives that want to be told what.
        (FRAME, None, [Way("*/*"), Way('multipart/related; type="application/octet-stream"; transfer-syntax=*')]),
        (f"{INSTANCE}/rendered", "image/avif, */*;q=0.8", [Way("*/*; q=0.8"), Way("image/jpeg")]),
        (f"{INSTANCE}/bulkdata/1", "*/*", [Way("*/*"), Way('multipart/related; type="application/octet-stream"')]),
        # A single file may come wrapped.
        (INSTANCE, "application/dicom", [Way("application/dicom"), Way(WRAPPED, unwraps=True)]),
        (
            INSTANCE,
            f"application/dicom; transfer-syntax={JPEG_2000}; q=0.9",
            [
                Way(f"application/dicom; transfer-syntax={JPEG_2000}; q=0.9"),
                Way(f"application/dicom; transfer-syntax={JPEG_2000}"),
                Way(f"{WRAPPED}; transfer-syntax={JPEG_2000}", unwraps=True),
            ],
        ),
    ],
)
def test_ways_of_asking(path: str, accept: str | None, ways: list[Way]) -> None:
    assert list(ways_to_ask(a_resource(path), accept)) == ways


def test_long_list_does_not_become_many_requests() -> None:
    accept = ", ".join(f"multipart/related; type=image/jp2; transfer-syntax=1.2.{number}" for number in range(20))

    assert len(ways_to_ask(a_resource(FRAME), accept)) == MAX_WAYS


def knows_only(accept: str, answer: Callable[[], Response], refusal: int) -> Callable[[Asked], Response | None]:
    """An archive that refuses every other form of images."""

    def answered(asked: Asked) -> Response | None:
        if asked.path.endswith(("/studies", "/series", "/instances")):
            return None
        return answer() if asked.headers["Accept"] == accept else Response("what", refusal)

    return answered


@pytest.mark.parametrize("refusal", [400, 406])
def test_archive_that_takes_no_list_is_asked_for_each_form(world: World, refusal: int) -> None:
    octets = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    world.pacs.answer = knows_only(octets, lambda: multipart([(b"pixels", {})]), refusal)

    answer = world.get(FRAME, world.north.token(), Accept=f"image/gif, {octets};q=0.9")

    assert answer.status == 200
    assert b"pixels" in answer.body
    assert [one.headers["Accept"] for one in world.pacs.retrievals()] == [f"image/gif, {octets}; q=0.9", "image/gif", octets]


@pytest.mark.parametrize("refusal", [400, 406])
def test_single_file_is_taken_out_of_a_message(world: World, refusal: int) -> None:
    files = multipart([(FILE, {})], part_type="application/dicom")
    world.pacs.answer = knows_only(WRAPPED, lambda: Response(files.get_data(), content_type=files.content_type), refusal)

    answer = world.get(INSTANCE, world.north.token(), Accept="application/dicom")

    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, FILE, "application/dicom")


@pytest.mark.parametrize("status", [404, 405, 501, 500])
@pytest.mark.parametrize("path", [METADATA, FRAME, INSTANCE, f"/studies/{STUDY_A}", f"{INSTANCE}/rendered"])
def test_archive_without_head_is_asked_as_get(world: World, path: str, status: int) -> None:
    """Orthanc says 404 to any HEAD."""
    world.pacs.answer = lambda asked: Response(status=status) if asked.method == "HEAD" else None

    answer = world.send("HEAD", world.root + path, {"Authorization": f"Bearer {world.north.token()}"})

    assert (answer.status, answer.body) == (200, b"")
    assert [one.method for one in world.pacs.retrievals()] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("status", "told"), [(503, 503), (429, 503), (202, 503), (401, 502), (403, 502), (410, 410), (504, 504)]
)
def test_head_that_has_its_answer_is_not_asked_again(world: World, status: int, told: int) -> None:
    """An archive that is busy must not get two requests for one."""
    world.pacs.answer = lambda asked: Response(status=status) if asked.path.endswith("/metadata") else None

    answer = world.send("HEAD", world.root + METADATA, {"Authorization": f"Bearer {world.north.token()}"})

    assert (answer.status, answer.body) == (told, b"")
    assert [one.method for one in world.pacs.retrievals()] == ["HEAD"]


@pytest.mark.parametrize(("syntax", "told"), [(JPEG_2000, 406), ("*", None)])
@pytest.mark.parametrize("status", [400, 406, 500])
def test_transfer_syntax_that_the_archive_cannot_make_is_406(world: World, syntax: str, told: int | None, status: int) -> None:
    """§8 of the requirements: archives say 400 or 500 to it; a viewer that reads 406 asks for the stored one."""
    world.pacs.answer = lambda asked: Response("trace", status) if asked.path.endswith("/frames/1") else None

    accept = f'multipart/related; type="image/jp2"; transfer-syntax={syntax}'
    answer = world.get(FRAME, world.north.token(), Accept=accept)

    assert answer.status == (told or {500: 502}.get(status, status))
    assert b"trace" not in answer.body
