"""What an installation says about the rules: which files hold the site's packs and codes, and the windows at order time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imaging_findings.intervals import Interval, Unit
from imaging_findings.modalities import family_of
from imaging_findings.order_policy import LOOKBACK, OrderPolicy
from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.visit_policy import BookingPolicy, UnreadPolicy

NO_LOOKBACK = "none"
# Long enough for every examination that is repeated by plan, and short enough for the calendar.
_LONGEST_YEARS = 20
_PER_YEAR = {Unit.DAY: 366, Unit.WEEK: 53, Unit.MONTH: 12, Unit.YEAR: 1}
_WINDOW = re.compile(r"(\d{1,4}) ?(d|wk|mo|a)", re.ASCII)
_AGES = (0, 130)
_DAYS = (0, 3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """What the site decides about the rules of the cards and of the study list; relative paths start at the settings file."""

    packs: Path | None = None
    """The site's own TOML of rule packs: packs on and off, owners, and rows that differ (docs/rules.md)."""
    study_codes: Path | None = None
    """The site's own CSV of examination codes with their modality, regions, contrast, side and purpose (docs/rules.md)."""
    clinical_owner: str = ""
    """Who answers for the rules that are in no pack (orders, discharge, bookings); cards name them, as a pack names its own."""
    lookback: Mapping[str, str] = field(default_factory=lambda: {family: _written(one) for family, one in LOOKBACK.items()})
    """How long an examination counts as recent, by modality family, in `d`, `wk`, `mo` or `a`, or `none`; families that are not named keep the default."""  # noqa: E501 - one sentence of the settings table
    egfr_window_inpatient_days: int = 30
    """How old an eGFR may be for an inpatient."""
    egfr_window_outpatient_days: int = 90
    """How old an eGFR may be for everybody else."""
    diabetes_is_a_kidney_risk: bool = False
    """Whether diabetes alone makes a missing eGFR worth a word."""
    pregnancy_youngest_years: int = 12
    """From which age on pregnancy is asked about."""
    pregnancy_oldest_years: int = 50
    """Until which age pregnancy is asked about."""
    pregnancy_status_window_days: int = 30
    """How long a recorded "not pregnant" or a negative test holds."""
    pregnancy_longest_days: int = 294
    """How long a recorded pregnancy holds, unless something later says otherwise."""
    follow_up_early_days: int = 14
    """How many days before its due date a follow-up still counts as on time."""
    unreported_modalities: tuple[str, ...] = ("XA",)
    """DICOM modalities that get no report of their own here, so that a study of them alone is never called unread."""
    unreported_words: tuple[str, ...] = (
        "point of care",
        "point-of-care",
        "pocus",
        "intraoperative",
        "intra-operative",
        "c-arm",
    )
    """What the description of a study says where nobody will report it, in any case of letters."""
    reports_interventions: bool = False
    """Whether images that guide a biopsy or a drainage get a radiology report."""
    unplaced_look_back_days: int = 30
    """How old a study without an encounter may be to be told at discharge where the encounter's dates are not known."""
    late_booking_tolerance_days: int = 14
    """How many days after its due window a follow-up may be booked without a word."""
    late_booking_warning_days: int = 14
    """How many days after its due window a follow-up may be booked before that is a warning."""
    overdue_booking_days: int = 30
    """Within how many days from today an overdue follow-up counts as booked in time."""
    patient_results: PatientResults = PatientResults.NEVER
    """What a user who is the patient gets: `never` a card, or the dated follow-ups of `released` reports in plain words."""
    release_after_hours: int = 72
    """Hours from the signing of a report until a patient may be told of its follow-up."""
    patient_image_links: bool = False
    """Whether such a card links to the viewer."""

    def __post_init__(self) -> None:
        """ValueError for windows, ages and families that cannot be meant."""
        for family, words in self.lookback.items():
            if family_of(family) != family.upper():
                raise ValueError(f"lookback: {family} is no modality family")
            _window(words)
        youngest, oldest = self.pregnancy_youngest_years, self.pregnancy_oldest_years
        if not _AGES[0] <= youngest <= oldest <= _AGES[1]:
            raise ValueError(f"the ages {youngest} to {oldest} for pregnancy are not ascending within 0 to 130")
        windows = {
            "egfr_window_inpatient_days": self.egfr_window_inpatient_days,
            "egfr_window_outpatient_days": self.egfr_window_outpatient_days,
            "pregnancy_status_window_days": self.pregnancy_status_window_days,
            "pregnancy_longest_days": self.pregnancy_longest_days,
            "follow_up_early_days": self.follow_up_early_days,
            "unplaced_look_back_days": self.unplaced_look_back_days,
            "late_booking_tolerance_days": self.late_booking_tolerance_days,
            "late_booking_warning_days": self.late_booking_warning_days,
            "overdue_booking_days": self.overdue_booking_days,
        }
        for name, days in windows.items():
            if not _DAYS[0] <= days <= _DAYS[1]:
                raise ValueError(f"{name} is {days}, which is not {_DAYS[0]} to {_DAYS[1]}")
        _ = self.release  # checks its own hours

    def beside(self, folder: Path) -> RuleSettings:
        """The same with relative paths taken from ``folder``: a site's files stand beside its settings."""
        packs = folder / self.packs if self.packs else None
        return replace(self, packs=packs, study_codes=folder / self.study_codes if self.study_codes else None)

    @property
    def release(self) -> ReleaseRule:
        """What users who are the patient or a related person may be told. ValueError for hours that cannot be meant."""
        return ReleaseRule(
            patient_results=self.patient_results,
            release_after_hours=self.release_after_hours,
            image_links=self.patient_image_links,
        )

    @property
    def unread(self) -> UnreadPolicy:
        """Which examinations nobody reports."""
        return UnreadPolicy(
            unreported_modalities=frozenset(one.upper() for one in self.unreported_modalities),
            unreported_words=tuple(one.lower() for one in self.unreported_words if one.strip()),
            reports_interventions=self.reports_interventions,
            unplaced_look_back_days=self.unplaced_look_back_days,
        )

    @property
    def bookings(self) -> BookingPolicy:
        """The tolerances for bookings."""
        return BookingPolicy(
            late_tolerance_days=self.late_booking_tolerance_days,
            late_warning_days=self.late_booking_warning_days,
            overdue_soon_days=self.overdue_booking_days,
        )

    @property
    def orders(self) -> OrderPolicy:
        """The windows and limits of the checks at order time."""
        stated = {family.upper(): _window(words) for family, words in self.lookback.items()}
        lookback = {family: window for family, window in {**LOOKBACK, **stated}.items() if window is not None}
        return OrderPolicy(
            lookback=lookback,
            egfr_window_inpatient_days=self.egfr_window_inpatient_days,
            egfr_window_outpatient_days=self.egfr_window_outpatient_days,
            diabetes_is_a_kidney_risk=self.diabetes_is_a_kidney_risk,
            pregnancy_youngest_years=self.pregnancy_youngest_years,
            pregnancy_oldest_years=self.pregnancy_oldest_years,
            pregnancy_status_window_days=self.pregnancy_status_window_days,
            pregnancy_longest_days=self.pregnancy_longest_days,
            follow_up_early_days=self.follow_up_early_days,
        )


def _written(interval: Interval) -> str:
    return f"{interval.high} {interval.unit}"


def _window(words: str) -> Interval | None:
    """``90 d``, ``11 mo``; None for ``none``; ValueError for anything else."""
    if words.strip() == NO_LOOKBACK:
        return None
    match = _WINDOW.fullmatch(words.strip())
    if match is None or not 0 < int(match[1]) <= _LONGEST_YEARS * _PER_YEAR[Unit(match[2])]:
        raise ValueError(f'lookback: {words!r} is no window such as "90 d", "12 wk", "11 mo", "2 a" or "{NO_LOOKBACK}"')
    amount = int(match[1])
    return Interval(amount, amount, Unit(match[2]))
