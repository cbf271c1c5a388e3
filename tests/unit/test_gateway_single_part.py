"""The one part of a multipart answer, taken out on its way (RFC 2046 §5.1; group 19)."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imaging_server.multipart import MultipartError
from imaging_server.single_part import SinglePart


def a_message(body: bytes, headers: bytes = b"Content-Type: application/dicom\r\n", *, length: bool = False) -> bytes:
    stated = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"--b0undary\r\n" + headers + stated + b"\r\n" + body + b"\r\n--b0undary--\r\n"


def taken_out(message: bytes, *, cuts: list[int] | None = None) -> tuple[bytes, SinglePart]:
    part = SinglePart("b0undary")
    places = sorted({min(cut, len(message)) for cut in cuts or []} | {0, len(message)})
    passed = b"".join(part.feed(message[start:end]) for start, end in itertools.pairwise(places))
    return passed + part.finish(), part


bodies = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"\r\n", b"--b0undary", b"--", b"-", b"\r", b"x", b"\r\n--b0undar"]), max_size=12).map(b"".join),
)


@given(bodies, st.lists(st.integers(0, 400), max_size=12), st.booleans())
@example(b"", [], True)
@example(b"x\r\n--b0undary--", [3, 40, 60], True)
def test_body_comes_out_byte_for_byte_wherever_the_pieces_are_cut(body: bytes, cuts: list[int], length: bool) -> None:
    """A stated length is believed, so that a boundary inside the image is data."""
    if not length and b"\r\n--b0undary" in b"\r\n" + body + b"\r\n":
        return
    passed, part = taken_out(a_message(body, length=length), cuts=cuts)

    assert passed == body
    assert part.length == (len(body) if length else None)


def test_text_that_only_begins_like_the_boundary_is_data() -> None:
    body = b"a\r\n--b0undaryX and \r\n--b0undar"

    assert taken_out(a_message(body))[0] == body
    assert taken_out(a_message(body), cuts=list(range(200)))[0] == body


def test_headers_of_the_part_say_what_it_is() -> None:
    headers = b"content-type:application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90 \r\nContent-Location: http://a\r\n"
    _, part = taken_out(a_message(b"x", headers))

    assert part.content_type is not None
    assert part.content_type.parameters == {"transfer-syntax": "1.2.840.10008.1.2.4.90"}


def test_preamble_and_epilogue_belong_to_nothing() -> None:
    assert taken_out(b"a preamble\r\n" + a_message(b"body") + b"an epilogue")[0] == b"body"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no boundary",
        b"--b0undary--",
        b"--b0undary\r\n\r\nbody",
        b"--b0undary\r\n\r\nbody\r\n--b0undary",
        b"--b0undary\r\nContent-Length: 9\r\n\r\nbody\r\n--b0undary--",
        b"--b0undary\r\nContent-Length: 2\r\n\r\nbody\r\n--b0undary--",
        b"--b0undary\r\nX: " + b"y" * 20_000,
        b"--b0undary\r\n\r\none\r\n--b0undary\r\n\r\ntwo\r\n--b0undary--",
        b"--b0undary\r\n\r\none\r\n--b0undary  \r\n\r\ntwo\r\n--b0undary--",
        b"--b0undaryX\r\n\r\none\r\n--b0undary--",
    ],
    ids=["empty", "none", "no part", "cut", "cut at end", "too long", "too short", "headers", "two", "two padded", "longer"],
)
def test_message_that_is_cut_or_has_more_than_one_part_is_refused(message: bytes) -> None:
    with pytest.raises(MultipartError):
        taken_out(message)
    with pytest.raises(MultipartError):
        taken_out(message, cuts=list(range(0, 300, 3)))


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_end_in_a_body_or_a_refusal(message: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(MultipartError):
        taken_out(message, cuts=cuts)
