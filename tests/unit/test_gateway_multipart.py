"""Multipart answers on their way through (RFC 2046 §5.1): headers looked at, bodies untouched, in pieces of any size."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from imaging_server.media_types import MediaType
from imaging_server.multipart import MultipartError, PartHeaders, the_only_part
from tests.examples import examples

BOUNDARY = "b0undary"


def rewrite(address: str) -> str | None:
    return "https://gateway.example" + address.removeprefix("http://pacs") if address.startswith("http://pacs") else None


def through(message: bytes, *, cuts: list[int] | None = None) -> bytes:
    """The message as it comes out when it goes in by these pieces."""
    parts = PartHeaders(BOUNDARY, rewrite)
    edges = sorted({0, len(message), *(cut % (len(message) + 1) for cut in cuts or [])})
    pieces = [message[start:end] for start, end in pairwise(edges)]
    return b"".join(parts.feed(piece) for piece in pieces) + parts.finish()


def a_message(bodies: list[bytes], headers: bytes = b"Content-Type: application/dicom\r\n", *, lengths: bool = False) -> bytes:
    written = b""
    for body in bodies:
        length = f"Content-Length: {len(body)}\r\n".encode() if lengths else b""
        written += b"--b0undary\r\n" + headers + length + b"\r\n" + body + b"\r\n"
    return written + b"--b0undary--"


@pytest.mark.parametrize(
    "message",
    [
        a_message([b"one"]),
        a_message([b"one", b"", b"three\r\n"]),
        b"--b0undary\r\n\r\nno headers\r\n--b0undary--",
        b"--b0undary \t\r\nContent-Type: a/b\r\n\r\nx\r\n--b0undary--",
        b"--b0undary--",
        a_message([b"--b0undaryX is no boundary", b"\r\n--b0undary1\r\n"]),
    ],
)
def test_message_without_addresses_comes_out_byte_for_byte(message: bytes) -> None:
    assert through(message) == message


@given(
    st.lists(st.binary(max_size=60).map(lambda raw: raw.replace(b"--b0undary", b"")), max_size=4),
    st.lists(st.integers(0, 1000), max_size=8),
)
def test_pieces_may_be_cut_anywhere(bodies: list[bytes], cuts: list[int]) -> None:
    message = a_message(bodies)

    assert through(message, cuts=cuts) == message


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_addresses_are_rewritten_wherever_the_pieces_are_cut(cuts: list[int]) -> None:
    headers = b"Content-Type: application/dicom\r\ncontent-LOCATION: http://pacs/studies/1\r\nServer: pacs\r\n"

    out = through(a_message([b"Content-Location: http://pacs/in-the-body"], headers), cuts=cuts)

    assert out == a_message(
        [b"Content-Location: http://pacs/in-the-body"],
        b"Content-Type: application/dicom\r\nContent-Location: https://gateway.example/studies/1\r\n",
    )


@pytest.mark.parametrize("headers", [b"", b"Content-Type: a/b\r\n", b"Content-Length: 0\r\n"])
@given(cuts=st.lists(st.integers(0, 200), max_size=6))
def test_break_after_the_headers_of_an_empty_part_may_begin_the_next_delimiter(headers: bytes, cuts: list[int]) -> None:
    """RFC 2046 §5.1.1: a part may have headers alone; what follows it are headers again, and no image."""
    message = b"--b0undary\r\n" + headers + b"\r\n--b0undary\r\nServer: pacs\r\n\r\nx\r\n--b0undary--"

    assert through(message, cuts=cuts) == message.replace(b"Server: pacs\r\n", b"")


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_what_stands_before_the_first_part_and_after_the_last_is_dropped(cuts: list[int]) -> None:
    """RFC 2046 §5.1.1 calls it of no account; it may name the archive."""
    message = a_message([b"one", b""])

    assert through(b"from pacs.internal\r\n" + message + b"\r\nby pacs.internal --b0undary", cuts=cuts) == message


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"Content-ID: <1@pacs.internal>", b""),
        (b"Content-Disposition: attachment; filename=pacs.internal", b""),
        (b"Content-Description: of pacs.internal", b""),
        (b"Content-Encoding: pacs.internal", b""),
        (b"Content-Type: application/dicom\nContent-Location: http://pacs.internal/", b""),
        (b"Content-Length: 1\nX-Host: pacs.internal", b""),
        (b"Content-Type: not a type of pacs.internal", b""),
        (b"Content-Type: a/b; name=pacs.internal; transfer-syntax=1.2.840", b"Content-Type: a/b; transfer-syntax=1.2.840\r\n"),
        (b"Content-Type: a/b; transfer-syntax=pacs.internal", b"Content-Type: a/b\r\n"),
        (b"Content-Type: a/b;transfer-syntax=1.2.840", b"Content-Type: a/b;transfer-syntax=1.2.840\r\n"),
        (b"Content-Transfer-Encoding: binary", b"Content-Transfer-Encoding: binary\r\n"),
    ],
)
def test_part_header_says_what_the_part_is_and_no_more(header: bytes, kept: bytes) -> None:
    """Group 17: ids, names and remarks may name the archive, and a lone line feed may hide a header."""
    assert through(a_message([b"x"], header + b"\r\n")) == a_message([b"x"], kept)


def test_foreign_addresses_and_needless_headers_are_dropped() -> None:
    headers = b"Content-Type: a/b\r\nContent-Location: http://other/x\r\nX-Host: pacs.internal\r\n"

    assert through(a_message([b"x"], headers)) == a_message([b"x"], b"Content-Type: a/b\r\n")


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_boundary_inside_a_part_of_known_length_is_data(cuts: list[int]) -> None:
    """Group 19: image bytes may look like anything."""
    body = b"pixels\r\n--b0undary\r\nContent-Location: http://other/x\r\n\r\nmore\r\n--b0undary--"
    message = a_message([body, b"second"], lengths=True)

    assert through(message, cuts=cuts) == message


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no boundary",
        b"--b0undaryX goes on\r\n--b0undary\r\n\r\nx\r\n--b0undary--",
        b"--b0undary",
        b"--b0undary\r\nContent-Type: a/b\r\n",
        b"--b0undary\r\nContent-Type: a/b\r\n\r\nbody without an end",
        b"--b0undary\r\nContent-Length: 100\r\n\r\nshort\r\n--b0undary--",
        b"--b0undary\r\nX: " + b"y" * 20_000,
        b"--b0undary\r\nX: " + b"y" * 20_000 + b"\r\n\r\nx\r\n--b0undary--",
    ],
)
def test_message_that_was_cut_or_is_none_is_refused(message: bytes) -> None:
    with pytest.raises(MultipartError):
        through(message)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_end_in_an_answer_or_a_refusal(message: bytes, cuts: list[int]) -> None:
    with suppress(MultipartError):
        through(message, cuts=cuts)


def test_middle_of_an_image_is_passed_on_as_it_is_without_a_copy() -> None:
    parts, image = PartHeaders(BOUNDARY, rewrite), bytes(1000)
    parts.feed(b"--b0undary\r\nContent-Length: 2500\r\n\r\n" + bytes(500))

    assert parts.feed(image) is image
    assert parts.feed(image) is image
    assert parts.feed(b"\r\n--b0undary--") + parts.finish() == b"\r\n--b0undary--"


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.lists(st.integers(0, 400), max_size=6))
def test_message_reads_the_same_with_and_without_a_line_break_in_front(bodies: list[bytes], cuts: list[int]) -> None:
    message = a_message(bodies, lengths=True)

    assert through(b"\r\n" + message, cuts=cuts) == through(message, cuts=cuts) == message


def as_one(message: bytes, boundary: str = BOUNDARY) -> bytes | None:
    pieces = the_only_part(memoryview(message), MediaType("multipart/related", {"boundary": boundary}), rewrite)
    return None if pieces is None else b"".join(pieces)


ONE = a_message([b"pixels"], b"Content-Type: a/b\r\nContent-Location: http://pacs/studies/1\r\nServer: pacs\r\n", lengths=True)


def test_message_of_one_part_is_passed_on_whole() -> None:
    assert as_one(ONE) == as_one(ONE + b"\r\n") == through(ONE)
    assert b"https://gateway.example/studies/1" in (as_one(ONE) or b"")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        a_message([b"pixels"]),
        a_message([b"pixels"] * 2, lengths=True),
        a_message([b""], lengths=True),
        b"x" + ONE,
        ONE + b"x",
        ONE[:-1],
        ONE.replace(b"Length: 6", b"Length: 7"),
        ONE.replace(b"Length: 6", b"Length: 5"),
        ONE.replace(b"Server:", b"Server :"),
        ONE.replace(b"Server: pacs", b" folded"),
        ONE.replace(b"Server: pacs", b"Server: p\x00cs"),
        ONE.replace(b"Server: pacs", b"Server: p\ncs"),
        ONE.replace(b"Server: pacs", b"Server: " + b"p" * 20_000),
        ONE.replace(b"Server: pacs", b"Content-Length: 6"),
    ],
)
def test_message_that_is_not_of_one_plain_part_is_left_to_others(message: bytes) -> None:
    assert as_one(message) is None


def test_another_boundary_than_the_answers_is_left_to_others() -> None:
    assert as_one(ONE, "b0undar") is None
    assert the_only_part(memoryview(ONE), MediaType("application/dicom", {"boundary": BOUNDARY}), rewrite) is None


@trials(max_examples=examples(300))
@given(
    st.binary(max_size=40),
    st.lists(st.sampled_from([b"Content-Type: a/b", b"Content-Length: 6", b"content-location: http://pacs/x", b"X: \t", b"X"])),
    st.tuples(st.integers(0, 200), st.integers(0, 2), st.binary(max_size=3)),
)
@example(b"pixels", [b"Content-Type: a/b"], (0, 0, b""))
def test_what_is_passed_on_whole_is_what_would_be_piece_by_piece(
    body: bytes, lines: list[bytes], change: tuple[int, int, bytes]
) -> None:
    """Group 17: one way to read a message, whatever bytes it has."""
    message = a_message([body], b"".join(line + b"\r\n" for line in lines), lengths=True)
    at, gone, put = change
    message = message[:at] + put + message[at + gone :]

    passed = as_one(message)

    assert passed is None or passed == through(message)
