"""Codes of imaging examinations, to be recognised when read: LOINC, CPT numbers, and a site's own.

The tables are large and read on first use; a row is only taken apart when its code is asked for. What the product itself may
order is the much shorter ``codes.procedures()``: a code that stands here (a chest X-ray) need not be fit to be ordered.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources

from imaging_findings.anatomy import phrases
from imaging_findings.code_tables import rows
from imaging_findings.codes import LOINC, Code
from imaging_findings.modalities import family_of
from imaging_findings.study_names import Contrast, Purpose, Side

CPT = "http://www.ama-assn.org/go/cpt"
_SYSTEM_OF = {
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:2.16.840.1.113883.6.12": CPT,
    "https://loinc.org": LOINC,
}
# A CPT number may carry modifiers: the side, or the professional component alone.
_CPT = re.compile(r"(\d{5})(?:[-\s:]*(\w\w))*\s*")
_CPT_SIDES = {"LT": Side.LEFT, "RT": Side.RIGHT, "50": Side.BOTH}
_SITE_COLUMNS = ("system", "codes", "display", "modality", "regions", "contrast", "side", "purpose")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCode:
    """An examination by its code. ``modality`` is a DICOM modality, ``XR`` where radiography is meant in general."""

    code: Code
    modality: str | None
    regions: frozenset[str]
    contrast: Contrast
    side: Side
    purpose: Purpose


class SiteTableError(Exception):
    """A site's own table cannot be used; ``problems`` name file and line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Carry all problems at once."""
        super().__init__("; ".join(problems))
        self.problems = problems


SiteStudies = Mapping[tuple[str, str], StudyCode]


def study_codes(stated: Iterable[Code], site: SiteStudies | None = None) -> tuple[StudyCode, ...]:
    """The known examinations among ``stated``.

    Codes of several systems in one request translate each other, so those of the most telling system count alone:
    the site's own before LOINC before CPT, whose numbers often leave the joint open.
    """
    asked = [_normal(code) for code in stated]
    own = own_codes(asked, site)
    loinc = [found for code in asked if code.system == LOINC and (found := _loinc_study(code.code))]
    cpt = [found for code in asked if code.system == CPT and (found := _cpt_study(code.code))]
    return tuple(own or loinc or cpt)


def own_codes(stated: Iterable[Code], site: SiteStudies | None) -> tuple[StudyCode, ...]:
    """The examinations that the site's own table names, where it has one."""
    asked = [_normal(code) for code in stated] if site else []
    return tuple(site[code.system, code.code] for code in asked if site and (code.system, code.code) in site)


def read_site_studies(content: str, file: str) -> SiteStudies:
    """A site's CSV (columns ``system,codes,display,modality,regions,contrast,side,purpose``; several codes by spaces).

    Raises SiteTableError that names ``file`` and the line of every fault.
    """
    lines = content.replace("\r\n", "\n").split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    first, head = numbered[0] if numbered else (1, "")
    if tuple(_fields(head)) != _SITE_COLUMNS:
        raise SiteTableError((f"{file}, line {first}: the first line must name the columns {','.join(_SITE_COLUMNS)}",))
    found: dict[tuple[str, str], StudyCode] = {}
    problems: list[str] = []
    for number, line in numbered[1:]:
        values = _fields(line)
        fault = _fault_of(values)
        if fault:
            problems.append(f"{file}, line {number}: {fault}")
            continue
        row = dict(zip(_SITE_COLUMNS, values, strict=True))
        for code in row["codes"].split():
            read = _study(_normal(Code(row["system"], code, row["display"])), values[3:])
            if (read.code.system, code) in found:
                problems.append(f"{file}, line {number}: {code} stands in the table twice")
            found[read.code.system, code] = read
    if problems:
        raise SiteTableError(tuple(problems))
    return found


@cache
def known_regions() -> frozenset[str]:
    """All regions that the tables speak of."""
    return frozenset(region for regions in phrases().values() for region in regions)


@cache
def loinc_lines() -> Mapping[str, str]:
    """The lines of the LOINC table by code."""
    source = resources.files("imaging_findings") / "tables" / "loinc_studies.csv"
    lines = source.read_text(encoding="utf-8").splitlines()
    return {line.partition(",")[0]: line for line in lines if line[0].isdigit()}


@cache
def cpt_studies() -> Mapping[str, StudyCode]:
    """The examinations by CPT number."""
    return {
        number: _study(Code(CPT, number), [row[column] for column in ("modality", "regions", "contrast", "side", "purpose")])
        for row in rows("cpt_studies.csv")
        for number in row["codes"].split()
    }


@lru_cache(maxsize=1024)
def _loinc_study(code: str) -> StudyCode | None:
    line = loinc_lines().get(code.strip())
    if line is None:
        return None
    number, display, *derived = next(csv.reader([line]))
    return _study(Code(LOINC, number, display), derived)


def _cpt_study(code: str) -> StudyCode | None:
    match = _CPT.fullmatch(code.strip())
    study = cpt_studies().get(match[1]) if match else None
    modifiers = re.findall(r"\w+", code.upper())[1:]
    side = next((_CPT_SIDES[one] for one in modifiers if one in _CPT_SIDES), None)
    return replace(study, side=side) if study and side else study


def _study(code: Code, derived: list[str]) -> StudyCode:
    modality, regions, contrast, side, purpose = derived
    return StudyCode(
        code=code,
        modality=modality or None,
        regions=frozenset(regions.split()),
        contrast=Contrast(contrast or Contrast.UNKNOWN),
        side=Side(side or Side.UNSTATED),
        purpose=Purpose(purpose or Purpose.DIAGNOSTIC),
    )


def _normal(code: Code) -> Code:
    system = code.system.strip().rstrip("/")
    known = _SYSTEM_OF.get(system, system)
    return code if known == code.system else replace(code, system=known)


def _fields(line: str) -> list[str]:
    """The fields of one line; none where it cannot be taken apart."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _fault_of(values: list[str]) -> str | None:
    """What is wrong with a row of a site's table; None when it can be used."""
    if len(values) != len(_SITE_COLUMNS):
        return f"has {len(values)} columns instead of {len(_SITE_COLUMNS)}"
    row = dict(zip(_SITE_COLUMNS, values, strict=True))
    if not row["system"] or not row["codes"]:
        return "has no system or no code"
    if family_of(row["modality"]) is None:
        return f"{row['modality'] or 'an empty field'} is no modality"
    unknown = sorted(set(row["regions"].split()) - known_regions())
    if unknown:
        return f"unknown region {', '.join(unknown)} (known: {', '.join(sorted(known_regions()))})"
    choices = (("contrast", Contrast), ("side", Side), ("purpose", Purpose))
    wrong = [f"{row[name]} is no {name}" for name, values_of in choices if row[name] and row[name] not in tuple(values_of)]
    return ", ".join(wrong) or None
