"""The parts that all rule packs share: head, steps, orders, size ranges and words of a choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.intervals import Interval, Unit
from imaging_findings.modalities import family_of
from imaging_findings.rules import AnsweredBy, OrderCode, PackInfo, PlannedStep, RowAnswer, SizeRange, Strength
from imaging_findings.toml_lines import TomlLines
from imaging_findings.toml_tables import PackError, TomlTable, read_toml

Member = TypeVar("Member", bound=StrEnum)
Row = TypeVar("Row")
# Guidelines plan in days to years; what is beyond is a typing error, and may be beyond the calendar.
_LONGEST = {Unit.DAY: 3660, Unit.WEEK: 520, Unit.MONTH: 240, Unit.YEAR: 20}


def read_top(toml: str, name: str, kind: str) -> TomlTable:
    """The whole pack as a table; PackError when it is no TOML."""
    top = TomlTable(read_toml(toml, name), name, [], lines=TomlLines(toml))
    top.choice("kind", (kind,))
    return top


def read_info(top: TomlTable, code: str = "") -> PackInfo:
    """On whose authority the pack speaks."""
    return PackInfo(
        pack_id=top.string("id"),
        title=top.string("title"),
        guideline=Code(top.string("system"), code, version=top.string("version")),
        citation=top.string("citation"),
        url=top.string("url"),
        clinical_owner=top.string("clinical_owner"),
    )


def read_step(table: TomlTable) -> PlannedStep:
    """One planned examination."""
    low, high = table.integer("low"), table.integer("high")
    unit = Unit(table.choice("unit", tuple(Unit)))
    if not 0 < low <= high:
        table.fault(f"has the interval {low} to {high}, which is not positive and ascending")
        low = high = 1
    if high > _LONGEST[unit]:
        table.fault(f"has the interval {low} to {high} {unit}, which is longer than {_LONGEST[unit]} {unit}")
        low = high = 1
    step = PlannedStep(
        examination=table.string("examination"),
        interval=Interval(low, high, unit),
        strength=Strength(table.choice("strength", tuple(Strength), default=Strength.RECOMMENDED)),
        until_years=table.integer("until_years", default=0, within=(0, _LONGEST[Unit.YEAR])) or None,
    )
    table.close()
    return step


def read_order(table: TomlTable | None) -> OrderCode | None:
    """The one right order; a code that no checked table holds is a fault."""
    if table is None:
        return None
    system, code = table.string("system"), table.string("code")
    procedure = codes.procedures().get((system, code))
    if procedure is None:
        # The wrong codes that circulate (an X-ray offered as a CT) end here.
        table.fault(f"orders {system}|{code}, which is no examination of the checked tables")
    order = OrderCode(
        code=procedure.code if procedure else Code(system, code),
        note=table.string("note", default="-").strip("-") or None,
    )
    table.close()
    return order


def read_row_answer(
    table: TomlTable, *, has_steps: bool, unless_stated: AnsweredBy = AnsweredBy.IMAGING, by_screening: bool = True
) -> RowAnswer:
    """What answers a row. A row with a step asks for imaging; ``unless_stated`` is for one without.

    ``by_screening``: whether a screening examination answers where the row does not say.
    """
    stated = table.choice("answered_by", tuple(AnsweredBy), default=AnsweredBy.IMAGING if has_steps else unless_stated)
    by = AnsweredBy(stated)
    if has_steps and by in (AnsweredBy.INTERVENTION, AnsweredBy.NONE):
        table.fault(f"is answered by {by}, but asks for imaging in a step", key="answered_by")
    return RowAnswer(
        by=by,
        by_screening=table.flag("screening_answers", default=by_screening),
        kinds=tuple(read_answer(one) for one in table.tables("answer")),
    )


def read_answer(table: TomlTable) -> tuple[str, str]:
    """One kind of examination that answers: a modality family (or ``PT``, a PET) and a region."""
    family, region = table.string("family"), table.string("region")
    if family not in (family_of(family), "PT"):
        table.fault(f"names {family}, which is no modality family")
    table.close()
    return family, region


def read_range(table: TomlTable | None) -> SizeRange | None:
    """A range of sizes; None when absent."""
    if table is None:
        return None
    found = SizeRange(
        above=table.number("above"),
        at_least=table.number("from"),
        below=table.number("below"),
        up_to=table.number("up_to"),
    )
    lows = [bound for bound in (found.above, found.at_least) if bound is not None]
    highs = [bound for bound in (found.below, found.up_to) if bound is not None]
    if lows and highs and not found.holds((max(lows) + min(highs)) / 2):
        table.fault("holds for no size: its lower bound is not below its upper one")
    table.close()
    return found


def read_member(choice: type[Member], word: str, table: TomlTable) -> Member:
    """One of the words of a choice."""
    try:
        return choice(word)
    except ValueError:
        table.fault(f"has {word!r}, which is not one of {', '.join(choice)}")
        return next(iter(choice))


def owned(info: PackInfo, owner: str) -> PackInfo:
    """The pack's head with the site's clinical owner, where it names one."""
    return replace(info, clinical_owner=owner) if owner else info


def with_rows(rows: Sequence[Row], stated: Sequence[Row], row_id: Callable[[Row], str]) -> tuple[Row, ...]:
    """The rows with a site's own: one of a known id takes its place, a new one stands before the others."""
    own = {row_id(row): row for row in stated}
    known = {row_id(row) for row in rows}
    return (*(row for row in stated if row_id(row) not in known), *(own.get(row_id(row), row) for row in rows))


def refuse_duplicates(ids: list[str], top: TomlTable) -> None:
    """Notes each id that stands twice."""
    for one in sorted({one for one in ids if ids.count(one) > 1}):
        top.fault(f"has {one} twice")


def finish(top: TomlTable) -> None:
    """Ends the reading; PackError lists what was found."""
    top.close()
    if top.problems:
        raise PackError(top.problems)
