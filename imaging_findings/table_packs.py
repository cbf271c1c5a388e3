"""Table packs out of TOML; a pack that is not wholly valid is refused with all its faults."""

from __future__ import annotations

from imaging_findings.pack_parts import (
    finish,
    read_answer,
    read_info,
    read_range,
    read_row_answer,
    read_step,
    read_top,
    refuse_duplicates,
)
from imaging_findings.rules import AnsweredBy, DerivedCategory, SizeRange, Speaks, TableInput, TablePack, TableRow, Urgency
from imaging_findings.toml_tables import TomlTable


def parse_table_pack(toml: str, name: str) -> TablePack:
    """One table pack; PackError lists all faults."""
    top = read_top(toml, name, "table")
    inputs = tuple(_input(table) for table in top.tables("input"))
    pack = TablePack(
        info=read_info(top, code=top.string("code", default="-").strip("-")),
        reads=top.string("reads"),
        choice=top.string("choice", default="-").strip("-") or None,
        answers=tuple(read_answer(table) for table in top.tables("answer")),
        answer_words=top.string("answer_words", default="examination"),
        organ=tuple(one.lower() for one in top.strings("organ")),
        inputs=inputs,
        derived=tuple(_derived(table) for table in top.tables("derived")),
        rows=tuple(read_row(table) for table in top.tables("row")),
        severity=top.strings("severity"),
    )
    _refuse_odd_severity(pack, top)
    refuse_duplicates([row.row_id for row in pack.rows], top)
    refuse_unknown_inputs(pack, top)
    if not pack.rows:
        top.fault("has no row")
    finish(top)
    return pack


def read_row(table: TomlTable) -> TableRow:
    """One row of a table."""
    numbers = table.table("numbers")
    words = table.table("words")
    steps = tuple(read_step(step) for step in table.tables("steps"))
    row = TableRow(
        row_id=table.string("id"),
        categories=frozenset(table.strings("category")),
        numbers=() if numbers is None else tuple((key, _range_in(numbers, key)) for key in numbers.names()),
        words=() if words is None else tuple((key, words.string(key)) for key in words.names()),
        statement=table.string("statement"),
        steps=steps,
        urgency=Urgency(table.choice("urgency", (Urgency.INFO, Urgency.WARNING))),
        speaks=Speaks(table.choice("speaks", tuple(Speaks), default=Speaks.ALWAYS)),
        evidence=table.choice("evidence", ("S", "C")),
        # A row that only says what to do is not taken to be done by images unless it says so.
        answer=read_row_answer(table, has_steps=bool(steps), unless_stated=AnsweredBy.NONE),
    )
    if row.speaks is Speaks.WHEN_DUE and not row.steps:
        table.fault("speaks when due, but has no step")
    table.close()
    return row


def refuse_unknown_inputs(pack: TablePack, top: TomlTable) -> None:
    """Notes each condition on an input that the pack does not declare: a misspelt one would never hold."""
    known = {one.name for one in pack.inputs}
    used = {name for row in pack.rows for name, _ in (*row.numbers, *row.words)} | {one.number for one in pack.derived}
    for name in sorted(used - known):
        top.fault(f"uses {name}, which is no input of the pack")
    if not pack.organ and any(row.answer.by in (AnsweredBy.INTERVENTION, AnsweredBy.EITHER) for row in pack.rows):
        top.fault("has a row that a biopsy answers, but names no organ")


def _refuse_odd_severity(pack: TablePack, top: TomlTable) -> None:
    """Notes a category that the order of severity misspells, names twice or leaves out."""
    known = {category for row in pack.rows for category in row.categories} | {one.category for one in pack.derived}
    if pack.severity and (set(pack.severity) != known or len(pack.severity) != len(known)):
        top.fault("must name each category of the pack once", key="severity")


def _range_in(numbers: TomlTable, key: str) -> SizeRange:
    return read_range(numbers.table(key)) or SizeRange()


def _input(table: TomlTable) -> TableInput:
    found = TableInput(name=table.string("name"), label=table.string("label"))
    table.close()
    return found


def _derived(table: TomlTable) -> DerivedCategory:
    found = DerivedCategory(
        category=table.string("category"),
        number=table.string("number"),
        range=read_range(table.table("range")) or SizeRange(),
    )
    table.close()
    return found
