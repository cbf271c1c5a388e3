"""Fleischner out of TOML: the product's pack, and a site's rows, rounding, exclusions and order over it."""

from __future__ import annotations

import itertools
from dataclasses import replace

from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.findings import Attenuation, Risk
from imaging_findings.nodule_terms import Band, Exclusions, Rounding
from imaging_findings.pack_parts import (
    finish,
    owned,
    read_info,
    read_member,
    read_order,
    read_row_answer,
    read_step,
    read_top,
    refuse_duplicates,
    with_rows,
)
from imaging_findings.rules import NodulePack, NoduleRow, OrderCode, Urgency
from imaging_findings.toml_tables import TomlTable

_AGES = (0, 130)
_ICD_10_MAX = 8


def parse_nodule_pack(toml: str, name: str) -> NodulePack:
    """A nodule pack from TOML; PackError lists all faults."""
    top = read_top(toml, name, "incidental-nodule")
    order = read_order(top.table("order"))
    if order is None:
        top.fault("has no order table")
    rows = tuple(_nodule_row(table) for table in top.tables("row"))
    pack = NodulePack(
        info=read_info(top, code=top.string("code")),
        rounding_of_half=Rounding(top.choice("rounding_of_half", tuple(Rounding))),
        exclusions=_exclusions(top.table("exclusions") or TomlTable({}, f"{name}.exclusions", top.problems)),
        rows=rows,
        order=order or OrderCode(code=Code("", "")),
    )
    refuse_duplicates([row.row_id for row in rows], top)
    _refuse_overlap_and_gaps(rows, top)
    finish(top)
    return pack


def site_nodules(pack: NodulePack, owner: str, table: TomlTable) -> NodulePack:
    """The pack with the site's word on it: rows by id, what it says of rounding, and the exclusions that it names."""
    own = [_nodule_row(entry) for entry in table.tables("row")]
    refuse_duplicates([row.row_id for row in own], table)
    exclusions = table.table("exclusions")
    changed = replace(
        pack,
        info=owned(pack.info, owner),
        rounding_of_half=Rounding(table.choice("rounding_of_half", tuple(Rounding), default=pack.rounding_of_half)),
        exclusions=pack.exclusions if exclusions is None else _exclusions(exclusions, pack.exclusions),
        rows=with_rows(pack.rows, own, lambda row: row.row_id),
        order=read_order(table.table("order")) or pack.order,
    )
    _refuse_overlap_and_gaps(changed.rows, table)
    return changed


def _nodule_row(table: TomlTable) -> NoduleRow:
    risk = table.string("risk", default="-")
    steps = tuple(read_step(step) for step in table.tables("steps"))
    row = NoduleRow(
        row_id=table.string("id"),
        attenuation=frozenset(read_member(Attenuation, word, table) for word in table.strings("attenuation")),
        risk=read_member(Risk, risk, table) if risk != "-" else None,
        multiple=table.boolean("multiple"),
        bands=frozenset(read_member(Band, word, table) for word in table.strings("band")),
        statement=table.string("statement"),
        steps=steps,
        urgency=Urgency(table.choice("urgency", (Urgency.INFO, Urgency.WARNING))),
        evidence=table.choice("evidence", ("S", "C")),
        # A nodule that was found by chance is not followed up in a screening programme.
        answer=read_row_answer(table, has_steps=bool(steps), by_screening=False),
    )
    table.close()
    return row


def _exclusions(table: TomlTable, known: Exclusions | None = None) -> Exclusions:
    """What the table says; what it leaves out is required, or stays as ``known``."""
    exclusions = Exclusions(
        age_below=table.integer("age_below", default=known.age_below if known else None, within=_AGES),
        screening=table.boolean("screening") if known is None else table.flag("screening", default=known.screening),
        cancer_snomed=frozenset(_listed("cancer_snomed", tuple(known.cancer_snomed) if known else (), table)),
        cancer_icd10=_icd10("cancer_icd10", known.cancer_icd10 if known else (), table),
        immunosuppression_icd10=_icd10("immunosuppression_icd10", known.immunosuppression_icd10 if known else (), table),
        immunosuppression_snomed=frozenset(
            _listed("immunosuppression_snomed", tuple(known.immunosuppression_snomed) if known else (), table)
        ),
    )
    for key, stated in (
        ("cancer_snomed", exclusions.cancer_snomed),
        ("immunosuppression_snomed", exclusions.immunosuppression_snomed),
    ):
        for code in sorted(stated):
            if (codes.SNOMED, code) not in codes.concepts():
                table.fault(f"names SNOMED code {code}, which is in no checked code table", key=key)
    table.close()
    return exclusions


def _listed(key: str, known: tuple[str, ...], table: TomlTable) -> tuple[str, ...]:
    return table.strings(key) if key in table.names() or not known else known


def _icd10(key: str, known: tuple[str, ...], table: TomlTable) -> tuple[str, ...]:
    """The beginnings of ICD-10 codes; an empty one would exclude everybody who has any condition."""
    stated = _listed(key, known, table)
    if not all(one[:1].isalpha() and one.isascii() and len(one) <= _ICD_10_MAX for one in stated):
        table.fault("must hold beginnings of ICD-10 codes", key=key)
    return tuple(one.upper() for one in stated)


def _refuse_overlap_and_gaps(rows: tuple[NoduleRow, ...], table: TomlTable) -> None:
    """Two rows for one nodule would make the answer depend on their order; none would leave it without a word."""
    cells: dict[tuple[Attenuation, bool, Band, Risk], str] = {}
    for row in rows:
        for attenuation, band, risk in itertools.product(row.attenuation, row.bands, [row.risk] if row.risk else list(Risk)):
            other = cells.setdefault((attenuation, row.multiple, band, risk), row.row_id)
            if other != row.row_id:
                table.fault(f"rows {other} and {row.row_id} both hold for {attenuation}, {band}, {risk} risk", key="row")
    for attenuation, multiple, band, risk in itertools.product(Attenuation, (False, True), Band, Risk):
        if (attenuation, multiple, band, risk) not in cells:
            number = "several nodules" if multiple else "one nodule"
            table.fault(f"has no row for {number}, {attenuation}, {band}, {risk} risk", key="row")
