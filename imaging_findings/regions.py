"""Body regions of studies and orders, as sets: a chest-abdomen-pelvis CT overlaps a chest CT.

Codes decide; words count only where a resource carries no code at all. Nothing recognised is an empty set,
which matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imaging_findings import codes

# Only the words of the DICOM body part terms that today's rules ask about.
_WORDS = {
    "chest": re.compile(r"\b(chest|thorax|thoracic|lungs?)\b", re.IGNORECASE),
    "abdomen": re.compile(r"\b(abdomen|abdominal)\b", re.IGNORECASE),
    "pelvis": re.compile(r"\b(pelvis|pelvic)\b", re.IGNORECASE),
}


def regions_of_codes(stated: Iterable[codes.Code]) -> frozenset[str]:
    """All regions that the coded body sites and procedures lie in."""
    found: set[str] = set()
    for code in stated:
        key = (code.system, code.code)
        if key in codes.body_sites():
            found |= codes.body_sites()[key].regions
        if key in codes.procedures():
            found |= codes.procedures()[key].regions
    return frozenset(found)


def regions_of_words(words: Iterable[str]) -> frozenset[str]:
    """Regions named in free text such as a study description."""
    joined = " ".join(words)
    return frozenset(region for region, pattern in _WORDS.items() if pattern.search(joined))


def is_in_lung(stated: Iterable[codes.Code]) -> bool:
    """Whether a coded body site is the lung or a part of it."""
    sites = (codes.body_sites().get((code.system, code.code)) for code in stated)
    return any(site is not None and site.organ == "lung" for site in sites)
