"""What a request of another application leaves of a session: whether it means the session's patient, and which studies.

Spec: IHE Radiology, Invoke Image Display (RAD-106); smart-imaging.md §4 (never treat ``patientID`` as identity).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from enum import Enum, auto
from math import isfinite
from typing import Any

from fhir_imaging.texts import gettext
from fhir_imaging.tolerant import dicts, text
from smart_app.invoke_display import Bound, PatientWanted, StudiesWanted
from smart_app.study_list import StudyRow


class PatientVerdict(Enum):
    """Whether the patient asked for is the session's."""

    SAME = auto()
    OTHER = auto()
    CANNOT_BE_COMPARED = auto()


def judge_patient(patient: Mapping[str, Any] | None, wanted: PatientWanted) -> PatientVerdict:
    """Compares ``patientID`` with the identifiers of the session's Patient, within its issuer only.

    Equal numbers of two issuers are two people. A birth date that contradicts the record speaks against it too. A number that
    the record calls old identifies nobody: it may have been given to somebody else since.
    """
    if patient is None or not wanted.patient.systems:
        return PatientVerdict.CANNOT_BE_COMPARED
    in_use = [one for one in dicts(patient.get("identifier")) if one.get("use") != "old"]
    known = {text(one.get("value")) for one in in_use if one.get("system") in wanted.patient.systems}
    if not known:
        return PatientVerdict.CANNOT_BE_COMPARED
    if wanted.patient.value not in known:
        return PatientVerdict.OTHER
    born = text(patient.get("birthDate")) or ""
    contradicts = wanted.birth_date is not None and len(born) == len("1964-03-02") and born != wanted.birth_date.isoformat()
    return PatientVerdict.OTHER if contradicts else PatientVerdict.SAME


def find_studies(rows: Iterable[StudyRow], wanted: StudiesWanted) -> list[StudyRow] | None:
    """The patient's studies that the request names, in its order; None when one of them is not this patient's."""
    listed = list(rows)
    found: list[StudyRow] = []
    for uid in wanted.uids:
        found += (matching := [row for row in listed if row.study_instance_uid == uid])
        if not matching:
            return None
    for accession in wanted.accessions:
        found += (matching := [row for row in listed if row.accession == accession])
        if not matching:
            return None
    return list({row.study_instance_uid: row for row in found}.values())


def narrow(rows: Iterable[StudyRow], wanted: PatientWanted, zone: tzinfo) -> tuple[StudyRow, ...]:
    """The rows inside the time range and of the modalities asked for, of these the most recent.

    ``zone`` is the site's, for times without one. A study without a date is in every range, and never among the most recent.
    """
    kept = [row for row in rows if _has_modality(row, wanted.modalities) and _is_within(row, wanted, zone)]
    if wanted.most_recent is None:
        return tuple(kept)
    dated = sorted(filter(_is_dated, kept), key=lambda row: row.sort_key, reverse=True)
    return tuple(dated[: wanted.most_recent])


def in_words(wanted: PatientWanted) -> str:
    """What was asked for, for the list's notice."""
    return ", ".join(_words(wanted))


def _words(wanted: PatientWanted) -> Iterator[str]:
    if wanted.modalities:
        yield gettext(" or ").join(wanted.modalities)
    if wanted.lower:
        yield gettext("from {day}").format(day=f"{wanted.lower.moment:%Y-%m-%d}")
    if wanted.upper:
        yield gettext("until {day}").format(day=f"{wanted.upper.moment:%Y-%m-%d}")
    if wanted.most_recent is not None:
        yield gettext("the most recent {number}").format(number=wanted.most_recent)


def _has_modality(row: StudyRow, wanted: tuple[str, ...]) -> bool:
    return not wanted or bool(set(wanted) & set(row.modalities))


def _is_within(row: StudyRow, wanted: PatientWanted, zone: tzinfo) -> bool:
    if not _is_dated(row):
        return True
    after = wanted.lower is None or _compare(row, wanted.lower, zone) >= 0
    return after and (wanted.upper is None or _compare(row, wanted.upper, zone) <= 0)


def _compare(row: StudyRow, bound: Bound, zone: tzinfo) -> int:
    """-1, 0 or 1; by the day where either of the two is only a day."""
    # A bare date is kept as its midnight in UTC.
    started = datetime.fromtimestamp(row.sort_key, UTC)
    if bound.is_date or row.time is None:
        day = started.date() if row.time is None else started.astimezone(zone).date()
        return (day > bound.moment.date()) - (day < bound.moment.date())
    limit = bound.moment if bound.moment.tzinfo else bound.moment.replace(tzinfo=zone)
    return (started > limit) - (started < limit)


def _is_dated(row: StudyRow) -> bool:
    return isfinite(row.sort_key)
