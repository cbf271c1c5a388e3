"""Rule packs: guideline tables as data, each with version, citation and a clinical owner, read from ``packs/*.toml``.

A pack that is not wholly valid is refused with all its faults (``PackError``): half a guideline is no guideline.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from imaging_findings import codes
from imaging_findings.actionable_policy import parse_actionable_policy
from imaging_findings.codes import Code
from imaging_findings.findings import Attenuation, Change, Risk
from imaging_findings.pack_parts import (
    finish,
    read_info,
    read_member,
    read_order,
    read_range,
    read_step,
    read_top,
    refuse_duplicates,
)
from imaging_findings.rules import (
    Band,
    CategoryRow,
    Exclusions,
    NodulePack,
    NoduleRow,
    OrderCode,
    Packs,
    Rounding,
    ScreeningPack,
    TablePack,
    Trigger,
    Urgency,
)
from imaging_findings.table_packs import parse_table_pack
from imaging_findings.toml_tables import TomlTable

LUNG_RADS_FILE = "lung_rads_2022.toml"
FLEISCHNER_FILE = "fleischner_2017.toml"
ACTIONABLE_FILE = "actionable_2014.toml"
TABLE_FILES = (
    "bi_rads_5.toml",
    "aaa_acr_2013.toml",
    "aaa_svs_2018.toml",
    "ti_rads_2017.toml",
    "bosniak_2019.toml",
    "adrenal_acr_2017.toml",
    "li_rads_ct_mr_2018.toml",
    "us_li_rads_2017.toml",
    "pi_rads_2_1.toml",
    "o_rads_us_2022.toml",
)


@cache
def bundled_packs() -> Packs:
    """The packs that come with the product. Where several exclude each other, none is in force until the site chooses."""
    tables = bundled_tables()
    return Packs(
        screening=parse_screening_pack(_bundled(LUNG_RADS_FILE), LUNG_RADS_FILE),
        nodules=parse_nodule_pack(_bundled(FLEISCHNER_FILE), FLEISCHNER_FILE),
        actionable=parse_actionable_policy(_bundled(ACTIONABLE_FILE), ACTIONABLE_FILE),
        tables=tuple(pack for pack in tables if pack.choice is None),
        undecided=tuple(pack for pack in tables if pack.choice is not None),
    )


@cache
def bundled_tables() -> tuple[TablePack, ...]:
    """All table packs that come with the product."""
    return tuple(parse_table_pack(_bundled(name), name) for name in TABLE_FILES)


def parse_screening_pack(toml: str, name: str) -> ScreeningPack:
    """A screening pack from TOML; PackError lists all faults."""
    top = read_top(toml, name, "screening-category")
    growth = top.table("growth") or TomlTable({}, f"{name}.growth", top.problems)
    rows = [_category_row(table) for table in top.tables("category")]
    triggers = tuple(_trigger(table) for table in top.tables("trigger"))
    pack = ScreeningPack(
        info=read_info(top),
        growth_above_mm=growth.number("above_mm") or 0.0,
        growth_within_months=growth.integer("within_months"),
        categories={row.code: row for row in rows},
        triggers=triggers,
    )
    growth.close()
    refuse_duplicates([row.code for row in rows], top)
    refuse_duplicates([trigger.trigger_id for trigger in triggers], top)
    for trigger in triggers:
        if trigger.category not in pack.categories:
            top.fault(f"trigger {trigger.trigger_id} names category {trigger.category}, which has no row")
    finish(top)
    return pack


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
    _refuse_overlap(rows, top)
    finish(top)
    return pack


def _bundled(name: str) -> str:
    return (resources.files("imaging_findings") / "packs" / name).read_text(encoding="utf-8")


def _category_row(table: TomlTable) -> CategoryRow:
    step = table.table("step")
    row = CategoryRow(
        code=table.string("code"),
        statement=table.string("statement"),
        steps=() if step is None else (read_step(step),),
        urgency=Urgency(table.choice("urgency", (Urgency.INFO, Urgency.WARNING))),
        order=read_order(table.table("order")),
        evidence=table.choice("evidence", ("S", "C")),
    )
    if row.order and not row.steps:
        table.fault("has an order but no step: an order needs its date")
    table.close()
    return row


def _trigger(table: TomlTable) -> Trigger:
    attenuation = table.string("attenuation", default="-")
    trigger = Trigger(
        trigger_id=table.string("id"),
        category=table.string("category"),
        evidence=table.choice("evidence", ("S", "C")),
        feature=table.string("feature", default="-").strip("-") or None,
        except_feature=table.string("except_feature", default="-").strip("-") or None,
        attenuation=read_member(Attenuation, attenuation, table) if attenuation != "-" else None,
        change=frozenset(read_member(Change, word, table) for word in table.strings("change")),
        diameter=read_range(table.table("diameter")),
        solid_part=read_range(table.table("solid_part")),
        previous_category=table.string("previous_category", default="-").strip("-") or None,
        previous_months=table.integer("previous_months", default=0) or None,
    )
    table.close()
    return trigger


def _nodule_row(table: TomlTable) -> NoduleRow:
    risk = table.string("risk", default="-")
    row = NoduleRow(
        row_id=table.string("id"),
        attenuation=frozenset(read_member(Attenuation, word, table) for word in table.strings("attenuation")),
        risk=read_member(Risk, risk, table) if risk != "-" else None,
        multiple=table.boolean("multiple"),
        bands=frozenset(read_member(Band, word, table) for word in table.strings("band")),
        statement=table.string("statement"),
        steps=tuple(read_step(step) for step in table.tables("steps")),
        urgency=Urgency(table.choice("urgency", (Urgency.INFO, Urgency.WARNING))),
        evidence=table.choice("evidence", ("S", "C")),
    )
    table.close()
    return row


def _exclusions(table: TomlTable) -> Exclusions:
    exclusions = Exclusions(
        age_below=table.integer("age_below"),
        screening=table.boolean("screening"),
        cancer_snomed=frozenset(table.strings("cancer_snomed")),
        cancer_icd10=table.strings("cancer_icd10"),
        immunosuppression_icd10=table.strings("immunosuppression_icd10"),
    )
    for code in sorted(exclusions.cancer_snomed):
        if (codes.SNOMED, code) not in codes.concepts():
            table.fault(f"names SNOMED code {code}, which is in no checked code table")
    table.close()
    return exclusions


def _refuse_overlap(rows: tuple[NoduleRow, ...], top: TomlTable) -> None:
    """Two rows for one nodule would make the answer depend on their order."""
    cells: dict[tuple[Attenuation, bool, Band, Risk], str] = {}
    for row in rows:
        for attenuation in row.attenuation:
            for band in row.bands:
                for risk in [row.risk] if row.risk else list(Risk):
                    other = cells.setdefault((attenuation, row.multiple, band, risk), row.row_id)
                    if other != row.row_id:
                        top.fault(f"rows {other} and {row.row_id} both hold for {attenuation}, {band}, {risk} risk")
