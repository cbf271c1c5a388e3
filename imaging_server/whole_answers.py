"""Searches read to their end, also where an archive gives them in several answers: what is cut off proves nothing.

Spec: DICOM PS3.18 §8.3.4.4 (offset, limit, Warning 299); SMART Imaging Access F8, group 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    first_text,
)
from imaging_server.resource import DicomResource
from imaging_server.upstream import Archive, Matches

MAX_PAGES = 20
"""Pages that are read of one search in an archive which says that it has more."""
MAX_MATCHES = 20_000
"""Matches beyond which no further page is read: an answer that never ends must not fill the memory."""
_NAMES = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, PATIENT_ID, ISSUER_OF_PATIENT_ID)


def read_whole(archive: Archive, resource: DicomResource, query: Sequence[tuple[str, str]], *, limit: int) -> Matches:
    """Everything that a search finds; ``complete`` is False when the archive would not give all of it. As ``Archive.search``.

    An archive that repeats itself does not know the way to its next page.
    """
    datasets: list[Mapping[str, Any]] = []
    known: set[tuple[str | None, ...]] = set()
    is_literal = False
    for _ in range(MAX_PAGES):
        place = [("offset", str(len(datasets)))] if datasets else []
        found = archive.search(resource, [*query, *place], limit=limit)
        is_literal |= found.is_literal
        names = set(map(_name, found.datasets))
        if names & known:
            break
        datasets += found.datasets
        known |= names
        if found.complete:
            return Matches(tuple(datasets), True, is_literal)
        if not names or len(datasets) > MAX_MATCHES:
            break
    return Matches(tuple(datasets), False, is_literal)


def _name(dataset: Mapping[str, Any]) -> tuple[str | None, ...]:
    """What tells one match from another; the same study under two patients is two."""
    return tuple(first_text(dataset, tag) for tag in _NAMES)
