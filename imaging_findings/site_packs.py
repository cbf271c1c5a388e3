"""A site's own word on the rule packs: which are on, who owns them, which of several is chosen, and rows that differ.

One TOML file, named by ``[rules] packs`` of the site's settings::

    [[pack]]
    id = "aaa-svs-2018"              # choosing one of a group that excludes each other
    clinical_owner = "Dr N. N., vascular radiology"

    [[pack]]
    id = "pi-rads-2-1"
    enabled = false

    [[pack]]
    id = "bosniak-2019"
    [[pack.row]]                     # replaces the row of this id, or adds one before the others
    id = "IIF"
    category = ["IIF"]
    statement = "…"
    …

    [[pack]]
    id = "lung-rads-2022"            # [[pack.category]] by code, [[pack.trigger]] by id, [pack.growth]
    [[pack.category]]
    code = "3"
    …

    [[pack]]
    id = "fleischner-2017"           # [[pack.row]] by id, [pack.exclusions], [pack.order]
    rounding_of_half = "up"

    [actionable]                     # the policy on findings that must be communicated
    critical_below_hours = 48
    [[actionable.finding]]           # replaces the finding rows of the product, all of them
    …

A file with a fault is refused whole; every fault names file and line. ``docs/rules.md`` has a whole example.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from imaging_findings.actionable_policy import CRITICAL_HOURS, read_site_row
from imaging_findings.nodule_packs import site_nodules
from imaging_findings.pack_parts import finish, owned, refuse_duplicates, with_rows
from imaging_findings.packs import bundled_nodules, bundled_packs, bundled_screening, bundled_tables
from imaging_findings.rules import ActionablePolicy, NodulePack, Packs, ScreeningPack, TablePack
from imaging_findings.screening_packs import site_screening
from imaging_findings.table_packs import read_row, refuse_unknown_inputs
from imaging_findings.toml_lines import TomlLines
from imaging_findings.toml_tables import TomlTable, read_toml

_MAX_DAYS = 3660


@dataclass(slots=True, kw_only=True)
class _Shelf:
    """All packs of the product, as the site changes them one after the other, and which of them are in force."""

    screening: ScreeningPack = field(default_factory=bundled_screening)
    nodules: NodulePack = field(default_factory=bundled_nodules)
    tables: dict[str, TablePack] = field(default_factory=lambda: {one.info.pack_id: one for one in bundled_tables()})
    off: set[str] = field(default_factory=lambda: {one.info.pack_id for one in bundled_packs().undecided})
    refused: set[str] = field(default_factory=set)
    """Those that the site switched off by name: a choice of which every member is refused is made."""

    def in_force(self) -> tuple[TablePack, ...]:
        """The table packs in force."""
        return tuple(pack for key, pack in self.tables.items() if key not in self.off)

    def packs(self, actionable: ActionablePolicy | None) -> Packs:
        """What the rules work with."""
        made = {pack.choice for pack in self.in_force() if pack.choice}
        undecided = [pack for pack in bundled_packs().undecided if pack.choice not in made]
        return Packs(
            screening=None if self.screening.info.pack_id in self.off else self.screening,
            nodules=None if self.nodules.info.pack_id in self.off else self.nodules,
            actionable=actionable,
            tables=self.in_force(),
            undecided=tuple(pack for pack in undecided if pack.info.pack_id not in self.refused),
        )


def parse_site_packs(toml: str, name: str) -> Packs:
    """The packs in force at a site; PackError lists all faults of the file ``name``."""
    top = TomlTable(read_toml(toml, name), name, [], lines=TomlLines(toml))
    shelf = _Shelf()
    stated = [_change(shelf, table) for table in top.tables("pack")]
    refuse_duplicates(stated, top)
    _refuse_bad_choices(shelf, top)
    actionable = _policy(bundled_packs().actionable, top.table("actionable"))
    finish(top)
    return shelf.packs(actionable)


def _change(shelf: _Shelf, table: TomlTable) -> str:
    """One pack as the site wants it; naming a pack puts it in force unless ``enabled`` is false. Returns its id."""
    pack_id = table.string("id")
    owner = table.string("clinical_owner", default="-").strip("-")
    on = table.flag("enabled", default=True)
    if pack_id in shelf.tables:
        shelf.tables[pack_id] = _table_pack(shelf.tables[pack_id], owner, table)
    elif pack_id == shelf.screening.info.pack_id:
        shelf.screening = site_screening(shelf.screening, owner, table)
    elif pack_id == shelf.nodules.info.pack_id:
        shelf.nodules = site_nodules(shelf.nodules, owner, table)
    else:
        table.fault(f"names {pack_id}, which is no pack of this product", key="id")
    shelf.off = shelf.off - {pack_id} if on else shelf.off | {pack_id}
    shelf.refused = shelf.refused if on else shelf.refused | {pack_id}
    table.close()
    return pack_id


def _table_pack(pack: TablePack, owner: str, table: TomlTable) -> TablePack:
    """The pack with the site's rows: one of a known id replaces it, a new one stands before the others."""
    own = [read_row(entry) for entry in table.tables("row")]
    refuse_duplicates([row.row_id for row in own], table)
    changed = replace(pack, info=owned(pack.info, owner), rows=with_rows(pack.rows, own, lambda row: row.row_id))
    refuse_unknown_inputs(changed, table)
    return changed


def _refuse_bad_choices(shelf: _Shelf, top: TomlTable) -> None:
    """Of guidelines that contradict each other one is in force, or none: chosen, all switched off, or not yet decided."""
    for choice in sorted({pack.choice for pack in shelf.tables.values() if pack.choice}):
        members = [pack.info.pack_id for pack in shelf.tables.values() if pack.choice == choice]
        chosen = [one for one in members if one not in shelf.off]
        left = [one for one in members if one not in shelf.refused]
        if len(chosen) > 1:
            top.fault(f"enables {' and '.join(chosen)}, which contradict each other: choose one", key="pack")
        elif not chosen and left and left != members:
            top.fault(
                f"switches {choice} off in part: name {' or '.join(left)} as the choice, or switch it off too", key="pack"
            )


def _policy(policy: ActionablePolicy | None, table: TomlTable | None) -> ActionablePolicy | None:
    if policy is None or table is None:
        return policy
    on = table.flag("enabled", default=True)
    rows = tuple(read_site_row(entry) for entry in table.tables("finding"))
    refuse_duplicates([row.row_id for row in rows], table)
    refuse_duplicates([f"{row.code.system}|{row.code.code}" for row in rows], table)
    changed = replace(
        policy,
        info=owned(policy.info, table.string("clinical_owner", default="-").strip("-")),
        critical_below_hours=table.integer("critical_below_hours", default=policy.critical_below_hours, within=CRITICAL_HOURS),
        silent_after_days=table.integer("silent_after_days", default=policy.silent_after_days, within=(1, _MAX_DAYS)),
        ai_silent_after_days=table.integer("ai_silent_after_days", default=policy.ai_silent_after_days, within=(1, _MAX_DAYS)),
        rows=rows or policy.rows,
    )
    table.close()
    return changed if on else None
