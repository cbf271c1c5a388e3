"""The wanted attributes of a DICOM file's header, cut out as bytes and not yet understood: to tell files alike at a glance.

Most files of a series differ in three attributes, so that the rest need be decoded once. Whatever is not plain (no preamble,
big endian, deflated, out of order, cut off) is left to pydicom.

Spec: DICOM PS3.10 §7.1 (file meta information), PS3.5 §7.1, §7.5 (data elements, sequences), Annex A (transfer syntaxes).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_PREAMBLE = 132
_META_LENGTH = struct.Struct("<HH2sHI")
_EXPLICIT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")
_UNDEFINED = 0xFFFFFFFF
_ITEM_GROUP, _ITEM = 0xFFFE, 0xE000
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_IMPLICIT_SYNTAX, _BIG_ENDIAN, _DEFLATED = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"


class OddFile(Exception):
    """It is not laid out as most files are."""


class MoreNeeded(Exception):
    """The header goes on after the bytes that were read."""


@dataclass(frozen=True, slots=True)
class Header:
    """The wanted elements by tag, each with its own head; ``is_explicit``: that names the type of value."""

    elements: Mapping[int, bytes]
    is_explicit: bool

    def text(self, tag: int, vr: bytes) -> str | None:
        """The value of an element of ASCII text. OddFile when it is of another type."""
        element = self.elements.get(tag)
        if element is None:
            return None
        if self.is_explicit and element[4:6] != vr:
            raise OddFile
        try:
            return element[8:].decode("ascii").strip(" \0") or None
        except UnicodeDecodeError as exc:
            raise OddFile from exc


def header_of(head: bytes, wanted: Collection[int], *, is_all: bool) -> Header:
    """The wanted elements at the top level. ``is_all``: the file is no longer than ``head``.

    OddFile for what pydicom must read, MoreNeeded when ``head`` ends before the last wanted element could come.
    """
    try:
        start, syntax = _after_meta(head)
        is_explicit = syntax != _IMPLICIT_SYNTAX
        elements = _cut(head, start, wanted, is_explicit=is_explicit, is_all=is_all)
    except struct.error as exc:
        raise (OddFile if is_all else MoreNeeded) from exc
    return Header(elements, is_explicit)


def _after_meta(head: bytes) -> tuple[int, bytes]:
    """Where the data set begins, and its transfer syntax."""
    if head[_PREAMBLE - 4 : _PREAMBLE] != b"DICM":
        raise OddFile
    group, element, _, size, length = _META_LENGTH.unpack_from(head, _PREAMBLE)
    if (group, element, size) != (2, 0, 4):
        raise OddFile
    start = _PREAMBLE + _META_LENGTH.size + length
    place = _PREAMBLE + _META_LENGTH.size
    while place < start:
        tag, begin, end, _ = _element(head, place, is_explicit=True)
        if tag == 0x00020010:
            syntax = head[begin:end].rstrip(b" \0")
            if not syntax.startswith(_IMPLICIT_SYNTAX) or syntax in (_BIG_ENDIAN, _DEFLATED):
                raise OddFile
            return start, syntax
        place = end
    raise OddFile


def _cut(head: bytes, place: int, wanted: Collection[int], *, is_explicit: bool, is_all: bool) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    last, previous, whole = max(wanted), 0, len(head)
    while not (is_all and place == whole):
        tag, begin, end, is_open = _element(head, place, is_explicit=is_explicit)
        if tag > last:
            return found
        if tag <= previous:
            raise OddFile
        if is_open:
            end = _after_items(head, begin, is_explicit=is_explicit)
        if tag in wanted:
            if end > whole:
                raise OddFile if is_all else MoreNeeded
            found[tag] = head[place:end]
        place, previous = end, tag
    return found


def _element(head: bytes, place: int, *, is_explicit: bool) -> tuple[int, int, int, bool]:
    """Tag, begin and end of the value of the element there, and whether its end has still to be found."""
    if not is_explicit:
        group, number, length = _IMPLICIT.unpack_from(head, place)
        begin = place + 8
    else:
        group, number, vr, length = _EXPLICIT.unpack_from(head, place)
        begin = place + 8
        if vr not in _SHORT:
            if vr not in _LONG:
                raise OddFile
            (length,) = _LENGTH.unpack_from(head, begin)
            begin += 4
            if length == _UNDEFINED and vr == b"UN":
                raise OddFile
    return group << 16 | number, begin, begin + length, length == _UNDEFINED


def _after_items(head: bytes, place: int, *, is_explicit: bool) -> int:
    """Where a sequence without stated length ends."""
    depth = 1
    while depth:
        group, number, length = _IMPLICIT.unpack_from(head, place)
        if group != _ITEM_GROUP:
            _, begin, end, is_open = _element(head, place, is_explicit=is_explicit)
            depth, place = (depth + 1, begin) if is_open else (depth, end)
        elif number != _ITEM:
            depth, place = depth - 1, place + 8
        elif length == _UNDEFINED:
            depth, place = depth + 1, place + 8
        else:
            place += 8 + length
    return place
