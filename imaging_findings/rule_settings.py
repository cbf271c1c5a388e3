"""What an installation says about the rules: which files hold the site's packs and codes, and the windows at order time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from imaging_findings.intervals import Interval, Unit
from imaging_findings.modalities import family_of
from imaging_findings.order_policy import LOOKBACK, OrderPolicy
from imaging_findings.referrals import WARNING_DAYS
from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.visit_policy import BookingPolicy, UnreadPolicy

NO_LOOKBACK = "none"
# Long enough for every examination that is repeated by plan, and short enough for the calendar.
_LONGEST_YEARS = 20
_PER_YEAR = {Unit.DAY: 366, Unit.WEEK: 53, Unit.MONTH: 12, Unit.YEAR: 1}
_WINDOW = re.compile(r"(\d{1,4}) ?(d|wk|mo|a)", re.ASCII)
_ORDERS, _UNREAD, _BOOKINGS, _RELEASE = OrderPolicy(), UnreadPolicy(), BookingPolicy(), ReleaseRule()
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
    egfr_window_inpatient_days: int = _ORDERS.egfr_window_inpatient_days
    """How old an eGFR may be for an inpatient."""
    egfr_window_outpatient_days: int = _ORDERS.egfr_window_outpatient_days
    """How old an eGFR may be for everybody else."""
    diabetes_is_a_kidney_risk: bool = _ORDERS.diabetes_is_a_kidney_risk
    """Whether diabetes alone makes a missing eGFR worth a word."""
    pregnancy_youngest_years: int = _ORDERS.pregnancy_youngest_years
    """From which age on pregnancy is asked about."""
    pregnancy_oldest_years: int = _ORDERS.pregnancy_oldest_years
    """Until which age pregnancy is asked about."""
    pregnancy_status_window_days: int = _ORDERS.pregnancy_status_window_days
    """How long a recorded "not pregnant" or a negative test holds."""
    pregnancy_longest_days: int = _ORDERS.pregnancy_longest_days
    """How long a recorded pregnancy holds, unless something later says otherwise."""
    follow_up_early_days: int = _ORDERS.follow_up_early_days
    """How many days before its due date a follow-up still counts as on time."""
    unreported_modalities: tuple[str, ...] = tuple(sorted(_UNREAD.unreported_modalities))
    """DICOM modalities that get no report of their own here, so that a study of them alone is never called unread."""
    unreported_words: tuple[str, ...] = _UNREAD.unreported_words
    """What the description of a study says where nobody will report it, in any case of letters."""
    reports_interventions: bool = _UNREAD.reports_interventions
    """Whether images that guide a biopsy or a drainage get a radiology report."""
    unplaced_look_back_days: int = _UNREAD.unplaced_look_back_days
    """How old a study without an encounter may be to be told at discharge where the encounter's dates are not known."""
    late_booking_tolerance_days: int = _BOOKINGS.late_tolerance_days
    """How many days after its due window a follow-up may be booked without a word."""
    late_booking_warning_days: int = _BOOKINGS.late_warning_days
    """How many days after its due window a follow-up may be booked before that is a warning."""
    overdue_booking_days: int = _BOOKINGS.overdue_soon_days
    """Within how many days from today an overdue follow-up counts as booked in time."""
    referral_warning_days: int = WARNING_DAYS
    """How many days after its study a finding that only a referral answers is a warning; then its card is information."""
    patient_results: PatientResults = _RELEASE.patient_results
    """What a user who is the patient gets: `never` a card, or the dated follow-ups of `released` reports in plain words."""
    release_after_hours: int = _RELEASE.release_after_hours
    """Hours from the signing of a report until a patient may be told of its follow-up."""
    patient_image_links: bool = _RELEASE.image_links
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
            "referral_warning_days": self.referral_warning_days,
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
        limits = {one.name: getattr(self, one.name) for one in fields(OrderPolicy) if one.name != "lookback"}
        return OrderPolicy(lookback=lookback, **limits)


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
