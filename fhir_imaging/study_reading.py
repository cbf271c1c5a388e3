"""DICOM JSON search answers and metadata, read tolerantly into studies, series and instances.

Spec: DICOM PS3.18 §10.6.3 (search answers), PS3.5 §6.2 (IS, CS).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fhir_imaging.archived_study import MAX_NUMBER, ArchivedInstance, ArchivedSeries, ArchivedStudy, InstanceAvailability
from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    MODALITIES_IN_STUDY,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    values,
    whole_text,
)
from fhir_imaging.study_times import TIMEZONE_OFFSET, started
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid

ACCESSION_NUMBER = "00080050"
BODY_PART_EXAMINED = "00180015"
INSTANCE_AVAILABILITY = "00080056"
"""Nobody asks for it by name: an archive that knows it says it of itself (PS3.18 §10.6.3.3)."""
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

STUDY_FIELDS = (
    *(STUDY_INSTANCE_UID, PATIENT_ID, ISSUER_OF_PATIENT_ID, STUDY_DATE, STUDY_TIME, TIMEZONE_OFFSET),
    *(ACCESSION_NUMBER, STUDY_DESCRIPTION, MODALITIES_IN_STUDY, NUMBER_OF_STUDY_SERIES, NUMBER_OF_STUDY_INSTANCES),
)
"""What a study's description is made of; with the availability also what tells one state of it from the next."""
SERIES_FIELDS = (
    *(STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SERIES_NUMBER, MODALITY, SERIES_DESCRIPTION, BODY_PART_EXAMINED),
    *(NUMBER_OF_SERIES_INSTANCES, SERIES_DATE, SERIES_TIME, TIMEZONE_OFFSET),
)
INSTANCE_FIELDS = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, SOP_CLASS_UID, INSTANCE_NUMBER)

# At most 16 characters, and single blanks only: FHIR has no code with two.
_CODE = re.compile(r"(?=.{1,16}\Z)[A-Z0-9_]+(?: [A-Z0-9_]+)*", re.ASCII)


def archived_study(dataset: Mapping[str, Any], archive: str) -> ArchivedStudy | None:
    """The study of one search match; None when it names none."""
    uid = whole_text(dataset, STUDY_INSTANCE_UID)
    if uid is None or not is_uid(uid):
        return None
    return ArchivedStudy(
        uid=StudyInstanceUID(uid),
        archives=(archive,),
        started=started(dataset, STUDY_DATE, STUDY_TIME, zone=None),
        accession=words_in(dataset, ACCESSION_NUMBER),
        description=words_in(dataset, STUDY_DESCRIPTION),
        listed_modalities=codes_in(dataset, MODALITIES_IN_STUDY),
        series_count=number_in(dataset, NUMBER_OF_STUDY_SERIES),
        instance_count=number_in(dataset, NUMBER_OF_STUDY_INSTANCES),
        availability=availability_in(dataset),
    )


def archived_series(dataset: Mapping[str, Any], archive: str) -> ArchivedSeries | None:
    """The series of one search match; None when it names none."""
    uid = whole_text(dataset, SERIES_INSTANCE_UID)
    if uid is None or not is_uid(uid):
        return None
    return ArchivedSeries(
        uid=SeriesInstanceUID(uid),
        archives=(archive,),
        number=number_in(dataset, SERIES_NUMBER),
        modality=next(iter(codes_in(dataset, MODALITY)), None),
        description=words_in(dataset, SERIES_DESCRIPTION),
        body_part=words_in(dataset, BODY_PART_EXAMINED),
        started=started(dataset, SERIES_DATE, SERIES_TIME, zone=None),
        instance_count=number_in(dataset, NUMBER_OF_SERIES_INSTANCES),
    )


def archived_instance(dataset: Mapping[str, Any]) -> ArchivedInstance | None:
    """The instance of one search match; None without both of its UIDs, which FHIR demands."""
    uid, sop_class = whole_text(dataset, SOP_INSTANCE_UID), whole_text(dataset, SOP_CLASS_UID)
    if uid is None or sop_class is None or not (is_uid(uid) and is_uid(sop_class)):
        return None
    return ArchivedInstance(uid=SopInstanceUID(uid), sop_class=sop_class, number=number_in(dataset, INSTANCE_NUMBER))


def state_of(dataset: Mapping[str, Any]) -> str:
    """What tells one state of a study in one archive from the next; nobody reads it, it is only compared."""
    return "\n".join(f"{tag}={sorted(map(repr, values(dataset, tag)))}" for tag in (*STUDY_FIELDS, INSTANCE_AVAILABILITY))


def availability_in(dataset: Mapping[str, Any]) -> InstanceAvailability | None:
    """How soon the images can be had; None where a search match does not say, or says what DICOM does not know."""
    stated = next(iter(codes_in(dataset, INSTANCE_AVAILABILITY)), None)
    return InstanceAvailability(stated) if stated in set(InstanceAvailability) else None


def words_in(dataset: Mapping[str, Any], tag: str) -> str | None:
    """``whole_text`` without control characters, which FHIR strings may not hold."""
    return printable(whole_text(dataset, tag))


def printable(stated: str | None) -> str | None:
    """The words of a text with blanks in place of control characters; None when nothing is left."""
    if stated is None or (stated.isprintable() and stated.strip() == stated):
        return stated or None
    return "".join(mark if mark.isprintable() else " " for mark in stated).strip() or None


def codes_in(dataset: Mapping[str, Any], tag: str) -> tuple[str, ...]:
    """Code strings; some archives put several into one value, separated by a backslash as in the file."""
    stated = [part.strip() for value in values(dataset, tag) if isinstance(value, str) for part in value.split("\\")]
    return _unique(code for code in stated if _CODE.fullmatch(code))


def number_in(dataset: Mapping[str, Any], tag: str) -> int | None:
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


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
