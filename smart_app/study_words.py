"""Dates, times, modalities and counts as a clinician reads them on the study list.

Spec: smart-launch.md §8 (unambiguous dates with time zone).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from fhir_imaging.texts import gettext, ngettext

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MODALITY_WORDS = {
    "CT": "CT",
    "MR": "MRI",
    "US": "Ultrasound",
    "DX": "X-ray",
    "CR": "X-ray",
    "MG": "Mammography",
    "PT": "PET",
    "NM": "Nuclear medicine",
    "XA": "Angiography",
    "RF": "Fluoroscopy",
}

DERIVED_WORDS = {
    "KO": ("key object", "key objects"),
    "SR": ("structured report", "structured reports"),
    "SEG": ("segmentation", "segmentations"),
    "PR": ("saved view", "saved views"),
    "RTSTRUCT": ("structure set", "structure sets"),
    "RTDOSE": ("dose distribution", "dose distributions"),
    "RTPLAN": ("treatment plan", "treatment plans"),
    "DOC": ("document", "documents"),
}
"""What stands in a study beside its images: one, many."""


def counted(number: int | None, one: str, many: str) -> str | None:
    """A number with its noun; None where the source gave no number."""
    return None if number is None else f"{number:,} {ngettext(one, many, number)}"


def derived_words(series: Iterable[str | None], modalities: Collection[str]) -> tuple[str, ...]:
    """What stands beside the images: counted by its series, or only named where the source lists no series of it."""
    if not modalities:
        return ()
    numbers = Counter(series)
    counted_words = [
        f"{numbers[code]} {ngettext(*words, numbers[code])}" for code, words in DERIVED_WORDS.items() if numbers[code]
    ]
    # How many there are is not known, so the plural names the kind.
    named = [_kind_words(code) for code in sorted(modalities) if not numbers[code]]
    named += [code for code in sorted(modalities) if numbers[code] and code not in DERIVED_WORDS]
    return (*counted_words, gettext("also {named}").format(named=", ".join(named))) if named else tuple(counted_words)


def _kind_words(code: str) -> str:
    return ngettext(*DERIVED_WORDS[code], 2) if code in DERIVED_WORDS else code


def date_words(stated: str | None, moment: datetime | None) -> str:
    """An unambiguous date at the precision that was recorded."""
    if stated is None or moment is None:
        return gettext("Date not recorded")
    month = gettext(_MONTHS[moment.month - 1])
    return {4: f"{moment.year}", 7: f"{month} {moment.year}"}.get(len(stated), f"{moment.day} {month} {moment.year}")


def time_words(stated: str | None, moment: datetime | None) -> str | None:
    """The time with its zone, as the source gave it; None where only a date is known."""
    if stated is None or moment is None or "T" not in stated:
        return None
    clock = f"{moment:%H:%M}"
    offset = moment.utcoffset()
    if offset is None:
        return gettext("{clock} (zone not stated)").format(clock=clock)
    if not offset:
        return f"{clock} UTC"
    minutes = int(abs(offset) / timedelta(minutes=1))
    return f"{clock} UTC{'+' if offset > timedelta(0) else '−'}{minutes // 60:02d}:{minutes % 60:02d}"
