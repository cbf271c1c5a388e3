"""What a site may set about imaging at discharge and about bookings. No source states these values: a clinician decides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadPolicy:
    """Which examinations nobody reports, and how far back a study is worth a word that nobody can place."""

    unreported_modalities: frozenset[str] = frozenset({"XA"})
    """DICOM modalities without a report of their own, where a study has nothing else: angiography, whose record is the
    operator's. Not fluoroscopy: a barium swallow is reported."""
    unreported_words: tuple[str, ...] = (
        "point of care",
        "point-of-care",
        "pocus",
        "intraoperative",
        "intra-operative",
        "c-arm",
    )
    """What a study's description holds, in small letters, where nobody will report it."""
    reports_interventions: bool = False
    """Whether images that guide a biopsy or a drainage get a radiology report."""
    unplaced_look_back_days: int = 30
    """How old a study may be that cannot be placed for want of the encounter's dates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingPolicy:
    """Tolerances in days; the one before the window is the order checks' own (``follow_up_early_days``)."""

    late_tolerance_days: int = 14
    """How many days after its window's last day a follow-up may be booked without a word."""
    late_warning_days: int = 14
    """How many days after its window a follow-up may be booked before that is a warning."""
    overdue_soon_days: int = 30
    """Within how many days from today an overdue follow-up is booked as soon as can be asked."""
