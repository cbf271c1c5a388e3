"""Multipart answers of an imaging server: whether they are whole, and whether what they hold is what was asked for.

Spec: SMART Imaging Access W1, W5; RFC 2046 §5.1; DICOM PS3.18 §8.6, PS3.10 §7.1 (preamble).
"""

from __future__ import annotations

import re

from imaging_cds.check_gateway_probe import IMAGE_LIMIT, Reply

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_DICM = b"DICM"
_PREAMBLE = 128
_DEFLATED = (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.4.95")


def multipart_problems(reply: Reply, part_type: str | None) -> list[str]:
    """What is wrong with a multipart answer, whose type says ``part_type`` where one is given."""
    stated = reply.headers.get("content-type", "")
    if reply.content_type != "multipart/related":
        return [f"is {reply.content_type or 'of no type'} where multipart/related is asked for"]
    boundary = _BOUNDARY.search(stated)
    if boundary is None:
        return ["has no boundary in its Content-Type"]
    problems = [] if part_type is None or part_type in stated.lower() else [f"does not say type={part_type}"]
    delimiter, body = b"--" + boundary[1].strip().encode("latin-1"), reply.content
    if delimiter not in body[:4096]:
        problems.append("does not begin with its boundary")
    elif reply.is_whole and delimiter + b"--" not in body[-len(delimiter) - 64 :]:
        problems.append("has no closing boundary: it was cut short")
    elif reply.is_whole and not parts_of(reply):
        problems.append("has no part at all")
    elif not reply.is_whole and len(reply.body) < IMAGE_LIMIT:
        problems.append("breaks off")
    return problems


def parts_of(reply: Reply) -> int | None:
    """How many parts a multipart answer has; None where it was not read to its end or is no multipart answer."""
    boundary = _BOUNDARY.search(reply.headers.get("content-type", ""))
    if not reply.is_whole or reply.status != 200 or boundary is None:
        return None
    # Spaces may stand behind a boundary: padding of the transport.
    delimiter = rb"\r\n--" + re.escape(boundary[1].strip().encode("latin-1")) + rb"[ \t]*\r\n"
    return len(re.findall(delimiter, b"\r\n" + reply.content))


def first_file_problems(reply: Reply, study: str) -> list[str]:
    """What is wrong with the first DICOM file of a whole study."""
    part = _first_part(reply)
    if part is None:
        return []
    if part[_PREAMBLE : _PREAMBLE + 4] != _DICM:
        return ["the first part is no DICOM file (no DICM after the preamble)"]
    is_told = not reply.is_whole or _names(part, study)
    return [] if is_told else ["the first part does not name the study: it is a file of another"]


def _first_part(reply: Reply) -> bytes | None:
    head, found, body = reply.content.partition(b"\r\n\r\n")
    return body if found and head.lstrip().startswith(b"--") else None


def _names(part: bytes, study: str) -> bool:
    """Whether a DICOM file names its study, as far as that can be read: a deflated one hides it."""
    return study.encode() in part or any(syntax in part[:1024] for syntax in _DEFLATED)
