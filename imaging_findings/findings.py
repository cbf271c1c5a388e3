"""What was seen on images, as values: who said it, on which study, and what is missing.

Sizes are millimetres. Dates are the local date of the study as its source stated it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.codes import Code
from imaging_findings.intervals import Interval


class Author(StrEnum):
    """Who stands behind a finding."""

    PERSON = "person"
    AI = "ai"


class Kind(StrEnum):
    """Which rule family a finding belongs to."""

    LUNG_RADS = "lung-rads"
    NODULE = "nodule"
    ASSESSMENT = "assessment"
    """A category or a measurement that a table pack reads (BI-RADS, an aortic diameter)."""
    ACTIONABLE = "actionable"
    """A finding that must be communicated."""
    TEXT = "text"
    """A category that only a report's words state; quoted, never computed from."""


LUNG_KINDS = frozenset({Kind.LUNG_RADS, Kind.NODULE})
"""The kinds that are about the lung: a screening's category and a nodule found by chance."""


class Attenuation(StrEnum):
    """Nodule type."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


class Change(StrEnum):
    """How a nodule compares with the previous examination."""

    BASELINE = "baseline"
    NEW = "new"
    GROWING = "growing"
    STABLE = "stable"


class Risk(StrEnum):
    """The reader's judgement of the patient's risk (Fleischner)."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """One nodule, or the most suspicious of several. Everything may be missing; nothing is guessed."""

    attenuation: Attenuation | None = None
    diameter_mm: float | None = None
    """Mean of the long and the short axis."""
    solid_part_mm: float | None = None
    count: int | None = None
    risk: Risk | None = None
    change: Change | None = None
    previous_mm: float | None = None
    features: frozenset[str] = frozenset()
    """What the reader coded of ``codes.NODULE_FEATURES`` (``airway-segmental``); only a coded feature counts."""
    tracking: frozenset[str] = frozenset()
    """Identifiers by which the nodule is followed over examinations (DCM 112039, 112040)."""
    site: frozenset[str] = frozenset()
    """Where it lies: the site's codes and words, as stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousExamination:
    """What the reader coded of the screening examination before this one; at least one of category and day."""

    category: str | None = None
    """Lung-RADS category; None where it is missing, or where two codes contradict each other."""
    version: str | None = None
    """The version in which that category was given; None where it is not stated."""
    day: date | None = None
    """When its images were taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSelection:
    """The slice on which a finding is seen; UIDs are bare."""

    study: StudyInstanceUID
    series: str
    instance: str

    @property
    def path(self) -> str:
        """The PS3.18 resource path, which names the instance to a viewer."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.instance}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySeries:
    """A series that holds no pictures but points at some of its study; ``modality`` is KO (key images), SR or SEG."""

    modality: str
    series_instance_uid: str

    def path(self, study: StudyInstanceUID) -> str:
        """The PS3.18 resource path, which names the series to a viewer."""
        return f"studies/{study}/series/{self.series_instance_uid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What the reader coded as follow-up (DCM 111053, 111054, 111055); at least one of the three."""

    interval: Interval | None = None
    due: date | None = None
    words: str | None = None
    """The coded recommendation's own name (DCM 111053 with CID 6028 or 6029)."""

    @property
    def sentence(self) -> str:
        """The recommendation in one sentence."""
        if self.words is not None:
            when = f", at {self.interval}" if self.interval and str(self.interval.high) not in self.words else ""
            return f"“{self.words}”{when}{f', on {self.due}' if self.due else ''}, as the reader coded it."
        return f"Follow-up {f'at {self.interval}' if self.interval else f'on {self.due}'}, as the reader recommended."


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a table pack reads: its ``name`` (``bi-rads``), and measurements and coded words beside the category."""

    name: str
    title: str
    numbers: tuple[tuple[str, float], ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    side: str | None = None

    def number(self, name: str) -> float | None:
        """The measurement of this name."""
        return dict(self.numbers).get(name)

    def word(self, name: str) -> str | None:
        """The coded word of this name."""
        return dict(self.words).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actionable:
    """Codes that a site's policy may call actionable, and the category that the reader coded (ACR 1 to 3)."""

    codes: tuple[Code, ...] = ()
    category: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One coded finding on one study."""

    reference: str
    """``Observation/{id}`` for reasonReference; the source's own logical id."""
    kind: Kind
    author: Author
    signed_by: str | None = None
    """Who signed, or the AI's name and version."""
    study_reference: str | None = None
    """``ImagingStudy/{id}``."""
    study_date: date | None = None
    category: str | None = None
    """Lung-RADS category as coded; None for a nodule, and for a category that is not coded as it must be."""
    scheme: Code | None = None
    """The guideline's own code with its version: the value's system for Lung-RADS, the method for a nodule."""
    schemes_beside: tuple[Code, ...] = ()
    """Other code systems in which the same Lung-RADS category is coded."""
    stated: str | None = None
    """The value in the source's own words; quoted, never computed from."""
    modifier_s: bool = False
    nodule: Nodule = field(default_factory=Nodule)
    previous: PreviousExamination | None = None
    """The screening examination before this one: what stepped management starts from."""
    selection: ImageSelection | None = None
    recommended: Recommendation | None = None
    site: str | None = None
    """Body site and side in words, of a nodule, a Lung-RADS category or a finding to be communicated; never computed from."""
    taken: datetime | None = None
    """When its images were taken, of a finding that must be communicated; None unless given with time and zone."""
    issued: datetime | None = None
    """When it was signed; None unless the source gave a time with its zone."""
    assessment: Assessment | None = None
    actionable: Actionable | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A resource that could not be used, and why; safe to show to the clinician."""

    reference: str
    reason: str
