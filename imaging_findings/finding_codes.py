"""Which codes a site may name as a finding that must be communicated, without a terminology server to ask.

A code of the checked tables, any other SNOMED concept whose check digit is right, a RadLex id, or a code of the site's own
system. What the tables know as something else (a body structure, an examination, a measurement) is refused: a policy on it
would never fire, or always. Spec: clinical rules, section 3.4.
"""

from __future__ import annotations

import re

from imaging_findings import codes
from imaging_findings.actionable_reading import CATEGORY_OF, NO_FINDINGS
from imaging_findings.codes import Code
from imaging_findings.denial import ABSENT, PRESENT
from imaging_findings.members import MEASURED

_RADLEX_ID = re.compile(r"RID[0-9]{1,6}")
# Both stand in a search's address as they are, so what would end or part a parameter has no place in them.
_SYSTEM = re.compile(r"(https?://|urn:)[A-Za-z0-9._~:/-]+")
_CODE = re.compile(r"[A-Za-z0-9._~:-]{1,64}")
_TURNED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def fault_of(finding: Code) -> str | None:
    """What is wrong with a site's code for a finding, as the end of a sentence; None where nothing is."""
    if _is_something_else(finding):
        return "which is no finding"
    if (finding.system, finding.code) in codes.concepts():
        return None
    if finding.system == codes.SNOMED:
        return None if is_snomed_concept(finding.code) else "which is no SNOMED concept: its digits do not fit"
    if finding.system == codes.RADLEX:
        return None if _RADLEX_ID.fullmatch(finding.code) else "which is no RadLex id"
    if not _SYSTEM.fullmatch(finding.system) or not _CODE.fullmatch(finding.code):
        return "which is no address of a code system with a plain code of it"
    return None


def is_snomed_concept(code: str) -> bool:
    """Whether a number can be a SNOMED concept: 6 to 18 digits, a concept's partition, and Verhoeff's check digit."""
    if not re.fullmatch(r"[1-9][0-9]{5,17}", code) or code[-3:-1] not in ("00", "10"):
        return False
    total = 0
    for position, digit in enumerate(reversed(code)):
        turned = int(digit)
        for _ in range(position % 8):
            turned = _TURNED[turned]
        total = _combined(total, turned)
    return total == 0


def _combined(first: int, second: int) -> int:
    """Two turns or mirrorings of a pentagon after each other (5 to 9 are mirrored)."""
    mirrored = first >= 5
    turn = (first - second if mirrored else first + second) % 5
    return turn + (0 if mirrored == (second >= 5) else 5)


def _is_something_else(finding: Code) -> bool:
    key = (finding.system, finding.code)
    other = (*MEASURED, *PRESENT, *CATEGORY_OF, codes.LUNG_RADS_CATEGORY, codes.LOW_RISK, codes.HIGH_RISK)
    is_tabled = key in codes.body_sites() or key in codes.procedures() or key in ABSENT
    return is_tabled or finding.system in NO_FINDINGS or any(finding.is_same(one) for one in other)
