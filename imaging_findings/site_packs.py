"""A site's own word on the rule packs: which are on, who owns them, which of several is chosen, and rows that differ.

One TOML file, next to the site's other settings::

    [[pack]]
    id = "aaa-svs-2018"              # choosing one switches the others of its group off
    clinical_owner = "Dr N. N., vascular radiology"

    [[pack]]
    id = "pi-rads-2.1"
    enabled = false

    [[pack]]
    id = "bosniak-2019"
    [[pack.row]]                     # replaces the row of this id, or adds one before the others
    id = "IIF"
    category = ["IIF"]
    statement = "…"
    …

    [actionable]                     # the policy on findings that must be communicated
    critical_below_hours = 48
    [[actionable.finding]]           # replaces the finding rows of the product, all of them
    …

A file with a fault is refused whole; every fault names file and line.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace

from imaging_findings.actionable_policy import CRITICAL_HOURS, read_actionable_row
from imaging_findings.pack_parts import finish
from imaging_findings.packs import bundled_packs, bundled_tables
from imaging_findings.rules import ActionablePolicy, PackInfo, Packs, TablePack
from imaging_findings.table_packs import read_row, refuse_unknown_inputs
from imaging_findings.toml_lines import TomlLines
from imaging_findings.toml_tables import PackError, TomlTable


def parse_site_packs(toml: str, name: str) -> Packs:
    """The packs in force at a site; PackError lists all faults of the file ``name``."""
    try:
        content = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as exc:
        raise PackError([f"{name}: {exc}"]) from exc
    top = TomlTable(content, name, [], lines=TomlLines(toml))
    packs = bundled_packs()
    tables = {pack.info.pack_id: pack for pack in bundled_tables()}
    enabled = {pack.info.pack_id for pack in packs.tables}
    infos = {packs.screening.info.pack_id: packs.screening.info, packs.nodules.info.pack_id: packs.nodules.info}
    for table in top.tables("pack"):
        pack_id = table.string("id")
        owner = table.string("clinical_owner", default="-").strip("-")
        if pack_id in tables:
            tables[pack_id] = _table_pack(tables[pack_id], owner, table)
            enabled = _switched(enabled, pack_id, on=table.flag("enabled", default=True))
        elif pack_id in infos:
            infos[pack_id] = _owned(infos[pack_id], owner)
        else:
            table.fault(f"names {pack_id}, which is no pack of this product", key="id")
        table.close()
    _refuse_two_of_a_choice([pack for key, pack in tables.items() if key in enabled], top)
    policy = _policy(packs.actionable, top.table("actionable"))
    finish(top)
    in_force = tuple(pack for key, pack in tables.items() if key in enabled)
    made = {pack.choice for pack in in_force if pack.choice}
    return Packs(
        screening=replace(packs.screening, info=infos[packs.screening.info.pack_id]),
        nodules=replace(packs.nodules, info=infos[packs.nodules.info.pack_id]),
        actionable=policy,
        tables=in_force,
        undecided=tuple(pack for pack in packs.undecided if pack.choice not in made),
    )


def _switched(enabled: set[str], pack_id: str, *, on: bool) -> set[str]:
    return enabled | {pack_id} if on else enabled - {pack_id}


def _owned(info: PackInfo, owner: str) -> PackInfo:
    return replace(info, clinical_owner=owner) if owner else info


def _table_pack(pack: TablePack, owner: str, table: TomlTable) -> TablePack:
    """The pack with the site's rows: one of a known id replaces it, a new one stands before the others."""
    rows = list(pack.rows)
    added = []
    for entry in table.tables("row"):
        row = read_row(entry)
        known = next((position for position, one in enumerate(rows) if one.row_id == row.row_id), None)
        if known is None:
            added.append(row)
        else:
            rows[known] = row
    changed = replace(pack, info=_owned(pack.info, owner), rows=(*added, *rows))
    refuse_unknown_inputs(changed, table)
    return changed


def _refuse_two_of_a_choice(packs: list[TablePack], top: TomlTable) -> None:
    for choice in sorted({pack.choice for pack in packs if pack.choice}):
        named = [pack.info.pack_id for pack in packs if pack.choice == choice]
        if len(named) > 1:
            top.fault(f"enables {' and '.join(named)}, which contradict each other: choose one", key="pack")


def _policy(policy: ActionablePolicy | None, table: TomlTable | None) -> ActionablePolicy | None:
    if policy is None or table is None:
        return policy
    on = table.flag("enabled", default=True)
    rows = tuple(read_actionable_row(entry) for entry in table.tables("finding"))
    hours = table.integer("critical_below_hours", default=policy.critical_below_hours)
    lowest, highest = CRITICAL_HOURS
    if not lowest <= hours <= highest:
        table.fault(f"is {hours}, which is not {lowest} to {highest}", key="critical_below_hours")
    changed = replace(
        policy,
        info=_owned(policy.info, table.string("clinical_owner", default="-").strip("-")),
        critical_below_hours=hours,
        silent_after_days=table.integer("silent_after_days", default=policy.silent_after_days),
        rows=rows or policy.rows,
    )
    table.close()
    return changed if on else None
