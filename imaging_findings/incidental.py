"""Fleischner 2017: which rows hold for an incidental nodule, and to whom the guideline does not apply.

Spec: clinical rules F1-F7; missing input gives no row (Gd), unknown risk gives both.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date

from imaging_findings.codes import SNOMED
from imaging_findings.facts import Facts
from imaging_findings.findings import Attenuation, Finding, Nodule, Risk
from imaging_findings.history import ICD_10, ConditionFacts
from imaging_findings.intervals import whole_years
from imaging_findings.nodule_terms import Band, Rounding
from imaging_findings.rules import NodulePack, NoduleRow

_SUGGESTS = re.compile(
    r"malignan|cancer|carcino|lymphoma|leuk(?:a)?emi|melanoma|sarcoma|metasta|myeloma|mesothelioma|\bhiv\b|\baids\b|"
    r"human immunodeficiency|immun(?:e|o)[- ]?(?:deficien|suppress|compromi)|transplant",
    re.IGNORECASE,
)
# Another person's illness, a search for one, a fear of one, or the opposite of one.
_OF_NOBODY = re.compile(r"family history|screening|\bfear\b|benign|\bno history\b|in situ", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsFound:
    """The rows that hold (two when the risk is unknown), or what is missing, or why the guideline does not apply."""

    rows: tuple[NoduleRow, ...] = ()
    missing: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def rows_for(pack: NodulePack, nodule: Nodule) -> RowsFound:
    """The table's rows for a nodule; ``count`` is that of the whole study."""
    missing = [
        words
        for words, value in (
            ("the nodule's type (solid, part-solid, ground-glass)", nodule.attenuation),
            ("the nodule's mean diameter in mm", nodule.diameter_mm),
            ("the number of nodules", nodule.count),
        )
        if value is None
    ]
    if nodule.attenuation is None or nodule.diameter_mm is None or nodule.count is None:
        return RowsFound(missing=tuple(missing))
    bands = _bands(nodule.diameter_mm, pack.rounding_of_half)
    if len(bands) > 1:
        return RowsFound(missing=(f"the site's decision whether {nodule.diameter_mm} mm is rounded up or down",))
    found = [row for row in pack.rows if _holds(row, nodule, bands[0])]
    asks_risk = any(row.risk for row in found)
    return RowsFound(
        rows=tuple(found),
        missing=("the patient's risk (low or high)",) if asks_risk and nodule.risk is None else (),
    )


def exclusions_for(pack: NodulePack, facts: Facts, study_date: date | None, *, screening: bool) -> RowsFound:
    """Why the guideline does not apply to this patient and study, and what would have to be known to say."""
    rules = pack.exclusions
    excluded: list[str] = []
    missing: list[str] = []
    if screening and rules.screening:
        excluded.append("a screening examination")
    if study_date is None:
        missing.append("the date of the study")
    if facts.patient.birth_date is None:
        missing.append("the patient's date of birth")
    elif study_date and whole_years(facts.patient.birth_date, study_date) < rules.age_below:
        excluded.append(f"age below {rules.age_below} years at the study")
    conditions = [_excluding(condition, pack) for condition in facts.conditions]
    excluded += [words for words in conditions if words]
    if not excluded and "conditions" in facts.unavailable | facts.partial:
        missing.append("the patient's conditions (known cancer or immunosuppression could not be ruled out)")
    if not excluded and any(_may_exclude(condition) for condition in facts.conditions):
        missing.append("the code of a condition (by its words, cancer or immunosuppression could not be ruled out)")
    return RowsFound(missing=tuple(missing), excluded=tuple(dict.fromkeys(excluded)))


def is_fleischner(pack: NodulePack, finding: Finding) -> str | None:
    """None when the finding names this guideline and version; otherwise in words what is missing."""
    named = finding.scheme
    if named is None or not named.is_same(pack.info.guideline):
        return "guideline not coded by the reader"
    if named.version is None:
        return "the guideline's version"
    if named.version != pack.info.guideline.version:
        return f"rules for version {named.version} (this service knows {pack.info.guideline.version})"
    return None


def band_of(pack: NodulePack, size_mm: float | None) -> Band | None:
    """The size band; None without a size, or where the site has not decided on rounding."""
    bands = [] if size_mm is None else _bands(size_mm, pack.rounding_of_half)
    return bands[0] if len(bands) == 1 else None


def _bands(size_mm: float, rounding: Rounding) -> list[Band]:
    lower = math.floor(size_mm)
    rest = round(size_mm - lower, 1)
    if rest != 0.5:
        return [_band(lower + (rest > 0.5))]
    if rounding is Rounding.UNDECIDED:
        return sorted({_band(lower), _band(lower + 1)})
    return [_band(lower + (rounding is Rounding.UP))]


def _band(whole_mm: int) -> Band:
    if whole_mm < 6:
        return Band.BELOW_6
    return Band.FROM_6_TO_8 if whole_mm <= 8 else Band.ABOVE_8


def _holds(row: NoduleRow, nodule: Nodule, band: Band) -> bool:
    multiple = nodule.count is not None and nodule.count > 1
    risk_fits = row.risk is None or nodule.risk is None or row.risk is nodule.risk
    return nodule.attenuation in row.attenuation and row.multiple is multiple and band in row.bands and risk_fits


def _excluding(condition: ConditionFacts, pack: NodulePack) -> str | None:
    rules = pack.exclusions
    for code in condition.codes:
        icd = code.code.upper() if code.system in ICD_10 else ""
        if (code.system == SNOMED and code.code in rules.cancer_snomed) or (icd and icd.startswith(rules.cancer_icd10)):
            return "a known cancer"
        is_listed = code.system == SNOMED and code.code in rules.immunosuppression_snomed
        if is_listed or (icd and icd.startswith(rules.immunosuppression_icd10)):
            return "immunosuppression"
    return None


def _may_exclude(condition: ConditionFacts) -> bool:
    """Whether words that no code of the lists backs suggest cancer or immunosuppression; words never exclude by themselves."""
    words = " ".join([condition.words, *(code.display for code in condition.codes)])
    return _SUGGESTS.search(words) is not None and _OF_NOBODY.search(words) is None


def describe(nodule: Nodule) -> str:
    """The nodule in words, only what is known."""
    risk = {Risk.LOW: "low risk", Risk.HIGH: "high risk", None: None}[nodule.risk]
    kind = {Attenuation.GROUND_GLASS: "ground-glass", Attenuation.PART_SOLID: "part-solid", Attenuation.SOLID: "solid"}
    parts = [
        f"{nodule.diameter_mm:g} mm" if nodule.diameter_mm is not None else None,
        kind[nodule.attenuation] if nodule.attenuation else None,
        f"solid part {nodule.solid_part_mm:g} mm" if nodule.solid_part_mm is not None else None,
        None if nodule.count is None else ("single" if nodule.count == 1 else f"{nodule.count} nodules"),
        risk,
        nodule.change.value if nodule.change else None,
        f"previously {nodule.previous_mm:g} mm" if nodule.previous_mm is not None else None,
    ]
    return ", ".join(part for part in parts if part)
