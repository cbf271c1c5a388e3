"""A structured report without its words: codes, numbers and geometry stay, texts and names go.

Spec: DICOM PS3.15 §E.3.4 (Clean Structured Content), PS3.3 §C.17.3 (SR content items).
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from pacs_sync.pseudonyms import Pseudonyms

_TRACKING_IDENTIFIER = "112039"
_REMOVED = "REMOVED"


def scrub_content(dataset: Dataset, pseudonyms: Pseudonyms, *, keeps_dates: bool) -> None:
    """Replaces what the content items of a report say in words, at any depth, in place.

    The tracking identifier of a finding becomes a label that is the same from one report to the next. UIDs were mapped before.
    """
    for item in dataset.get("ContentSequence") or ():
        _scrub(item, pseudonyms, keeps_dates=keeps_dates)
        scrub_content(item, pseudonyms, keeps_dates=keeps_dates)


def _scrub(item: Dataset, pseudonyms: Pseudonyms, *, keeps_dates: bool) -> None:
    if "TextValue" in item:
        is_tracking = _concept(item) == _TRACKING_IDENTIFIER
        item.TextValue = pseudonyms.label("Finding", str(item.TextValue)) if is_tracking else _REMOVED
    if "PersonName" in item:
        item.PersonName = _REMOVED
    if not keeps_dates:
        for keyword, dummy in (("Date", "00010101"), ("Time", "000000"), ("DateTime", "00010101000000")):
            if keyword in item:
                setattr(item, keyword, dummy)
    for code in item.get("ConceptCodeSequence") or ():
        # A code of the site's own may have a person's or a place's name for its meaning.
        if str(code.get("CodingSchemeDesignator") or "").startswith("99") and "CodeMeaning" in code:
            code.CodeMeaning = _REMOVED


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or ()
    return str(names[0].get("CodeValue") or "") if names else ""
