"""What a rule pack says, as values: rows, steps, orders, and on whose authority. ``imaging_findings.packs`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from imaging_findings.codes import Code
from imaging_findings.findings import Attenuation, Change, Risk
from imaging_findings.intervals import Interval
from imaging_findings.nodule_terms import Band, Exclusions, Rounding
from imaging_findings.order_policy import EARLY_DAYS


class Urgency(StrEnum):
    """How loudly a card speaks; ``critical`` exists in no pack row, only by a site's policy."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def loudness(self) -> int:
        """The place from quiet to loud, by which cards are sorted."""
        return _LOUDNESS[self]


_LOUDNESS = {Urgency.INFO: 0, Urgency.WARNING: 1, Urgency.CRITICAL: 2}


class Strength(StrEnum):
    """How firmly a guideline asks for a step. Only ``recommended`` first steps become a draft order."""

    RECOMMENDED = "recommended"
    CONSIDER = "consider"
    OPTIONAL = "optional"
    IF_PERSISTENT = "if-persistent"


class AnsweredBy(StrEnum):
    """What can end a row's follow-up (rule Gf). Images do not answer a call for tissue, and no order answers a referral."""

    IMAGING = "imaging"
    INTERVENTION = "intervention"
    """A biopsy or puncture of the organ."""
    EITHER = "either"
    NONE = "none"
    """A referral or a discussion: nothing here shows whether it took place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswer:
    """What answers one row. ``kinds`` (modality family, or ``PT`` for a PET; region) take the place of the pack's own."""

    by: AnsweredBy = AnsweredBy.IMAGING
    by_screening: bool = True
    """Whether a screening examination answers."""
    kinds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackInfo:
    """On whose authority a pack speaks."""

    pack_id: str
    title: str
    guideline: Code
    """System and version that a finding must name for this pack to speak; ``code`` is empty where categories differ."""
    citation: str
    url: str
    clinical_owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of a follow-up: an examination after an interval counted from the study's date."""

    examination: str
    interval: Interval
    strength: Strength = Strength.RECOMMENDED
    until_years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCode:
    """The one examination that is right to order."""

    code: Code
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryRow:
    """What follows one category."""

    code: str
    statement: str
    steps: tuple[PlannedStep, ...]
    urgency: Urgency
    order: OrderCode | None
    evidence: str
    answer: RowAnswer = RowAnswer()


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRange:
    """``at_least`` <= size, ``above`` < size, size < ``below``, size <= ``up_to``; an absent bound does not bind."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    up_to: float | None = None

    def holds(self, size_mm: float) -> bool:
        """Whether the size lies in the range."""
        return not (
            (self.above is not None and size_mm <= self.above)
            or (self.at_least is not None and size_mm < self.at_least)
            or (self.below is not None and size_mm >= self.below)
            or (self.up_to is not None and size_mm > self.up_to)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One line of "measurements → category"; an absent condition does not bind."""

    trigger_id: str
    category: str
    evidence: str
    feature: str | None = None
    except_feature: str | None = None
    attenuation: Attenuation | None = None
    change: frozenset[Change] = frozenset()
    diameter: SizeRange | None = None
    solid_part: SizeRange | None = None
    previous_category: str | None = None
    previous_months: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningPack:
    """Lung-RADS: rows by coded category, and which measurements make which category."""

    info: PackInfo
    growth_above_mm: float
    growth_within_months: int
    categories: Mapping[str, CategoryRow]
    triggers: tuple[Trigger, ...]
    systems: frozenset[str] = frozenset()
    """Other code systems whose categories are these: ``url``, whose codes name the pack's version, or ``url|version`` of codes
    that stand for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleRow:
    """One cell of Fleischner's table. ``risk`` None = the row does not ask for it."""

    row_id: str
    attenuation: frozenset[Attenuation]
    risk: Risk | None
    multiple: bool
    bands: frozenset[Band]
    statement: str
    steps: tuple[PlannedStep, ...]
    urgency: Urgency
    evidence: str
    answer: RowAnswer = RowAnswer()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodulePack:
    """Fleischner: rows by type, number, risk and size."""

    info: PackInfo
    rounding_of_half: Rounding
    exclusions: Exclusions
    rows: tuple[NoduleRow, ...]
    order: OrderCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionableRow:
    """The site's policy on one finding: its category."""

    row_id: str
    title: str
    code: Code
    category: int
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionablePolicy:
    """How soon findings are communicated, and which finding is of which category (a site's own decision)."""

    info: PackInfo
    critical_below_hours: int
    silent_after_days: int
    ai_silent_after_days: int
    """After this an unsigned AI result is silent, where its study has a signed report."""
    statements: Mapping[int, str]
    rows: tuple[ActionableRow, ...]


class Speaks(StrEnum):
    """When a row is worth a card: a row that asks for nothing is not."""

    ALWAYS = "always"
    WHEN_DUE = "when-due"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInput:
    """An input of a table, in the words that name it when it is missing."""

    name: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row: conditions that must all hold (an absent one does not bind), and what follows."""

    row_id: str
    categories: frozenset[str]
    numbers: tuple[tuple[str, SizeRange], ...]
    words: tuple[tuple[str, str], ...]
    statement: str
    steps: tuple[PlannedStep, ...]
    urgency: Urgency
    speaks: Speaks
    evidence: str
    answer: RowAnswer = RowAnswer()


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedCategory:
    """A category that a coded number stands for (TI-RADS points)."""

    category: str
    number: str
    range: SizeRange


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePack:
    """A guideline as a table. ``reads`` names the assessment; ``choice`` the group of which a site may use only one."""

    info: PackInfo
    reads: str
    choice: str | None
    answers: tuple[tuple[str, str], ...]
    """Modality family and region of the examinations that answer a follow-up."""
    answer_words: str
    organ: tuple[str, ...]
    """Beginnings of words, one of which names the organ in a biopsy that answers."""
    inputs: tuple[TableInput, ...]
    derived: tuple[DerivedCategory, ...]
    rows: tuple[TableRow, ...]
    severity: tuple[str, ...] = ()
    """The categories, worst first; empty where the pack names no order."""

    @property
    def asks_category(self) -> bool:
        """Whether rows depend on a coded category."""
        return any(row.categories for row in self.rows)

    def severity_of(self, category: str | None) -> int:
        """The category's place, 0 the worst; one that the pack does not name stands behind all others."""
        return self.severity.index(category) if category in self.severity else len(self.severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packs:
    """The packs that are in force; a pack that a site switched off is None (or not among the tables)."""

    screening: ScreeningPack | None
    nodules: NodulePack | None
    actionable: ActionablePolicy | None = None
    tables: tuple[TablePack, ...] = ()
    undecided: tuple[TablePack, ...] = ()
    """Packs that exclude each other, where the site has chosen none of them."""
    early_days: int = EARLY_DAYS
    """How many days before its time a step counts as done, and an order as meant for it; of ``SitePolicy`` its orders' own."""

    @property
    def early(self) -> timedelta:
        """The same as a span of time."""
        return timedelta(days=self.early_days)
