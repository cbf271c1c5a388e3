"""Whose images these are, in the words that a clinician checks: name, birth date and age, sex, record number.

Spec: smart-launch.md §8 (banner), FHIR R4 Patient. What the EHR did not let us read is said, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from fhir_imaging.study import parse_datetime
from fhir_imaging.texts import gettext, ngettext
from fhir_imaging.tolerant import as_dict, dicts, text, texts
from smart_app.study_words import date_words

_SEX = {"female": "Female", "male": "Male", "other": "Other sex", "unknown": "Sex unknown"}
_NAME_USES = ("official", "usual", None, "temp", "nickname", "anonymous", "maiden")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientBanner:
    """The identity shown on every page. ``name`` falls back to the logical id when nothing more may be read."""

    name: str
    born: str | None
    age: str | None
    sex: str | None
    mrn: str | None
    deceased: bool
    is_verified: bool
    """Whether the Patient was read with the session's token; else only the id of the launch is known."""
    identifiers: frozenset[tuple[str, str]] = frozenset()
    """(system, value) of each of the patient's numbers in force, for comparing with the archive's; never shown."""

    @property
    def line(self) -> str:
        """The identity in one line, for titles."""
        born = gettext("born {date}").format(date=self.born) if self.born else None
        mrn = gettext("MRN {number}").format(number=self.mrn) if self.mrn else None
        sex = gettext(self.sex) if self.sex else None
        parts = (self.name, born, sex, mrn)
        return ", ".join(part for part in parts if part)


def is_patient(resource: Mapping[str, Any], patient_id: str) -> bool:
    """Whether a resource is the Patient of this very id: servers answer 200 with an OperationOutcome, or a merged record."""
    return (resource.get("resourceType"), resource.get("id")) == ("Patient", patient_id)


def read_banner(patient: Mapping[str, Any] | None, patient_id: str, today: date) -> PatientBanner:
    """The banner of the token's patient; without a readable Patient it says what the launch said."""
    if patient is None or not is_patient(patient, patient_id):
        return PatientBanner(
            name=gettext("Patient {id}").format(id=patient_id),
            born=None,
            age=None,
            sex=None,
            mrn=None,
            deceased=False,
            is_verified=False,
        )
    birth_date = text(patient.get("birthDate"))
    deceased_on = text(patient.get("deceasedDateTime"))
    return PatientBanner(
        name=_name(patient) or gettext("Patient {id} (no name recorded)").format(id=patient_id),
        born=_date_words(birth_date),
        age=_age(birth_date, _day(deceased_on) or today),
        sex=_SEX.get(text(patient.get("gender")) or ""),
        mrn=_mrn(patient),
        deceased=patient.get("deceasedBoolean") is True or deceased_on is not None,
        is_verified=True,
        identifiers=frozenset(_identifiers(patient)),
    )


def _name(patient: Mapping[str, Any]) -> str | None:
    named = sorted(
        (name for name in dicts(patient.get("name")) if name.get("use") in _NAME_USES),
        key=lambda name: _NAME_USES.index(name.get("use")),
    )
    for name in named:
        family, given = text(name.get("family")), " ".join(texts(name.get("given")))
        if family or given:
            return ", ".join(part for part in (family.upper() if family else None, given) if part)
        if text(name.get("text")):
            return text(name.get("text"))
    return None


def _mrn(patient: Mapping[str, Any]) -> str | None:
    """The identifier typed MR; one without that type is some other number and is not shown as the record number."""
    for identifier in dicts(patient.get("identifier")):
        codes = {coding.get("code") for coding in dicts(as_dict(identifier.get("type")).get("coding"))}
        if "MR" in codes and identifier.get("use") != "old" and text(identifier.get("value")):
            return text(identifier.get("value"))
    return None


def _identifiers(patient: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for identifier in dicts(patient.get("identifier")):
        system, value = text(identifier.get("system")), text(identifier.get("value"))
        if system and value and identifier.get("use") != "old":
            yield system, value


def _day(stated: str | None) -> date | None:
    moment = parse_datetime(stated)
    return moment.date() if moment else None


def _date_words(stated: str | None) -> str | None:
    """At the precision that was recorded: a bare year stays one."""
    moment = parse_datetime(stated)
    return date_words(stated, moment) if moment else None


def _age(birth_date: str | None, on: date) -> str | None:
    born = _day(birth_date)
    if born is None or born > on:
        return None
    months = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    if birth_date and len(birth_date) == 4:
        return gettext("about {number} years").format(number=on.year - born.year)
    if months >= 24:
        return gettext("{number} years").format(number=months // 12)
    days = (on - born).days
    if months >= 1:
        return ngettext("{number} month", "{number} months", months).format(number=months)
    return ngettext("{number} day", "{number} days", days).format(number=days)
