"""Content items, of structured reports and wherever else they stand: codes, numbers and geometry stay, texts and names go.

What is about the person and not about the examination (birth, death, age, size, sex) goes also where dates are kept.

Spec: DICOM PS3.15 §E.3.4 (Clean Structured Content), PS3.3 §C.17.3 (SR content items), PS3.16 TID 1007 (subject of a report).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from pacs_sync.pseudonyms import Pseudonyms

FINDING = "Finding"
"""What the labels of tracked findings begin with."""
_TRACKING_IDENTIFIER = "112039"
_REMOVED = "REMOVED"
_OF_THE_PERSON = re.compile(
    r"\b(birth|born|death|deceased|died|(subject|patient|fetus|mother)('s)? (age|sex|weight|height|size|ethnicity|breed)"
    r"|(body|patient) (weight|height)|gebur\w*|tod(es\w*)?|sterbe\w*|naissance|d[ée]c[èe]s|nacimiento|nascita)\b"
)
_VALUES_OF_THE_PERSON = ("MeasuredValueSequence", "ConceptCodeSequence")
_CODE_SEQUENCE = re.compile(r"CodeSequence\Z")


def scrub_item(item: Dataset, pseudonyms: Pseudonyms, *, keeps_dates: bool) -> None:
    """Replaces what this content item says in words, in place; those below it are items of their own.

    The tracking identifier of a finding becomes a label that is the same from one report to the next.
    """
    concept, meaning = _concept(item)
    is_of_the_person = bool(_OF_THE_PERSON.search(meaning))
    if "TextValue" in item:
        is_tracking = concept == _TRACKING_IDENTIFIER
        item.TextValue = pseudonyms.label(FINDING, str(item.TextValue)) if is_tracking else _REMOVED
    if "PersonName" in item:
        item.PersonName = _REMOVED
    if is_of_the_person or not keeps_dates:
        for keyword, dummy in (("Date", "00010101"), ("Time", "000000"), ("DateTime", "00010101000000")):
            if keyword in item:
                setattr(item, keyword, dummy)
    if is_of_the_person and any(keyword in item for keyword in _VALUES_OF_THE_PERSON):
        for keyword in _VALUES_OF_THE_PERSON:
            item.pop(keyword, None)
        item.ValueType, item.TextValue = "TEXT", _REMOVED
    for code in _codes(item):
        # A code of the site's own may have a person's or a place's name for its meaning.
        if _is_of_the_site(str(code.get("CodingSchemeDesignator") or "")) and "CodeMeaning" in code:
            code.CodeMeaning = _REMOVED


def _is_of_the_site(scheme: str) -> bool:
    return scheme.startswith("99") or scheme.upper() in ("L", "LOCAL")


def _codes(item: Dataset) -> Iterator[Dataset]:
    for element in item:
        if element.VR == "SQ" and _CODE_SEQUENCE.search(element.keyword):
            yield from element.value or ()


def _concept(item: Dataset) -> tuple[str, str]:
    """Code and meaning, lower case, of what the item says something about."""
    names = item.get("ConceptNameCodeSequence") or ()
    first = names[0] if names else Dataset()
    return str(first.get("CodeValue") or ""), str(first.get("CodeMeaning") or "").lower()
