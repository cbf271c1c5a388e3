"""Lung-RADS out of TOML: the product's pack, and a site's categories and triggers over it, one by one."""

from __future__ import annotations

import re
from dataclasses import replace

from imaging_findings import codes
from imaging_findings.codes import NODULE_FEATURES
from imaging_findings.findings import Attenuation, Change
from imaging_findings.pack_parts import (
    finish,
    owned,
    read_info,
    read_member,
    read_order,
    read_range,
    read_row_answer,
    read_step,
    read_top,
    refuse_duplicates,
    with_rows,
)
from imaging_findings.rules import AnsweredBy, CategoryRow, ScreeningPack, Trigger, Urgency
from imaging_findings.toml_tables import TomlTable

_MONTHS = (0, 120)
_SYSTEM = re.compile(r"((?:https?://|urn:)[^\s|]+)(\|[^\s|]+)?")
_STANDARD = frozenset({codes.SNOMED, codes.LOINC, codes.DCM, codes.UCUM})


def parse_screening_pack(toml: str, name: str) -> ScreeningPack:
    """A screening pack from TOML; PackError lists all faults."""
    top = read_top(toml, name, "screening-category")
    growth = top.table("growth") or TomlTable({}, f"{name}.growth", top.problems)
    rows = [_category_row(table) for table in top.tables("category")]
    pack = ScreeningPack(
        info=read_info(top),
        growth_above_mm=growth.number("above_mm") or 0.0,
        growth_within_months=growth.integer("within_months", within=_MONTHS),
        categories={row.code: row for row in rows},
        triggers=tuple(_trigger(table) for table in top.tables("trigger")),
        systems=_systems(top),
    )
    growth.close()
    refuse_duplicates([row.code for row in rows], top)
    refuse_duplicates([trigger.trigger_id for trigger in pack.triggers], top)
    _refuse_unknown_categories(pack, top)
    finish(top)
    return pack


def site_screening(pack: ScreeningPack, owner: str, table: TomlTable) -> ScreeningPack:
    """The pack with the site's word on it: categories of a known code, triggers by id (a new one counts before the others)."""
    rows = [_category_row(entry) for entry in table.tables("category")]
    triggers = [_trigger(entry) for entry in table.tables("trigger")]
    growth = table.table("growth")
    for row in rows:
        if row.code not in pack.categories:
            table.fault(f"has {row.code}, which is no category of {pack.info.pack_id}", key="category")
    refuse_duplicates([row.code for row in rows], table)
    refuse_duplicates([trigger.trigger_id for trigger in triggers], table)
    changed = replace(
        pack,
        info=owned(pack.info, owner),
        categories={**pack.categories, **{row.code: row for row in rows}},
        triggers=with_rows(pack.triggers, triggers, lambda trigger: trigger.trigger_id),
        systems=pack.systems | _systems(table),
    )
    if growth is not None:
        months = growth.integer("within_months", default=pack.growth_within_months, within=_MONTHS)
        above = growth.number("above_mm", default=pack.growth_above_mm)
        changed = replace(changed, growth_above_mm=above or 0.0, growth_within_months=months)
        growth.close()
    _refuse_unknown_categories(changed, table)
    return changed


def _systems(table: TomlTable) -> frozenset[str]:
    """Code systems that the categories may also be written in; the local systems of SNOMED, LOINC and DICOM hold none."""
    stated = table.strings("systems")
    for one in stated:
        found = _SYSTEM.fullmatch(one)
        if found is None or found[1] in _STANDARD:
            table.fault(f"has {one}, which is no code system of Lung-RADS categories: url, or url|version", key="systems")
    return frozenset(stated)


def _refuse_unknown_categories(pack: ScreeningPack, table: TomlTable) -> None:
    for trigger in pack.triggers:
        for category in (trigger.category, trigger.previous_category):
            if category is not None and category not in pack.categories:
                table.fault(f"trigger {trigger.trigger_id} names category {category}, which has no row")


def _category_row(table: TomlTable) -> CategoryRow:
    step = table.table("step")
    row = CategoryRow(
        code=table.string("code"),
        statement=table.string("statement"),
        steps=() if step is None else (read_step(step),),
        urgency=Urgency(table.choice("urgency", (Urgency.INFO, Urgency.WARNING))),
        order=read_order(table.table("order")),
        evidence=table.choice("evidence", ("S", "C")),
        answer=read_row_answer(table, has_steps=step is not None, unless_stated=AnsweredBy.NONE),
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
        feature=_feature("feature", table),
        except_feature=_feature("except_feature", table),
        attenuation=read_member(Attenuation, attenuation, table) if attenuation != "-" else None,
        change=frozenset(read_member(Change, word, table) for word in table.strings("change")),
        diameter=read_range(table.table("diameter")),
        solid_part=read_range(table.table("solid_part")),
        previous_category=table.string("previous_category", default="-").strip("-") or None,
        previous_months=table.integer("previous_months", default=0, within=_MONTHS) or None,
    )
    table.close()
    return trigger


def _feature(key: str, table: TomlTable) -> str | None:
    """A coded feature; one that no reader can code would never hold."""
    word = table.string(key, default="-").strip("-") or None
    if word is not None and word not in NODULE_FEATURES:
        table.fault(f"is {word}, which is not one of {', '.join(sorted(NODULE_FEATURES))}", key=key)
    return word
