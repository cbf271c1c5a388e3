"""Content negotiation (PS3.18 §8.7) and multipart/related (PS3.18 §8.6.1, RFC 2046 §5.1) of the sandbox PACS."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, NotAcceptable

from ehr_sandbox.dicomweb_accept import DICOM, EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM, Offer, parse_acceptable
from ehr_sandbox.dicomweb_multipart import (
    MalformedMultipart,
    Part,
    PartReader,
    generate_multipart,
    multipart_length,
    new_boundary,
)
from ehr_sandbox.dicomweb_resource import is_uid

JPEG_LS = "1.2.840.10008.1.2.4.80"
NATIVE = Offer(media_type=OCTET_STREAM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN, is_stored=False)
STORED = Offer(media_type="image/jls", transfer_syntax=JPEG_LS)
STORED_OCTETS = Offer(media_type=OCTET_STREAM, transfer_syntax=JPEG_LS, is_default=False)
OFFERS = [NATIVE, STORED, STORED_OCTETS]


@pytest.mark.parametrize(
    ("accept", "offer"),
    [
        (None, NATIVE),
        ("*/*", NATIVE),
        ('multipart/related; type="application/octet-stream"', NATIVE),
        ("multipart/related; type=application/octet-stream", NATIVE),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", STORED_OCTETS),
        ('multipart/related; type="image/jls"', STORED),
        ('multipart/related; type="image/*"', STORED),
        ('multipart/related; type="image/jls"; transfer-syntax=*', STORED),
        (f'multipart/related; type="image/jls"; transfer-syntax={JPEG_LS}', STORED),
        ('multipart/related; type="*/*"; transfer-syntax=*', STORED),
        ('MULTIPART/RELATED; TYPE="IMAGE/JLS"', STORED),
        ('multipart/related; type="image/jp2", multipart/related; type="image/jls"', STORED),
        ('multipart/related; type="application/octet-stream";q=0.1, multipart/related; type="image/jls"', STORED),
    ],
)
def test_8_7_first_wanted_range_that_can_be_met_is_chosen(accept: str | None, offer: Offer) -> None:
    selection = parse_acceptable(accept).select(OFFERS, single_part=True)

    assert selection is not None
    assert selection.offer == offer
    assert selection.multipart


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        'multipart/related; type="image/jp2"',
        'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.4.90',
        "image/jls;q=0",
    ],
)
def test_8_7_nothing_acceptable_is_no_selection(accept: str) -> None:
    assert parse_acceptable(accept).select(OFFERS, single_part=True) is None


def test_10_4_4_bare_media_type_needs_a_single_part_resource() -> None:
    wanted = parse_acceptable("application/octet-stream")

    bare = wanted.select(OFFERS, single_part=True)
    assert bare is not None
    assert not bare.multipart
    assert wanted.select(OFFERS, single_part=False) is None


def test_8_7_8_1_accept_parameter_outranks_the_header() -> None:
    wanted = parse_acceptable("text/html", "application/dicom json")

    assert wanted.select_plain(["application/dicom+json"]) == "application/dicom+json"


def test_8_7_5_multipart_json_is_not_acceptable() -> None:
    with pytest.raises(NotAcceptable):
        parse_acceptable('multipart/related; type="application/dicom+xml"').select_plain(["application/dicom+json"])


@pytest.mark.parametrize("accept", ["nonsense", "a/b; q=high", "*/*," * 4000])
def test_8_7_malformed_accept_is_400(accept: str) -> None:
    with pytest.raises(BadRequest):
        parse_acceptable(accept)


def read_parts(body: bytes, boundary: str, step: int = 7) -> list[bytes]:
    reader = PartReader(lambda wanted: stream.read(min(wanted, step)), boundary.encode())
    stream = io.BytesIO(body)
    return [b"".join(content) for _, content in reader.parts()]


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=4), st.integers(min_value=1, max_value=40))
def test_8_6_1_parts_survive_the_way_in_pieces_of_any_size(contents: list[bytes], step: int) -> None:
    boundary = "b0undary"
    parts = [Part(content_type=DICOM, body=lambda one=one: [one], length=len(one)) for one in contents]  # type: ignore[misc]
    body = b"".join(generate_multipart(parts, boundary))

    assert multipart_length(parts, boundary) == len(body)
    assert read_parts(body, boundary, step) == contents


def test_8_6_1_preamble_and_boundary_like_bytes_in_a_body_are_kept_apart() -> None:
    body = b"preamble\r\n--b\r\nContent-Type: application/dicom\r\n\r\nx\r\n--\r\n-b--b\r\n--b--\r\n"

    assert read_parts(body, "b") == [b"x\r\n--\r\n-b--b"]


@pytest.mark.parametrize("body", [b"", b"--b\r\n\r\nx", b"--b\r\nContent-Type: application/dicom", b"\r\n--other--"])
def test_8_6_1_truncated_body_is_an_error(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        read_parts(body, "b")


def test_8_6_1_part_header_without_end_does_not_fill_memory() -> None:
    with pytest.raises(MalformedMultipart):
        read_parts(b"--b\r\n" + b"x" * 100_000, "b", step=4096)


def test_8_6_1_boundaries_are_not_guessable() -> None:
    assert new_boundary() != new_boundary()


@pytest.mark.parametrize("text", ["1", "1.2.840.10008.1.2", "2.25." + "9" * 59, "1.02"])
def test_ps3_5_9_1_uid_is_accepted(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", ".", "1.", ".1", "1..2", "1.2\n", "1.2 ", "1,2", "1.a", "１.２", "1/2", "9" * 65])
def test_ps3_5_9_1_anything_else_is_no_uid(text: str) -> None:
    assert not is_uid(text)
