"""Which organ a follow-up asks to be shown, for the orders and appointments that may answer it (rule Gf).

The same question as ``repeats`` asks of studies and orders on record, with the same words and the same table.
"""

from __future__ import annotations

from imaging_findings.advice import Guidance
from imaging_findings.answers import CHEST_CT_ANSWER
from imaging_findings.findings import LUNG_KINDS
from imaging_findings.organs import organs_of
from imaging_findings.rules import Packs, TablePack


def asked_organs(guidance: Guidance, packs: Packs) -> frozenset[str]:
    """What an examination that answers must show: the lungs, or the organ of the table; empty where no rule names one."""
    if guidance.finding.kind in LUNG_KINDS:
        return CHEST_CT_ANSWER.organs
    pack = table_of(guidance, packs) or _reading(guidance, packs)
    return organs_of(pack.organ) if pack else frozenset()


def table_of(guidance: Guidance, packs: Packs) -> TablePack | None:
    """The table that speaks in it, also one that the site has still to choose; None for the lung and the reader's own word."""
    spoken = {statement.pack.pack_id for statement in guidance.statements if statement.pack}
    return next((one for one in (*packs.tables, *packs.undecided) if one.info.pack_id in spoken), None)


def _reading(guidance: Guidance, packs: Packs) -> TablePack | None:
    """A table of the same assessment: the organ is known, whichever of them the site chooses."""
    name = guidance.finding.assessment.name if guidance.finding.assessment else None
    return next((one for one in (*packs.tables, *packs.undecided) if one.reads == name), None)
