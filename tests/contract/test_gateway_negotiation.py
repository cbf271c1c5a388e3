"""Content negotiation at the gateway, point by point (PS3.18 §8.7, §10.4.4; W1, W2; RFC 9110 §12.5.1)."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from flask import Response

from tests.security.gateway_actors import World
from tests.security.gateway_stubs import FRAME, INSTANCE, METADATA, STUDY_A, multipart, only_for, series_of

STUDY = f"/studies/{STUDY_A}"
SERIES = f"{STUDY}/series/{series_of(STUDY_A)}"
ALL_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def passed_up(world: World) -> str:
    return world.pacs.retrievals()[-1].headers["Accept"]


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related;type="application/dicom";transfer-syntax="*"',
        "Multipart/Related; Type=application/dicom; Transfer-Syntax=*",
    ],
)
@pytest.mark.parametrize("path", [STUDY, SERIES, INSTANCE])
def test_quoted_and_unquoted_parameters_mean_the_same_and_go_up_quoted(world: World, path: str, accept: str) -> None:
    """§8.7; W1: OHIF leaves the quotation marks out, and archives do not all forgive that."""
    answer = world.get(path, world.north.token(), Accept=accept)

    assert answer.status == 200
    assert passed_up(world) == ALL_AS_STORED
    assert answer.headers["Content-Type"] == 'multipart/related; type="application/dicom"; boundary="b0undary"'


@pytest.mark.parametrize(("path", "status"), [(STUDY, 406), (SERIES, 406), (INSTANCE, 200)])
def test_plain_dicom_is_one_instance(world: World, path: str, status: int) -> None:
    """§10.4.4: a study or a series is no single file."""
    answer = world.get(path, world.north.token(), Accept="application/dicom")

    assert answer.status == status
    assert status == 200 or world.pacs.retrievals() == []


def test_accept_in_the_query_outranks_the_header(world: World) -> None:
    """§8.7.8.1."""
    token = world.north.token()
    query = f"?accept={quote(ALL_AS_STORED)}"

    good = world.get(STUDY + query, token, Accept="text/html")
    went_up = passed_up(world)
    bad = world.get(f"{STUDY}?accept=text/html", token, Accept=ALL_AS_STORED)
    twice = world.get(f"{STUDY}{query}&accept=text/html", token)

    assert (good.status, went_up, bad.status, twice.status) == (200, ALL_AS_STORED, 406, 400)
    assert all("accept=" not in one.target for one in world.pacs.asked)


@pytest.mark.parametrize("path", ["/studies?accept=application%2Fdicom%2Bxml", f"{METADATA}?accept=application%2Fdicom%2Bxml"])
def test_accept_in_the_query_counts_for_searches_and_metadata_too(world: World, path: str) -> None:
    assert world.get(path, world.north.token(), Accept="application/dicom+json").status == 406


@pytest.mark.parametrize("accept", [None, "*/*", "application/dicom;q=0.1, */*"])
def test_anything_means_all_files_as_they_are_stored(world: World, accept: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}

    assert world.get(STUDY, world.north.token(), **headers).status == 200
    assert passed_up(world) == ALL_AS_STORED


def test_wanted_transfer_syntax_goes_up_and_that_of_a_part_comes_down(world: World) -> None:
    """§8.7.3.5.2: each compressed part says its transfer syntax."""
    part_type = f"image/jp2; transfer-syntax={JPEG_2000}"
    world.pacs.answer = only_for("/frames/1", lambda: multipart([(b"pixels", {})], part_type=part_type))

    accept = f'multipart/related; type="image/jp2"; transfer-syntax={JPEG_2000}'
    answer = world.get(FRAME, world.north.token(), Accept=accept)

    assert passed_up(world) == accept
    assert f"Content-Type: {part_type}\r\n".encode() in answer.body


@pytest.mark.parametrize("path", ["/studies", f"{STUDY}/series", METADATA, f"{SERIES}/metadata"])
@pytest.mark.parametrize(
    "accept", ["application/dicom+xml", 'multipart/related; type="application/dicom+xml"', "text/xml", "application/xml;q=0.9"]
)
def test_xml_is_refused_in_words(world: World, path: str, accept: str) -> None:
    """§7 of the requirements: XML would carry the archive's addresses, so that it is refused, before any archive is asked."""
    answer = world.get(path, world.north.token(), Accept=accept)

    assert (answer.status, answer.problem) == (406, "not-acceptable")
    assert "XML" in answer.json()["detail"]
    assert "application/dicom+json" in answer.json()["detail"]
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (STUDY, "image/jpeg"),
        (STUDY, "text/html"),
        (STUDY, 'multipart/related; type="text/html"'),
        (FRAME, "application/dicom"),
        (FRAME, "application/dicom+json"),
        (f"{INSTANCE}/rendered", "text/html"),
        (f"{INSTANCE}/rendered", "image/svg+xml"),
        (f"{INSTANCE}/thumbnail", "application/dicom+json"),
        (METADATA, "image/jpeg"),
        (METADATA, "application/dicom+json;q=0"),
        (METADATA, "application/dicom+json;q=0.0, */*;q=0.5"),
        (METADATA, "*/*;q=0"),
        ("/studies", "application/dicom"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_acceptable_is_406(world: World, path: str, accept: str, method: str) -> None:
    headers = {"Authorization": f"Bearer {world.north.token()}", "Accept": accept}

    answer = world.send(method, world.root + path, headers)

    assert answer.status == 406
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", [STUDY, METADATA, "/studies", f"{INSTANCE}/rendered"])
def test_archive_that_does_not_offer_a_form_says_so_through_the_gateway(world: World, path: str, method: str) -> None:
    ending = path.rpartition("/")[2]
    world.pacs.answer = lambda asked: (
        None if asked.path.endswith(("/series", "/instances")) or not asked.path.endswith(ending) else Response("no", 406)
    )

    answer = world.send(method, world.root + path, {"Authorization": f"Bearer {world.north.token()}"})

    assert answer.status == (502 if path == "/studies" else 406)
