"""Lung-RADS: what follows a coded category, and which category a nodule's measurements belong to.

A category is never computed for a recommendation (rule Gc): the measurements only explain or question the coded one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from imaging_findings.codes import Code
from imaging_findings.findings import Change, Finding, Nodule
from imaging_findings.intervals import add_months, whole_months
from imaging_findings.rules import CategoryRow, ScreeningPack, SizeRange, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A screening nodule with what else the table asks for; ``features`` are words of the pack such as ``airway-segmental``."""

    nodule: Nodule = field(default_factory=Nodule)
    features: frozenset[str] = frozenset()
    previous_category: str | None = None
    months_since_previous: int | None = None


def examination_of(finding: Finding, day: date | None, pack: ScreeningPack) -> Examination:
    """What the table asks for, as far as it is coded. ``day`` is that of the images.

    The reader's own word on growth stands; where it is missing, the two sizes tell, if the days are known. The category before
    counts only in the pack's own version (rule Gb: other versions mean something else by the same number).
    """
    nodule, before = finding.nodule, finding.previous
    earlier = before.day if before else None
    months = whole_months(earlier, day) if earlier and day and earlier < day else None
    if nodule.change is None and nodule.previous_mm is not None and nodule.diameter_mm is not None and earlier and day:
        change = change_between(pack, {earlier: nodule.previous_mm}, (day, nodule.diameter_mm))
        nodule = replace(nodule, change=change)
    return Examination(
        nodule=nodule,
        features=nodule.features,
        previous_category=before.category if before and before.version == pack.info.guideline.version else None,
        months_since_previous=months,
    )


def row_for(pack: ScreeningPack, category: str | None, version: str | None) -> CategoryRow | str:
    """The category's row, or in words what is missing (rule Gb: category, system and version must all be coded)."""
    if category is None:
        return "a coded Lung-RADS category"
    if version is None:
        return "the Lung-RADS version"
    if version != pack.info.guideline.version:
        return f"rules for Lung-RADS version {version} (this service knows {pack.info.guideline.version})"
    return pack.categories.get(category) or f"a row for Lung-RADS {category}"


def row_of(pack: ScreeningPack, finding: Finding) -> CategoryRow | str:
    """The row of a category in whatever code system, the first coding that the pack or the site names; else what is missing."""
    schemes = (finding.scheme, *finding.schemes_beside)
    found = [_row_in(pack, finding.category, scheme) for scheme in schemes]
    return next((one for one in found if isinstance(one, CategoryRow)), found[0])


def _row_in(pack: ScreeningPack, category: str | None, scheme: Code | None) -> CategoryRow | str:
    if category is None or scheme is None or scheme.system == pack.info.guideline.system:
        return row_for(pack, category, scheme.version if scheme else None)
    if f"{scheme.system}|{scheme.version}" in pack.systems:
        return row_for(pack, category, pack.info.guideline.version)
    if scheme.system not in pack.systems:
        return "a Lung-RADS code system that this site accepts"
    return row_for(pack, category, scheme.version)


def category_of(pack: ScreeningPack, examination: Examination) -> Trigger | None:
    """The table's line that the measurements meet; None when an input is missing or no line holds (rule Gd)."""
    return next((trigger for trigger in pack.triggers if _holds(trigger, examination)), None)


def change_between(pack: ScreeningPack, previous: Mapping[date, float], current: tuple[date, float]) -> Change | None:
    """Growing or stable against the latest earlier measurement (mm by day); None without one inside the pack's time.

    Growth is an increase above ``growth_above_mm`` within ``growth_within_months`` calendar months.
    """
    day, size = current
    earlier = [one for one in previous if one < day]
    if not earlier or add_months(max(earlier), pack.growth_within_months) < day:
        return None
    increase = round(size - previous[max(earlier)], 1)
    return Change.GROWING if increase > pack.growth_above_mm else Change.STABLE


def _holds(trigger: Trigger, examination: Examination) -> bool:
    nodule = examination.nodule
    stepped = trigger.previous_category is None or (
        trigger.previous_category == examination.previous_category
        and examination.months_since_previous is not None
        and examination.months_since_previous >= (trigger.previous_months or 0)
    )
    return (
        stepped
        and (trigger.feature is None or trigger.feature in examination.features)
        and (trigger.except_feature is None or trigger.except_feature not in examination.features)
        and (trigger.attenuation is None or trigger.attenuation is nodule.attenuation)
        and (not trigger.change or nodule.change in trigger.change)
        and _in_range(trigger.diameter, nodule.diameter_mm)
        and _in_range(trigger.solid_part, nodule.solid_part_mm)
    )


def _in_range(wanted: SizeRange | None, size_mm: float | None) -> bool:
    return wanted is None or (size_mm is not None and wanted.holds(size_mm))
