"""Body regions of studies and orders, as sets: a chest-abdomen-pelvis CT overlaps a chest CT.

Nothing recognised is an empty set, which matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from imaging_findings import codes
from imaging_findings.body_parts import body_part_regions
from imaging_findings.study_table import study_codes


def regions_of_codes(stated: Iterable[codes.Code]) -> frozenset[str]:
    """All regions that the coded body sites and procedures lie in."""
    found: set[str] = set()
    for code in stated:
        key = (code.system, code.code)
        if key in codes.body_sites():
            found |= codes.body_sites()[key].regions
        elif code.system == codes.SNOMED:
            found |= body_part_regions().get(code.code, frozenset())
        found |= {region for study in study_codes([code]) for region in study.regions}
    return frozenset(found)


def is_in_lung(stated: Iterable[codes.Code]) -> bool:
    """Whether a coded body site is the lung or a part of it."""
    sites = (codes.body_sites().get((code.system, code.code)) for code in stated)
    return any(site is not None and site.organ == "lung" for site in sites)
