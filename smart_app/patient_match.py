"""Whether the archive and the EHR mean the same person by a study, as far as that can be known.

Compared is only within one identifier system that the site has named, with its Issuer of Patient ID: equal numbers of two
issuers are two people, and a number without its issuer may be either's. A difference blocks; what cannot be compared is
said to be unverified, with the reason.

Spec: smart-launch.md §8 (wrong-patient guard), SMART Imaging Access groups 11 and 29, DICOM PS3.3 C.7.1.1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import Any

from fhir_imaging.dicom_json import PATIENT_ID, STUDY_INSTANCE_UID, first_text, issuer_of_number


class Match(StrEnum):
    """What the comparison says."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_COMPARED = "not-compared"


class Why(StrEnum):
    """What decided."""

    EQUAL = "equal"
    NO_SYSTEM = "no-system"
    NO_IDENTIFIER = "no-identifier"
    NO_ANSWER = "no-answer"
    NOT_FOUND = "not-found"
    NO_PATIENT_ID = "no-patient-id"
    OTHER_NUMBER = "other-number"
    OTHER_ISSUER = "other-issuer"
    NO_ISSUER = "no-issuer"
    REFUSED = "refused"


WHY_WORDS = {
    Why.EQUAL: "The number in the images is the patient's number in the EHR.",
    Why.NO_SYSTEM: "This site has not said which of the patient's numbers its image archive uses.",
    Why.NO_IDENTIFIER: "The EHR does not tell the number under which the image archive knows this patient.",
    Why.NO_ANSWER: "The image archive did not say in time whose study this is.",
    Why.NOT_FOUND: "The image archive does not list this study.",
    Why.NO_PATIENT_ID: "The images carry no patient number.",
    Why.OTHER_NUMBER: "The number in the images is not this patient's number in the EHR.",
    Why.OTHER_ISSUER: "The number in the images was given by another organisation.",
    Why.NO_ISSUER: "The images do not say which organisation gave the patient number in them.",
    Why.REFUSED: "The imaging server says that this study is not this patient's.",
}


_LEAST_CERTAIN_FIRST = (Match.DIFFERENT, Match.NOT_COMPARED, Match.SAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierSystem:
    """How a FHIR patient is named in the archives; ``issuer_of_patient_id`` None = the issuer is not looked at.

    ``is_only_issuer``: the archives hold numbers of this issuer only, so images that name none carry its number; where it has
    no name there, images that name one carry another's.
    """

    system: str
    issuer_of_patient_id: str | None = None
    is_only_issuer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMatch:
    """The verdict and its reason."""

    match: Match
    why: Why

    @property
    def words(self) -> str:
        """The reason as a sentence."""
        return WHY_WORDS[self.why]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAnswer:
    """What the archive said of one study: its data sets, or that it refuses the study; None = it did not answer."""

    datasets: Sequence[Mapping[str, Any]] | None
    is_refused: bool = False


def judge_match(
    rule: IdentifierSystem | None, identifiers: Collection[tuple[str, str]], answer: ArchiveAnswer, study_instance_uid: str
) -> PatientMatch:
    """The verdict on one study. ``identifiers`` are (system, value) of the EHR's Patient as far as it may be read."""
    if rule is None:
        return _not_compared(Why.NO_SYSTEM)
    if answer.is_refused:
        return PatientMatch(match=Match.DIFFERENT, why=Why.REFUSED)
    numbers = {value for system, value in identifiers if system == rule.system}
    if not numbers:
        return _not_compared(Why.NO_IDENTIFIER)
    if answer.datasets is None:
        return _not_compared(Why.NO_ANSWER)
    of_study = [one for one in answer.datasets if first_text(one, STUDY_INSTANCE_UID) == study_instance_uid]
    if not of_study:
        return _not_compared(Why.NOT_FOUND)
    # One study that the archive has under two people counts as the other one's: any doubt blocks.
    verdicts = [_judge(rule, numbers, dataset) for dataset in of_study]
    return reduce(less_certain, verdicts)


def _judge(rule: IdentifierSystem, numbers: Collection[str], dataset: Mapping[str, Any]) -> PatientMatch:
    number = first_text(dataset, PATIENT_ID)
    issuer, is_looked_at = issuer_of_number(dataset), rule.issuer_of_patient_id is not None or rule.is_only_issuer
    if number is None:
        return _not_compared(Why.NO_PATIENT_ID)
    if is_looked_at and issuer not in (None, rule.issuer_of_patient_id):
        return PatientMatch(match=Match.DIFFERENT, why=Why.OTHER_ISSUER)
    if number not in numbers:
        return PatientMatch(match=Match.DIFFERENT, why=Why.OTHER_NUMBER)
    if rule.issuer_of_patient_id is not None and issuer is None and not rule.is_only_issuer:
        return _not_compared(Why.NO_ISSUER)
    return PatientMatch(match=Match.SAME, why=Why.EQUAL)


def less_certain(one: PatientMatch, other: PatientMatch) -> PatientMatch:
    """Of two verdicts the one that speaks less for the patient: what may be said of studies side by side."""
    return min(one, other, key=lambda verdict: _LEAST_CERTAIN_FIRST.index(verdict.match))


def _not_compared(why: Why) -> PatientMatch:
    return PatientMatch(match=Match.NOT_COMPARED, why=why)
