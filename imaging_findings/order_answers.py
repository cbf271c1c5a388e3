"""Which examinations answer what a finding still asks for, as an order being placed sees it (rule Gf, section 3).

What the rule's own words name is ``wanted``; where the rule set lets another modality answer too (a CT shows the aorta as an
ultrasound does), that is ``also``, and an order for it is told as such. A side that the finding has is asked of paired parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imaging_findings.advice import Guidance
from imaging_findings.answers import PET, Answer
from imaging_findings.asked_organs import asked_organs, table_of
from imaging_findings.findings import LUNG_KINDS
from imaging_findings.order_facts import ImagingOrder
from imaging_findings.organs import Shown, shown
from imaging_findings.rules import Packs
from imaging_findings.sides import are_opposite, on_side_of
from imaging_findings.study_kinds import Contrast, StudyKind, study_kind_of
from imaging_findings.study_names import families_named

_NO_PET = re.compile(r"^NM (?!of\b)|bone|skelet|scintigra|perfusion|ventilation", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """The kinds of examination that answer one finding's follow-up or work-up."""

    wanted: tuple[StudyKind, ...] = ()
    also: tuple[StudyKind, ...] = ()
    rule: Answer | None = None
    """What the rule itself lets answer, with or without images; None where no rule says so."""
    organs: frozenset[str] = frozenset()
    """What images that answer must show; empty where no rule names it."""

    @property
    def regions(self) -> frozenset[str]:
        """The regions that it is about."""
        return frozenset(region for kind in (*self.wanted, *self.also) for region in kind.regions)

    @property
    def asks_for_no_contrast(self) -> bool:
        """Whether its own code says "without": only then can contrast agent be one too many."""
        return bool(self.wanted) and all(kind.contrast is Contrast.WITHOUT for kind in self.wanted)

    def is_met_by(self, order: ImagingOrder) -> bool:
        """Whether the order is for an examination that the rule's words name, or for the tissue that they name."""
        return self._is_shown_by(order, self.wanted) or self._is_tissue(order)

    def may_be_met_by(self, order: ImagingOrder) -> bool:
        """Whether the rule set lets the examination answer, though the rule's words name another one."""
        return self._is_shown_by(order, self.also)

    def organ_in(self, order: ImagingOrder) -> Shown:
        """Whether the examination that is ordered shows the organ."""
        return shown(order.kind.names, order.kind.families, self.organs, self.regions)

    def is_of_other_organ(self, order: ImagingOrder) -> bool:
        """Whether the order would fit, did it not show another organ alone."""
        is_kind = any(_shows(order, kind) for kind in (*self.wanted, *self.also))
        return is_kind and self.organ_in(order) is Shown.NO

    def is_of_other_side(self, order: ImagingOrder) -> bool:
        """Whether the order is for the opposite side."""
        return any(are_opposite(kind.side, order.kind.side) for kind in self.wanted)

    def _is_shown_by(self, order: ImagingOrder, kinds: Sequence[StudyKind]) -> bool:
        return any(_shows(order, kind) for kind in kinds) and self.organ_in(order) is not Shown.NO

    def _is_tissue(self, order: ImagingOrder) -> bool:
        if self.rule is None or not order.kind.is_intervention or not self.rule.is_tissue(order.name):
            return False
        return bool(self.regions & order.kind.regions) and not self.is_of_other_side(order)


def _shows(order: ImagingOrder, kind: StudyKind) -> bool:
    # A rule that names nuclear medicine means a PET; a scan of the bones or of the ventilation shows nothing of the finding.
    return kind.overlaps(order.kind) and not ("NM" in kind.families and _NO_PET.search(order.name))


def answering(guidance: Guidance, packs: Packs) -> Answering:
    """What answers it: the row's own order, for the lung a chest CT, else what its table names, else the same again."""
    words = guidance.next_step.examination if guidance.next_step else " ".join(one.words for one in guidance.statements)
    wanted, also = _kinds(guidance, packs, words)
    return Answering(
        wanted=tuple(on_side_of(guidance.finding, kind) for kind in wanted),
        also=tuple(on_side_of(guidance.finding, kind) for kind in also),
        rule=guidance.answer,
        organs=asked_organs(guidance, packs),
    )


def _kinds(guidance: Guidance, packs: Packs, words: str) -> tuple[list[StudyKind], list[StudyKind]]:
    if guidance.finding.kind in LUNG_KINDS:
        return _of_the_lung(guidance, words)
    if guidance.order is not None:
        return [study_kind_of(stated=(guidance.order.code,))], []
    pack = table_of(guidance, packs)
    if pack is None:
        study = guidance.study
        same = StudyKind(families=study.families, regions=study.regions) if study else StudyKind()
        return ([same] if same.families and same.regions else []), []
    kinds = [StudyKind(families=frozenset({family}), regions=frozenset({region})) for family, region in pack.answers]
    named = families_named(words)
    wanted = [kind for kind in kinds if kind.families & named]
    return (wanted, [kind for kind in kinds if kind not in wanted]) if wanted else (kinds, [])


def _of_the_lung(guidance: Guidance, words: str) -> tuple[list[StudyKind], list[StudyKind]]:
    ct, nuclear = (StudyKind(families=frozenset({family}), regions=frozenset({"chest"})) for family in ("CT", "NM"))
    wanted = [study_kind_of(stated=(guidance.order.code,)) if guidance.order else ct]
    by_pet = guidance.answer is not None and any(kind.family == PET for kind in guidance.answer.kinds)
    if by_pet or "NM" in families_named(words):
        return [*wanted, nuclear], []
    is_offered = any("NM" in families_named(one.words) for one in guidance.statements)
    return wanted, ([nuclear] if is_offered else [])
