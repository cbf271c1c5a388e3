"""The policy on findings that must be communicated, out of its pack: categories, findings and how long they are critical."""

from __future__ import annotations

from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.finding_codes import fault_of
from imaging_findings.pack_parts import finish, read_info, read_top, refuse_duplicates
from imaging_findings.rules import ActionablePolicy, ActionableRow
from imaging_findings.toml_tables import TomlTable

CATEGORIES = ("1", "2", "3")
CRITICAL_HOURS = (24, 72)


def parse_actionable_policy(toml: str, name: str) -> ActionablePolicy:
    """The policy from TOML; PackError lists all faults."""
    top = read_top(toml, name, "actionable")
    rows = tuple(read_actionable_row(table) for table in top.tables("finding"))
    policy = ActionablePolicy(
        info=read_info(top, code=top.string("code")),
        critical_below_hours=top.integer("critical_below_hours"),
        silent_after_days=top.integer("silent_after_days"),
        ai_silent_after_days=top.integer("ai_silent_after_days"),
        statements=dict(_category(table) for table in top.tables("category")),
        rows=rows,
    )
    lowest, highest = CRITICAL_HOURS
    if not lowest <= policy.critical_below_hours <= highest:
        top.fault(f"has critical_below_hours {policy.critical_below_hours}, which is not {lowest} to {highest}")
    if {str(number) for number in policy.statements} != set(CATEGORIES):
        top.fault("must have a category table for each of 1, 2 and 3")
    refuse_duplicates([row.row_id for row in rows], top)
    refuse_duplicates([f"{row.code.system}|{row.code.code}" for row in rows], top)
    finish(top)
    return policy


def _category(table: TomlTable) -> tuple[int, str]:
    number = int(table.choice("code", CATEGORIES))
    statement = table.string("statement")
    table.choice("evidence", ("S", "C"))
    table.close()
    return number, statement


def read_actionable_row(table: TomlTable) -> ActionableRow:
    """Which category one finding is of, as the product says; its codes are all of the checked tables."""
    row = _row(table)
    if (row.code.system, row.code.code) not in codes.concepts():
        table.fault(f"names {row.code.system}|{row.code.code}, which is in no checked code table")
    return row


def read_site_row(table: TomlTable) -> ActionableRow:
    """Which category one finding is of, as a site says: also findings that no table of the product knows."""
    row = _row(table)
    fault = fault_of(row.code)
    if fault and row.code.system and row.code.code:
        table.fault(f"names {row.code.system}|{row.code.code}, {fault}")
    return row


def _row(table: TomlTable) -> ActionableRow:
    system, code = table.string("system"), table.string("code")
    # In the spelling that findings are read in: RadLex has several.
    stated = codes.codings({"system": system, "code": code})
    row = ActionableRow(
        row_id=table.string("id"),
        title=table.string("title"),
        code=stated[0] if stated else Code(system, code),
        category=int(table.choice("category", CATEGORIES)),
        evidence=table.choice("evidence", ("S", "C")),
    )
    table.close()
    return row
