"""Which studies belong to a stay: those that name it, those that its orders asked for, those made while it lasted.

Nothing is guessed. A study that names another encounter belongs there, whenever it was made; one that names none (or only
the visit that the encounter is part of) is placed by the encounter's dates, and where these (or its own) are not known, it
is said that nobody can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from fhir_imaging.tolerant import as_dict, text
from imaging_findings.history import is_of_patient
from imaging_findings.observations import reference_of, relative_reference
from imaging_findings.stated_days import day_of, moment_of


@dataclass(frozen=True, slots=True)
class When:
    """A day as its source states it, and the moment where the source gives a time with its zone."""

    day: date
    at: datetime | None = None

    def is_before(self, other: When) -> bool:
        """By the moment where both have one, otherwise by the day: on the same day nothing is before the other."""
        return self.at < other.at if self.at and other.at else self.day < other.day


def when(stated: str | None) -> When | None:
    """A FHIR dateTime that is at least exact to the day."""
    day = day_of(stated)
    return When(day, moment_of(stated)) if day else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The encounter that ends. Without ``begun`` no study can be placed by its date; without ``ended`` it lasts until now."""

    encounter_id: str
    begun: When | None = None
    ended: When | None = None
    part_of: str | None = None
    """``Encounter/{id}`` of the visit that this one is a part of."""
    orders: frozenset[str] = frozenset()
    """``ServiceRequest/{id}`` of what was ordered in it, whatever became of the order."""

    @property
    def reference(self) -> str:
        """``Encounter/{id}``."""
        return f"Encounter/{self.encounter_id}"


class Belonging(StrEnum):
    """How a study and a stay stand to each other."""

    NAMED = "it names this encounter"
    ORDERED = "it was ordered in this encounter"
    IN_TIME = "it was made during this encounter"
    ELSEWHERE = "it names another encounter"
    EARLIER = "it was made before this encounter"
    LATER = "it was made after this encounter"
    NO_STAY_DATES = "the dates of this encounter are not known"
    NO_DATE = "the study has no date and names no encounter"
    LONG_AGO = "it names no encounter, and the dates of this one are not known"

    @property
    def is_of_stay(self) -> bool:
        """Whether the study belongs to the stay."""
        return self in (Belonging.NAMED, Belonging.ORDERED, Belonging.IN_TIME)

    @property
    def is_open(self) -> bool:
        """Whether nobody can tell."""
        return self in (Belonging.NO_STAY_DATES, Belonging.NO_DATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What tells where a study belongs: its encounter, its orders, and when it was begun."""

    encounter: str | None
    orders: frozenset[str]
    begun: When | None


def read_stay(
    encounters: Sequence[Mapping[str, Any]],
    orders: Sequence[Mapping[str, Any]],
    encounter_id: str,
    whose: tuple[str, Collection[str]],
) -> Stay:
    """The stay out of what came; another encounter, or another patient's (``whose``: id and FHIR bases), says nothing."""
    patient_id, bases = whose
    own = [one for one in encounters if _is_this(one, encounter_id) and _is_nobody_elses(one, patient_id, bases)]
    period = as_dict(own[0].get("period")) or as_dict(own[0].get("actualPeriod")) if own else {}
    placed = (one for one in orders if one.get("resourceType") == "ServiceRequest" and is_of_patient(one, patient_id, bases))
    return Stay(
        encounter_id=encounter_id,
        begun=when(text(period.get("start"))),
        ended=when(text(period.get("end"))),
        part_of=_reference(own[0].get("partOf")) if own else None,
        orders=frozenset(
            reference_of(one, "ServiceRequest") for one in placed if encounter_of(one) == f"Encounter/{encounter_id}"
        ),
    )


def encounter_of(resource: Mapping[str, Any]) -> str | None:
    """``Encounter/{id}`` that a resource names."""
    return _reference(resource.get("encounter"))


def belonging(study: Placed, stay: Stay, today: date, look_back_days: int) -> Belonging:
    """Where the study belongs; ``look_back_days`` bounds how old a study may be that nobody can place."""
    if study.encounter == stay.reference:
        return Belonging.NAMED
    if study.orders & stay.orders:
        return Belonging.ORDERED
    if study.encounter not in (None, stay.part_of):
        return Belonging.ELSEWHERE
    if study.begun is None:
        return Belonging.NO_DATE
    if stay.begun is None:
        is_recent = study.begun.day >= today - timedelta(days=look_back_days)
        return Belonging.NO_STAY_DATES if is_recent else Belonging.LONG_AGO
    if study.begun.is_before(stay.begun):
        return Belonging.EARLIER
    return Belonging.LATER if stay.ended and stay.ended.is_before(study.begun) else Belonging.IN_TIME


def _reference(value: object) -> str | None:
    return relative_reference(text(as_dict(value).get("reference")), "Encounter")


def _is_this(resource: Mapping[str, Any], encounter_id: str) -> bool:
    return resource.get("resourceType") == "Encounter" and text(resource.get("id")) == encounter_id


def _is_nobody_elses(resource: Mapping[str, Any], patient_id: str, bases: Collection[str]) -> bool:
    # Encounter.subject is optional.
    return text(as_dict(resource.get("subject")).get("reference")) is None or is_of_patient(resource, patient_id, bases)
