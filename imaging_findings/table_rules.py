"""Guidelines as tables of typed rows: category, measurements and coded words on the left, what should follow on the right.

One evaluator reads them all. A condition holds, does not hold, or cannot be told for want of an input: as long as a row that
cannot be told stands before the first that holds, no row is picked and the inputs are named (rules Gd, T11).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imaging_findings.findings import Assessment, Finding
from imaging_findings.rules import DerivedCategory, TablePack, TableRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """The row that holds, or what is missing, or how the inputs contradict each other."""

    row: TableRow | None = None
    missing: tuple[str, ...] = ()
    conflict: str | None = None


def pick(pack: TablePack, finding: Finding) -> Picked:
    """The row for a finding, whatever guideline the finding names (``version_fault`` judges that)."""
    assessment = finding.assessment
    if assessment is None:
        return Picked(missing=("a coded assessment",))
    derived = _derived(pack, assessment)
    if derived and finding.category and derived.category != finding.category:
        stated = f"{finding.category} is coded, but {_label(pack, derived.number)} stand for {derived.category}"
        return Picked(conflict=f"{stated}; no interval is computed.")
    category = finding.category or (derived.category if derived else None)
    if pack.asks_category and category is None:
        return Picked(missing=(f"a coded {assessment.title} category",))
    missing: list[str] = []
    for row in pack.rows:
        if row.categories and category not in row.categories:
            continue
        unknown = _unknown(pack, row, assessment)
        if unknown is None:
            continue
        if not unknown and not missing:
            return Picked(row=row)
        missing += unknown
        if not unknown:
            break
    return Picked(missing=tuple(dict.fromkeys(missing)) or (f"a row of {pack.info.title} for this finding",))


def is_agreed(picked: Sequence[Picked]) -> bool:
    """Whether several tables say the same and give no interval: an interval waits for the site's choice of its table."""
    asked = [(one.row.statement, one.row.urgency) for one in picked if one.row and not one.row.steps]
    return bool(asked) and len(asked) == len(picked) and all(one == asked[0] for one in asked)


def version_fault(pack: TablePack, finding: Finding) -> str | None:
    """None where the finding names this guideline and version (rule Gb), or where the site's choice names it."""
    named, known = finding.scheme, pack.info.guideline
    if named is None or named.version is None:
        # A bare measurement names no guideline; the site that chose one of several has named it.
        return None if pack.choice and named is None else f"the version of {pack.info.title} that the reader meant"
    if named.system != known.system or (known.code and named.code != known.code):
        return f"rules for {named.system}|{named.version} (this service uses {pack.info.title})"
    if named.version != known.version:
        return f"rules for version {named.version} (this service knows {pack.info.title}, version {known.version})"
    return None


def _derived(pack: TablePack, assessment: Assessment) -> DerivedCategory | None:
    for one in pack.derived:
        value = assessment.number(one.number)
        if value is not None and one.range.holds(value):
            return one
    return None


def _unknown(pack: TablePack, row: TableRow, assessment: Assessment) -> list[str] | None:
    """Inputs without which the row cannot be told; None when it does not hold whatever they are."""
    unknown: list[str] = []
    for name, wanted in row.numbers:
        value = assessment.number(name)
        if value is None:
            unknown.append(_label(pack, name))
        elif not wanted.holds(value):
            return None
    for name, word in row.words:
        stated = assessment.word(name)
        if stated is None:
            unknown.append(_label(pack, name))
        elif stated != word:
            return None
    return unknown


def _label(pack: TablePack, name: str) -> str:
    return next((one.label for one in pack.inputs if one.name == name), name)
