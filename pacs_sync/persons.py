"""Whose a study is, and who sent for it: numbers and names as DICOM data sets tell them.

Spec: clinical rules 7.2 (0010,0020 + 0010,0021 / 0010,0024), X14, M1, M7; DICOM PS3.3 §C.7.1.1, PS3.5 §6.2.1 (PN),
PS3.18 §F.2.2 (names in DICOM JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    ISSUER_QUALIFIERS,
    LOCAL_NAMESPACE,
    PATIENT_ID,
    UNIVERSAL_ENTITY,
    values,
)
from fhir_imaging.study_reading import printable, words_in
from fhir_imaging.tolerant import as_dict, dicts, text

OTHER_PATIENT_IDS = "00101002"


def patients_of(datasets: Iterable[Mapping[str, Any]]) -> tuple[PatientNumber, ...]:
    """All persons that data sets of one study name: one when they agree.

    Padding does not count, and who leaves the issuer out means the number's only one. Nothing else is taken for equal: another
    number or another issuer is another person, until the archive says otherwise.
    """
    found: list[PatientNumber] = []
    for stated in filter(None, map(number_in, datasets)):
        place = next((place for place, one in enumerate(found) if may_be_same(one, stated)), None)
        if place is None:
            found.append(stated)
        else:
            found[place] = _fuller(found[place], stated)
    return _joined(found)


def other_numbers_of(datasets: Iterable[Mapping[str, Any]], patients: Sequence[PatientNumber]) -> tuple[PatientNumber, ...]:
    """Further numbers of the person (0010,1002), each once."""
    items = (item for dataset in datasets for item in dicts(values(dataset, OTHER_PATIENT_IDS)))
    found = dict.fromkeys(one for item in items if (one := number_in(item)) is not None)
    return tuple(one for one in found if one not in patients)


def issuer_in(item: Mapping[str, Any]) -> str | None:
    """The local or the universal entity of an item of HL7v2's hierarchic designator macro."""
    return words_in(item, LOCAL_NAMESPACE) or words_in(item, UNIVERSAL_ENTITY)


def name_in(dataset: Mapping[str, Any], tag: str) -> str | None:
    """The words of a person's name, the given one first (M1); None when there is none."""
    return next((words for value in values(dataset, tag) if (words := _name(value))), None)


def number_in(dataset: Mapping[str, Any]) -> PatientNumber | None:
    """The number of the person that a data set, or an item of other numbers, names; None when it names none."""
    number = words_in(dataset, PATIENT_ID)
    if number is None:
        return None
    qualifiers = dicts(values(dataset, ISSUER_QUALIFIERS))
    universal = next((one for item in qualifiers if (one := words_in(item, UNIVERSAL_ENTITY))), None)
    return PatientNumber(number=number, issuer=words_in(dataset, ISSUER_OF_PATIENT_ID), universal_issuer=universal)


def may_be_same(one: PatientNumber, other: PatientNumber) -> bool:
    """Whether it is the same number, and of the same issuer unless one of them leaves the issuer out.

    An issuer that one names in its own words and the other by a universal entity may be two.
    """
    issuers = ((one.issuer, other.issuer), (one.universal_issuer, other.universal_issuer))
    comparable = [{mine, theirs} for mine, theirs in issuers if mine and theirs]
    says_none = not any(mine for mine, _ in issuers) or not any(theirs for _, theirs in issuers)
    return one.number == other.number and (all(len(named) == 1 for named in comparable) if comparable else says_none)


def _fuller(one: PatientNumber, other: PatientNumber) -> PatientNumber:
    return PatientNumber(
        number=one.number, issuer=one.issuer or other.issuer, universal_issuer=one.universal_issuer or other.universal_issuer
    )


def _joined(found: list[PatientNumber]) -> tuple[PatientNumber, ...]:
    """Those that turned out to be the same once more was known of them."""
    joined: list[PatientNumber] = []
    for one in found:
        same = next((place for place, known in enumerate(joined) if may_be_same(known, one)), None)
        if same is None:
            joined.append(one)
        else:
            joined[same] = _fuller(joined[same], one)
    return tuple(joined)


def _name(value: object) -> str | None:
    """A name of DICOM JSON, or the bare string that some archives send: letters first, then ideographs, then sounds."""
    groups = as_dict(value)
    if groups:
        stated = [text(groups.get(name)) for name in ("Alphabetic", "Ideographic", "Phonetic")]
    else:
        stated = [*((text(value) or "").split("=")), None, None][:3]
    return next((words for place, one in enumerate(stated) if (words := _words(one, is_alphabetic=place == 0))), None)


def _words(group: str | None, *, is_alphabetic: bool) -> str | None:
    """Family, given, middle, prefix and suffix in the order in which they are said; ideographs keep their own."""
    family, given, middle, prefix, suffix, *_ = [*((group or "").split("^")), *[""] * 5]
    parts: Iterator[str] = iter((prefix, given, middle, family, suffix) if is_alphabetic else (family, given, middle))
    return " ".join(" ".join(words.split()) for part in parts if (words := printable(part.strip()))) or None
