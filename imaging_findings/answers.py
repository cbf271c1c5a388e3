"""What would answer a follow-up: which examinations, whether a biopsy, and whether anything in a chart does (rule Gf)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from imaging_findings.organs import Shown, StudyNames, organs_of, shown
from imaging_findings.rules import AnsweredBy, OrderCode, RowAnswer, Speaks, TablePack, TableRow
from imaging_findings.study_kinds import Contrast, study_kind_of


class Examination(Protocol):
    """A study or an order, with what tells the organ that it shows."""

    @property
    def families(self) -> frozenset[str]:
        """Its modality families."""

    @property
    def names(self) -> StudyNames:
        """What it is called."""


PET = "PT"
"""A PET or PET/CT. Its family is nuclear medicine, but a bone scan answers nothing that a PET does."""
_TISSUE = re.compile(r"biops|\bfna[bc]?\b|fine needle|core needle|feinnadel|stanz", re.IGNORECASE)
_LUNG = ("lung", "pulmon", "chest", "thora", "bronch")


@dataclass(frozen=True, slots=True)
class Kind:
    """What would answer the follow-up: modality family (or ``PET``) and body region."""

    family: str
    region: str


CHEST_CT = Kind("CT", "chest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What answers a follow-up, in words and as kinds of examination; without kinds nothing does."""

    words: str
    kinds: tuple[Kind, ...] = ()
    by: AnsweredBy = AnsweredBy.IMAGING
    by_screening: bool = True
    contrast: Contrast = Contrast.UNKNOWN
    """The phase that the rule's own order names."""
    organ: tuple[str, ...] = ()
    """Beginnings of words, one of which names the organ in a biopsy that answers, and what images must show."""

    @property
    def by_images(self) -> bool:
        """Whether an examination answers."""
        return self.by in (AnsweredBy.IMAGING, AnsweredBy.EITHER)

    @property
    def regions(self) -> frozenset[str]:
        """The regions that it is about."""
        return frozenset(kind.region for kind in self.kinds)

    @property
    def organs(self) -> frozenset[str]:
        """What images that answer must show; empty where the rule names no organ that is known."""
        return organs_of(self.organ)

    @property
    def organ_words(self) -> str:
        """The organs in words."""
        return " or ".join(sorted(self.organs))

    def shown_by(self, examination: Examination) -> Shown:
        """Whether the examination, one of the right kind, shows the organ."""
        return shown(examination.names, examination.families, self.organs, self.regions)

    def is_tissue(self, words: str) -> bool:
        """Whether these words name a biopsy of the organ; a drainage or another organ's biopsy answers nothing."""
        if self.by not in (AnsweredBy.INTERVENTION, AnsweredBy.EITHER) or not _TISSUE.search(words):
            return False
        said = words.lower()
        return any(re.search(rf"\b{re.escape(organ)}", said) for organ in self.organ)


CHEST_CT_ANSWER = Answer(words="chest CT", kinds=(CHEST_CT,), organ=_LUNG)


def of_lung_rows(rows: Sequence[RowAnswer], order: OrderCode | None) -> Answer:
    """What answers rows about the lung: of several (the risk is not known) only what answers each of them.

    ``order`` is the one that the rule would write; its contrast phase is what it asks for.
    """
    kinds = [frozenset(Kind(*kind) for kind in row.kinds) or frozenset([CHEST_CT]) for row in rows]
    shared = frozenset.intersection(*kinds) if kinds else frozenset([CHEST_CT])
    return Answer(
        words="chest examination" if len(shared) > 1 else "chest CT",
        kinds=tuple(sorted(shared, key=lambda kind: kind.family)),
        by=_shared([row.by for row in rows]),
        by_screening=all(row.by_screening for row in rows),
        contrast=study_kind_of(stated=(order.code,)).contrast if order else Contrast.UNKNOWN,
        organ=_LUNG,
    )


def of_table(pack: TablePack, rows: Sequence[TableRow] = ()) -> Answer:
    """What answers rows of a table pack; without a row any of the pack's examinations."""
    said = [row.answer for row in rows]
    kinds = [kind for row in said for kind in row.kinds] or list(pack.answers)
    return Answer(
        words=pack.answer_words,
        kinds=tuple(Kind(*kind) for kind in dict.fromkeys(kinds)),
        by=_shared([row.by for row in said]),
        by_screening=all(row.by_screening for row in said),
        organ=pack.organ,
    )


def of_categories(pack: TablePack, categories: Iterable[str]) -> Answer:
    """What answers where no row is picked: what answers each of the categories' rows that ask for something."""
    wanted = frozenset(categories)
    return of_table(pack, [row for row in pack.rows if wanted & row.categories and row.speaks is not Speaks.NEVER])


def _shared(stated: Sequence[AnsweredBy]) -> AnsweredBy:
    """What answers each of several rows."""
    narrowed = set(stated) - {AnsweredBy.EITHER}
    if not narrowed:
        return AnsweredBy.EITHER if stated else AnsweredBy.IMAGING
    return narrowed.pop() if len(narrowed) == 1 else AnsweredBy.NONE
