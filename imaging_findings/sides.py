"""The side of a finding and of what would answer it: the right breast answers nothing that was seen in the left one.

What follows a finding on one side of a paired part is asked of that side. An examination of both sides, or of no stated side,
answers either (rule Gf). ``side_of`` and ``on_side_of`` are for every rule that compares a finding with an examination.
"""

from __future__ import annotations

from dataclasses import replace

from imaging_findings.findings import Finding
from imaging_findings.study_kinds import Side, StudyKind
from imaging_findings.study_names import PAIRED

_SIDES = {"left": Side.LEFT, "right": Side.RIGHT, "both sides": Side.BOTH}


def side_of(finding: Finding) -> Side:
    """The finding's coded side; ``UNSTATED`` where nobody coded one."""
    stated = finding.assessment.side if finding.assessment else None
    return _SIDES.get(stated or "", Side.UNSTATED)


def on_side_of(finding: Finding, kind: StudyKind) -> StudyKind:
    """The examination that would answer, asked of the finding's side: its ``overlaps`` then refuses the opposite one.

    A part that has no sides (an abdomen) keeps none, whichever kidney the finding is in.
    """
    return replace(kind, side=side_of(finding)) if kind.regions & PAIRED else kind


def are_opposite(one: Side, other: Side) -> bool:
    """Whether both sides are stated and differ."""
    return {one, other} == {Side.LEFT, Side.RIGHT}
