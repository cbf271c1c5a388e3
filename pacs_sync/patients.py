"""Whose study it is: by number, issuer and the site's rules, and by what FHIR has of that number. Never a guess.

Spec: clinical rules X14 (the PatientID is a number within its issuer, not a logical id); DICOM PS3.3 §C.7.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_imaging.archived_study import ArchivedStudy, PatientNumber
from fhir_imaging.tolerant import as_dict, dicts
from pacs_sync.ports import Held, HoldReason, Subject, Task
from pacs_sync.settings import PatientRule

MAX_OTHER_NUMBERS = 5
"""Further numbers that are looked up: they can only contradict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A number as FHIR knows it."""

    system: str
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What FHIR is asked about one study. ``stated`` is what the archive says of its patient."""

    main: Question
    others: tuple[Question, ...]
    stated: PatientNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody knows for certain whose it is. ``candidates`` are the Patients of whom it may be."""

    held: Held
    candidates: frozenset[str] = frozenset()


def questions(study: ArchivedStudy, rules: Sequence[PatientRule]) -> Questions | Unknown:
    """What FHIR is to be asked; Unknown where the archive's own words or the rules leave it open."""
    named = tuple(one for one in study.patients if one.number.strip())
    if not named:
        return Unknown(held=Held(reason=HoldReason.NO_NUMBER))
    asked = {_question(one, rules) for one in named}
    first = named[0]
    if len(asked) > 1 or (None in asked and len({_bare(one) for one in named}) > 1):
        return Unknown(held=Held(reason=HoldReason.MIXED, patient=first, detail=f"{len(named)} patients"))
    main = asked.pop()
    if main is None:
        return Unknown(held=Held(reason=HoldReason.UNKNOWN_ISSUER, patient=first))
    others = dict.fromkeys(_question(one, rules) for one in study.other_numbers if one.number.strip())
    further = tuple(one for one in others if one is not None and one != main)
    return Questions(main=main, others=further[:MAX_OTHER_NUMBERS], stated=first)


def answer(
    asked: Questions, main: Sequence[Mapping[str, Any]], others: Iterable[Sequence[Mapping[str, Any]]]
) -> Subject | Unknown:
    """Whose it is, by the Patients that have the number, and those that have each of the other numbers."""
    ids = frozenset(str(one["id"]) for one in main)
    if len(ids) != 1:
        reason = HoldReason.SEVERAL_PATIENTS if ids else HoldReason.NO_PATIENT
        return Unknown(held=Held(reason=reason, patient=asked.stated), candidates=ids)
    if any(str(one["id"]) not in ids for found in others for one in found):
        # Of the same person by one number and of another by the next: no chart is certain.
        detail = "another number of this study is another patient's"
        return Unknown(held=Held(reason=HoldReason.SEVERAL_PATIENTS, patient=asked.stated, detail=detail))
    return Subject(patient_id=next(iter(ids)), system=asked.main.system, number=asked.main.number)


def decided_by_person(study: ArchivedStudy, task: Task) -> Subject | None:
    """Whom a person named, as long as the archive says of its patient what it said then; None for a study of several."""
    named = {_bare(one) for one in study.patients if one.number.strip()}
    if task.assigned is None or len(named) > 1:
        return None
    stated = next(iter(named), None)
    decided_for = _bare(task.assigned_for) if task.assigned_for else None
    return task.assigned if stated == decided_for else None


def named_by_person(named: Subject, stated: PatientNumber | None, records: Sequence[Mapping[str, Any]]) -> Subject | Unknown:
    """Whom a person named, by the records that stand for that one now; Unknown where it was closed since.

    ``stated`` is what the archive said when that was decided.
    """
    ids = frozenset(str(one["id"]) for one in records)
    if len(ids) == 1:
        return replace(named, patient_id=next(iter(ids)))
    reason = HoldReason.SEVERAL_PATIENTS if ids else HoldReason.NO_PATIENT
    detail = "the record that a person named is not in use any more"
    return Unknown(held=Held(reason=reason, patient=stated, detail=detail), candidates=ids)


def has_number(patient: Mapping[str, Any], system: str, number: str, *, today: str) -> bool:
    """Whether a Patient has this identifier in use: a withdrawn one may be somebody else's by now. ``today`` as FHIR writes it.

    Asked of the very answer of a search: some servers ignore what they do not know, or compare without case.
    """
    return any(
        one.get("system") == system and one.get("value") == number and _is_in_use(one, today)
        for one in dicts(patient.get("identifier"))
    )


def replaced_by(patient: Mapping[str, Any]) -> tuple[str, ...]:
    """References to the records that stand for this person now, where it was merged; other links say nothing of it."""
    links = (one for one in dicts(patient.get("link")) if one.get("type") == "replaced-by")
    return tuple(str(as_dict(one.get("other")).get("reference", "")) for one in links)


def is_active(patient: Mapping[str, Any]) -> bool:
    """Whether it is a record in use with an id."""
    return patient.get("active") is not False and isinstance(patient.get("id"), str)


def _is_in_use(identifier: Mapping[str, Any], today: str) -> bool:
    end = as_dict(identifier.get("period")).get("end")
    ended = end is not None and not (isinstance(end, str) and end[:10] >= today[: len(end[:10])])
    return identifier.get("use") != "old" and not ended


def _question(stated: PatientNumber, rules: Sequence[PatientRule]) -> Question | None:
    """The number by the one system that the rules name for its issuer; None where they name none, or several."""
    bare = _bare(stated)
    issuers = {one for one in (bare.issuer, bare.universal_issuer) if one}
    if issuers:
        systems = {one.system for one in rules if one.issuer_of_patient_id and one.issuer_of_patient_id.strip() in issuers}
    else:
        systems = {one.system for one in rules if one.is_only_issuer}
    return Question(system=systems.pop(), number=bare.number) if len(systems) == 1 else None


def _bare(stated: PatientNumber) -> PatientNumber:
    issuer, universal = ((one or "").strip() or None for one in (stated.issuer, stated.universal_issuer))
    return PatientNumber(number=stated.number.strip(), issuer=issuer, universal_issuer=universal)
