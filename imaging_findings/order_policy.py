"""What a site may set about the checks at order time: look-back windows, laboratory windows, ages.

The values here are the specification's; those tagged [C] there (pregnancy, DXA) need a clinician's word before real use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from imaging_findings.intervals import Interval, Unit

_NINETY_DAYS = Interval(90, 90, Unit.DAY)
_THREE_DAYS = Interval(3, 3, Unit.DAY)

# Spec: clinical rules O3. The longest of the stated ranges (72 h for XR and US), since the card only informs.
LOOKBACK: Mapping[str, Interval] = MappingProxyType(
    {
        "CT": _NINETY_DAYS,
        "MR": _NINETY_DAYS,
        "NM": _NINETY_DAYS,
        "XR": _THREE_DAYS,
        "US": _THREE_DAYS,
        "MG": Interval(11, 11, Unit.MONTH),
        "DXA": Interval(23, 23, Unit.MONTH),
    }
)

EARLY_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPolicy:
    """Windows and limits. A family without look-back (``XA``) is never called a duplicate."""

    lookback: Mapping[str, Interval] = field(default_factory=lambda: LOOKBACK)
    egfr_window_inpatient_days: int = 30
    egfr_window_outpatient_days: int = 90
    diabetes_is_a_kidney_risk: bool = False
    """Whether diabetes alone makes a missing eGFR worth a word (N6 leaves it to the site)."""
    pregnancy_youngest_years: int = 12
    pregnancy_oldest_years: int = 50
    pregnancy_status_window_days: int = 30
    """How long a recorded "not pregnant" or negative test holds."""
    pregnancy_longest_days: int = 294
    """How long a recorded pregnancy holds, unless something later says otherwise."""
    follow_up_early_days: int = EARLY_DAYS
    """How many days before its due date a follow-up still counts as on time."""

    def is_recent(self, family: str, study_day: date, examination_day: date) -> bool:
        """Whether a study of that day lies within the family's look-back; both ends belong to it."""
        window = self.lookback.get(family)
        return window is not None and study_day <= examination_day <= window.due(study_day).latest
