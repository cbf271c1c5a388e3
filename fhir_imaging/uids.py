"""DICOM unique identifiers, strictly: what is not a UID never reaches an archive or a URL.

Spec: DICOM PS3.5 §9 (UID), PS3.18 §8.2; FHIR R4 ImagingStudy (identifier system ``urn:dicom:uid``, value ``urn:oid:…``).
"""

from __future__ import annotations

import re
from typing import NewType

StudyInstanceUID = NewType("StudyInstanceUID", str)
SeriesInstanceUID = NewType("SeriesInstanceUID", str)
SopInstanceUID = NewType("SopInstanceUID", str)

DICOM_UID_SYSTEM = "urn:dicom:uid"
MAX_UID_LENGTH = 64

# Leading zeros in a component are forbidden by PS3.5 §9.1 but stored in real archives, so they pass: the archive's own
# spelling must reach the archive. fullmatch + ASCII, since "$" lets a newline pass and "\d" other scripts' digits.
UID_PATTERN = r"[0-9]+(?:\.[0-9]+)*"
"""The grammar as a regular expression, without the limit of length; for whoever checks addresses elsewhere (nginx)."""
_UID = re.compile(UID_PATTERN, re.ASCII)


def is_uid(text: str) -> bool:
    """Whether ``text`` is a DICOM UID: dotted digits, at most 64 characters, nothing before or after."""
    return len(text) <= MAX_UID_LENGTH and _UID.fullmatch(text) is not None


def study_uid(text: str) -> StudyInstanceUID:
    """The Study Instance UID in ``text``; ValueError when it is not a UID."""
    return StudyInstanceUID(_checked(text))


def series_uid(text: str) -> SeriesInstanceUID:
    """The Series Instance UID in ``text``; ValueError when it is not a UID."""
    return SeriesInstanceUID(_checked(text))


def sop_uid(text: str) -> SopInstanceUID:
    """The SOP Instance UID in ``text``; ValueError when it is not a UID."""
    return SopInstanceUID(_checked(text))


def from_urn(value: str) -> str | None:
    """The UID of a FHIR identifier value (``urn:oid:1.2.3``, or the bare UID that some servers send); None otherwise."""
    bare = value.strip().removeprefix("urn:oid:").rstrip("\0 ")
    return bare if is_uid(bare) else None


def to_urn(uid: str) -> str:
    """``urn:oid:`` form of a UID, as FHIR identifiers carry it."""
    return f"urn:oid:{_checked(uid)}"


def _checked(text: str) -> str:
    if not is_uid(text):
        raise ValueError(f"not a DICOM UID: {text[:MAX_UID_LENGTH]!r}")
    return text
