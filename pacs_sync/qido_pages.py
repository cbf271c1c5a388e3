"""Searches read page by page from archives that each have their own idea of limit and offset.

Pages overlap a little, so that a study that comes in or goes while they are read pushes none past the reader; whoever reads
them takes the same entry twice in good part. An archive that gives the same page again is an error, not an endless list.

Spec: DICOM PS3.18 §8.3.4.4 (limit, offset; Warning 299 where an archive gives fewer than there are).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fhir_imaging.clients.dicomweb import DataSet, Matches
from fhir_imaging.dicom_json import first_text
from fhir_imaging.errors import UpstreamError

OVERLAP = 10
"""Entries that a page has in common with the one before, where pages are long enough."""

Search = Callable[[int, int], Matches]
"""By limit and offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a search the next page begins.

    ``before`` tells the page before from others. ``is_filled``: a page came as long as was asked for, so one that is shorter
    is the last; until then the archive may have a shorter limit of its own.
    """

    offset: int = 0
    before: str = ""
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a search. ``after``: where the next page begins; None = there is none."""

    datasets: tuple[DataSet, ...]
    after: Place | None


def page_at(place: Place, search: Search, *, limit: int, key: str, server: str) -> Page:
    """The page there; ``key`` is the tag of the UID that tells entries apart.

    UpstreamError when the archive overlooks ``offset`` and has more than it gives at once.
    """
    found = search(limit, place.offset)
    length = len(found.datasets)
    if not length:
        return Page((), None)
    mark = _mark(found.datasets, key)
    if mark == place.before:
        if found.more or length == limit:
            raise UpstreamError(
                "The archive gives the same page of a search again (it overlooks offset); ask for larger pages or fewer days.",
                server=server,
            )
        return Page((), None)  # everything at once, whatever was asked for
    is_filled = place.is_filled or length >= limit
    is_short = length < limit and not found.more
    if is_short and is_filled:
        return Page(found.datasets, None)
    overlap = 0 if is_short else min(OVERLAP, length // 4)
    return Page(found.datasets, Place(offset=place.offset + length - overlap, before=mark, is_filled=is_filled))


def all_pages(search: Search, *, limit: int, key: str, server: str) -> Iterator[tuple[DataSet, ...]]:
    """The entries of a search, page by page; some twice."""
    place: Place | None = Place()
    while place is not None:
        page = page_at(place, search, limit=limit, key=key, server=server)
        place = page.after
        if page.datasets:
            yield page.datasets


def _mark(datasets: tuple[DataSet, ...], key: str) -> str:
    named = "\n".join(first_text(one, key) or "" for one in datasets)
    return hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:16]
