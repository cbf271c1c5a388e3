"""Rule packs: guideline tables as data, each with version, citation and a clinical owner, read from ``packs/*.toml``.

A pack that is not wholly valid is refused with all its faults (``PackError``): half a guideline is no guideline.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from imaging_findings.actionable_policy import parse_actionable_policy
from imaging_findings.nodule_packs import parse_nodule_pack
from imaging_findings.rules import NodulePack, Packs, ScreeningPack, TablePack
from imaging_findings.screening_packs import parse_screening_pack
from imaging_findings.table_packs import parse_table_pack

__all__ = [
    "bundled_nodules",
    "bundled_packs",
    "bundled_screening",
    "bundled_tables",
    "parse_nodule_pack",
    "parse_screening_pack",
]

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
        screening=bundled_screening(),
        nodules=bundled_nodules(),
        actionable=parse_actionable_policy(_bundled(ACTIONABLE_FILE), ACTIONABLE_FILE),
        tables=tuple(pack for pack in tables if pack.choice is None),
        undecided=tuple(pack for pack in tables if pack.choice is not None),
    )


@cache
def bundled_screening() -> ScreeningPack:
    """Lung-RADS as it comes with the product."""
    return parse_screening_pack(_bundled(LUNG_RADS_FILE), LUNG_RADS_FILE)


@cache
def bundled_nodules() -> NodulePack:
    """Fleischner as it comes with the product."""
    return parse_nodule_pack(_bundled(FLEISCHNER_FILE), FLEISCHNER_FILE)


@cache
def bundled_tables() -> tuple[TablePack, ...]:
    """All table packs that come with the product."""
    return tuple(parse_table_pack(_bundled(name), name) for name in TABLE_FILES)


def _bundled(name: str) -> str:
    return (resources.files("imaging_findings") / "packs" / name).read_text(encoding="utf-8")
