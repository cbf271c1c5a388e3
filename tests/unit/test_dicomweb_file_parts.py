"""One DICOM file out of an archive's answer: the only part of a multipart, or the file itself; nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.clients.dicomweb import only_part

FILE = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\r\n--b-inside\r\n\r\n"
TYPE = 'multipart/related; type="application/dicom"; boundary=b'


def multipart(*parts: bytes, mark: bytes = b"b") -> bytes:
    head = b"Content-Type: application/dicom\r\n\r\n"
    return b"".join(b"--" + mark + b"\r\n" + head + part + b"\r\n" for part in parts) + b"--" + mark + b"--\r\n"


@pytest.mark.parametrize("content_type", [TYPE, TYPE.replace("=b", '="b"'), TYPE.replace("boundary", "Boundary")])
def test_the_only_part_is_the_file(content_type: str) -> None:
    plain = FILE.replace(b"--b-inside", b"--c")
    assert only_part(b"a preamble\r\n" + multipart(plain), content_type) == plain


def test_a_file_without_multipart_is_taken_as_it_is() -> None:
    assert only_part(FILE, "application/dicom") == FILE


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", multipart(), multipart(b"no DICOM"), multipart(FILE, FILE), multipart(FILE)[:-20]],
    ids=["empty", "page", "no-part", "no-file", "two-files", "broken-off"],
)
def test_anything_else_is_no_file(body: bytes) -> None:
    assert only_part(body, TYPE) is None


@given(st.binary(max_size=400), st.text(max_size=60))
def test_no_answer_makes_it_fail(body: bytes, content_type: str) -> None:
    part = only_part(body, content_type)
    assert part is None or part[128:132] == b"DICM"
