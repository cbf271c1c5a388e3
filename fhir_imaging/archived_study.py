"""A study as an archive's index tells it: DICOM JSON search answers read tolerantly, copies in several archives joined.

Spec: DICOM PS3.18 §10.6.3 (search answers), PS3.5 §6.2 (DA, TM, IS, CS), PS3.3 §C.12.1 (Timezone Offset From UTC).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from fhir_imaging.concept import Concept
from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    MODALITIES_IN_STUDY,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    first_text,
    values,
)
from fhir_imaging.study import DERIVED_MODALITIES
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid

ACCESSION_NUMBER = "00080050"
BODY_PART_EXAMINED = "00180015"
INSTANCE_NUMBER = "00200013"
MODALITY = "00080060"
NUMBER_OF_SERIES_INSTANCES = "00201209"
NUMBER_OF_STUDY_INSTANCES = "00201208"
NUMBER_OF_STUDY_SERIES = "00201206"
SERIES_DATE, SERIES_TIME = "00080021", "00080031"
SERIES_DESCRIPTION = "0008103E"
SERIES_NUMBER = "00200011"
SOP_CLASS_UID = "00080016"
STUDY_DATE, STUDY_TIME = "00080020", "00080030"
STUDY_DESCRIPTION = "00081030"
TIMEZONE_OFFSET = "00080201"

STUDY_FIELDS = (
    *(STUDY_INSTANCE_UID, PATIENT_ID, ISSUER_OF_PATIENT_ID, STUDY_DATE, STUDY_TIME, TIMEZONE_OFFSET),
    *(ACCESSION_NUMBER, STUDY_DESCRIPTION, MODALITIES_IN_STUDY, NUMBER_OF_STUDY_SERIES, NUMBER_OF_STUDY_INSTANCES),
)
"""What a study's description is made of; also what tells one state of it from the next."""
SERIES_FIELDS = (
    *(STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SERIES_NUMBER, MODALITY, SERIES_DESCRIPTION, BODY_PART_EXAMINED),
    *(NUMBER_OF_SERIES_INSTANCES, SERIES_DATE, SERIES_TIME, TIMEZONE_OFFSET),
)
INSTANCE_FIELDS = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, SOP_CLASS_UID, INSTANCE_NUMBER)

MAX_NUMBER = 2**31 - 1
"""The largest ``unsignedInt`` of FHIR."""
_CODE = re.compile(r"[A-Z0-9][A-Z0-9 _]{0,15}", re.ASCII)
_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])(?:([0-5][0-9])(\.[0-9]{1,6})?)?", re.ASCII)
_OFFSET = re.compile(r"([+-])(?:(0[0-9]|1[0-3])([0-5][0-9])|(14)(00))", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedInstance:
    """One SOP instance; ``number`` as the modality gave it."""

    uid: SopInstanceUID
    sop_class: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedSeries:
    """One series; ``archives`` are those that hold it, ``instance_count`` what the fullest of them says."""

    uid: SeriesInstanceUID
    archives: tuple[str, ...]
    number: int | None = None
    modality: str | None = None
    description: str | None = None
    body_part: str | None = None
    started: str | None = None
    instance_count: int | None = None
    instances: tuple[ArchivedInstance, ...] = ()
    body_site: Concept | None = None
    laterality: Concept | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientNumber:
    """A PatientID as an archive has it. ``issuer`` is its Issuer of Patient ID (0010,0021), ``universal_issuer`` the Universal
    Entity ID (0010,0024); without either the number means nothing outside the archive."""

    number: str
    issuer: str | None = None
    universal_issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedStudy:
    """One study; ``archives`` are those that hold it, by their configured names.

    ``started`` is a FHIR dateTime: a date alone where the archive names no zone, since a guessed one would be wrong by hours.
    ``listed_modalities`` is the index's own summary, which some archives do not keep. ``patients`` are all persons that its
    parts name, one for a study that is in order; ``other_numbers`` are further numbers of that person (0010,1002).
    ``accession_issuer`` is the local or universal entity of (0008,0051), ``referrer`` a name in words.
    """

    uid: StudyInstanceUID
    archives: tuple[str, ...]
    started: str | None = None
    accession: str | None = None
    description: str | None = None
    listed_modalities: tuple[str, ...] = ()
    series_count: int | None = None
    instance_count: int | None = None
    series: tuple[ArchivedSeries, ...] = ()
    patients: tuple[PatientNumber, ...] = ()
    other_numbers: tuple[PatientNumber, ...] = ()
    accession_issuer: str | None = None
    referrer: str | None = None
    procedures: tuple[Concept, ...] = ()
    reasons: tuple[Concept, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the series where they are known, else by the index; acquisitions first."""
        found = [one.modality for one in self.series if one.modality] or list(self.listed_modalities)
        return tuple(sorted(dict.fromkeys(found), key=lambda code: (code in DERIVED_MODALITIES, code)))

    @property
    def number_of_series(self) -> int | None:
        """As the index counts; never fewer than are listed."""
        return max(self.series_count or 0, len(self.series)) or self.series_count

    @property
    def number_of_instances(self) -> int | None:
        """As the index counts, else the sum over the series where each is counted."""
        counted = [one.instance_count for one in self.series]
        total = sum(one for one in counted if one is not None) if counted and None not in counted else None
        return self.instance_count if total is None else max(total, self.instance_count or 0)


def archived_study(dataset: Mapping[str, Any], archive: str) -> ArchivedStudy | None:
    """The study of one search match; None when it names none."""
    uid = first_text(dataset, STUDY_INSTANCE_UID)
    if uid is None or not is_uid(uid):
        return None
    return ArchivedStudy(
        uid=StudyInstanceUID(uid),
        archives=(archive,),
        started=started_of(dataset, STUDY_DATE, STUDY_TIME),
        accession=_words(dataset, ACCESSION_NUMBER),
        description=_words(dataset, STUDY_DESCRIPTION),
        listed_modalities=_codes(dataset, MODALITIES_IN_STUDY),
        series_count=_number(dataset, NUMBER_OF_STUDY_SERIES),
        instance_count=_number(dataset, NUMBER_OF_STUDY_INSTANCES),
    )


def archived_series(dataset: Mapping[str, Any], archive: str) -> ArchivedSeries | None:
    """The series of one search match; None when it names none."""
    uid = first_text(dataset, SERIES_INSTANCE_UID)
    if uid is None or not is_uid(uid):
        return None
    return ArchivedSeries(
        uid=SeriesInstanceUID(uid),
        archives=(archive,),
        number=_number(dataset, SERIES_NUMBER),
        modality=next(iter(_codes(dataset, MODALITY)), None),
        description=_words(dataset, SERIES_DESCRIPTION),
        body_part=_words(dataset, BODY_PART_EXAMINED),
        started=started_of(dataset, SERIES_DATE, SERIES_TIME),
        instance_count=_number(dataset, NUMBER_OF_SERIES_INSTANCES),
    )


def archived_instance(dataset: Mapping[str, Any]) -> ArchivedInstance | None:
    """The instance of one search match; None without both of its UIDs, which FHIR demands."""
    uid, sop_class = first_text(dataset, SOP_INSTANCE_UID), first_text(dataset, SOP_CLASS_UID)
    if uid is None or sop_class is None or not (is_uid(uid) and is_uid(sop_class)):
        return None
    return ArchivedInstance(uid=SopInstanceUID(uid), sop_class=sop_class, number=_number(dataset, INSTANCE_NUMBER))


def merged(copies: Sequence[ArchivedStudy]) -> ArchivedStudy:
    """One study out of its copies in several archives; the first that says something of it counts, a time before a date."""
    first, *others = copies
    for other in others:
        first = replace(
            first,
            archives=_unique((*first.archives, *other.archives)),
            started=max((first.started, other.started), key=lambda one: len(one or "")),
            accession=first.accession or other.accession,
            description=first.description or other.description,
            listed_modalities=_unique((*first.listed_modalities, *other.listed_modalities)),
            series_count=_most(first.series_count, other.series_count),
            instance_count=_most(first.instance_count, other.instance_count),
        )
    return replace(first, series=_merged_series([one for copy in copies for one in copy.series]))


def state_of(dataset: Mapping[str, Any]) -> str:
    """What tells one state of a study in one archive from the next; nobody reads it, it is only compared."""
    return "\n".join(f"{tag}={sorted(map(repr, values(dataset, tag)))}" for tag in STUDY_FIELDS)


def started_of(dataset: Mapping[str, Any], date_tag: str, time_tag: str) -> str | None:
    """A FHIR dateTime from a date and a time: with its time only where the zone is stated too; None without a date."""
    day = _day(first_text(dataset, date_tag))
    time = _TIME.fullmatch(first_text(dataset, time_tag) or "")
    zone = _OFFSET.fullmatch(first_text(dataset, TIMEZONE_OFFSET) or "")
    if day is None or time is None or zone is None or zone[0] == "-0000":
        return day
    fraction = (time[4] or "").rstrip("0").rstrip(".")
    offset = f"{zone[1]}{zone[2] or zone[4]}:{zone[3] or zone[5]}"
    return f"{day}T{time[1]}:{time[2]}:{time[3] or '00'}{fraction}{offset}"


def _day(stated: str | None) -> str | None:
    match = _DATE.fullmatch(stated or "")
    try:
        return date(int(match[1]), int(match[2]), int(match[3])).isoformat() if match else None
    except ValueError:
        return None


def _merged_series(series: Iterable[ArchivedSeries]) -> tuple[ArchivedSeries, ...]:
    by_uid: dict[str, ArchivedSeries] = {}
    for one in series:
        known = by_uid.get(one.uid)
        if known is None:
            by_uid[one.uid] = one
            continue
        fuller = one if len(one.instances) > len(known.instances) else known
        count = _most(known.instance_count, one.instance_count)
        by_uid[one.uid] = replace(fuller, archives=_unique((*known.archives, *one.archives)), instance_count=count)
    return tuple(sorted(by_uid.values(), key=lambda one: (one.number is None, one.number or 0, one.uid)))


def _words(dataset: Mapping[str, Any], tag: str) -> str | None:
    """A text without control characters, which FHIR strings may not hold."""
    stated = first_text(dataset, tag) or ""
    return "".join(mark if mark.isprintable() else " " for mark in stated).strip() or None


def _codes(dataset: Mapping[str, Any], tag: str) -> tuple[str, ...]:
    """Code strings; some archives put several into one value, separated by a backslash as in the file."""
    stated = [part.strip() for value in values(dataset, tag) if isinstance(value, str) for part in value.split("\\")]
    return _unique(code for code in stated if _CODE.fullmatch(code))


def _number(dataset: Mapping[str, Any], tag: str) -> int | None:
    """An integer string, which DICOM JSON may carry as a number or as text; None below zero or beyond FHIR's numbers."""
    found = values(dataset, tag)
    stated = found[0] if found else None
    if isinstance(stated, str):
        bare = stated.strip().removeprefix("+")
        stated = int(bare) if bare.isascii() and bare.isdigit() and len(bare) <= 12 else None
    if isinstance(stated, float) and stated.is_integer():
        stated = int(stated)
    if not isinstance(stated, int) or isinstance(stated, bool):
        return None
    return stated if 0 <= stated <= MAX_NUMBER else None


def _most(*counts: int | None) -> int | None:
    return max((one for one in counts if one is not None), default=None)


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
