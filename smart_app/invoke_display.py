"""What another application asks to see by IHE Invoke Image Display, read fully and judged by nothing but its own words.

The request carries no sign-in: it is a wish inside a session that a launch has opened, and narrows what is shown there.

Spec: IHE Radiology, Invoke Image Display (RAD-106); smart-imaging.md §4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from fhir_imaging.study import parse_datetime
from fhir_imaging.uids import StudyInstanceUID, is_uid, study_uid

MOST_STUDIES = 50
"""More keys than this in one request are no list that a person made."""
_MAX_VALUE = 4000
_CODE = re.compile(r"[A-Z]{2,16}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_BASIC_REVIEW = "IHE_BIR"
# Written by name because the field disagrees about capitals ("Accessionnumber" is seen in the field).
_NAMES = {
    name.lower(): name
    for name in (
        "requestType",
        "studyUID",
        "accessionNumber",
        "patientID",
        "patientName",
        "patientBirthDate",
        "lowerDateTime",
        "upperDateTime",
        "mostRecentResults",
        "modalitiesInStudy",
        "viewerType",
        "diagnosticQuality",
        "keyImagesOnly",
    )
}


class DisplayFault(StrEnum):
    """Why a request cannot be answered; the words are for whoever built the link."""

    NO_REQUEST_TYPE = "requestType is missing; it must be PATIENT or STUDY."
    UNKNOWN_REQUEST_TYPE = "requestType must be PATIENT or STUDY."
    GIVEN_TWICE = "A parameter is given twice with different values."
    TOO_LONG = "A parameter is too long."
    BOTH_STUDY_KEYS = "studyUID and accessionNumber are both given; a STUDY request names its studies by one of them."
    NO_STUDY_KEY = "A STUDY request needs studyUID or accessionNumber."
    NOT_A_UID = "studyUID holds something that is no DICOM UID."
    TOO_MANY = f"More than {MOST_STUDIES} studies are named."
    NO_PATIENT_ID = "A PATIENT request needs patientID."
    PATIENT_ID_UNREADABLE = "patientID must be written as id^^^issuer."
    NOT_A_DATE = "lowerDateTime, upperDateTime and patientBirthDate must be dates, as 2026-01-31 or 2026-01-31T08:30:00."
    DATES_CROSSED = "lowerDateTime is later than upperDateTime."
    NOT_A_COUNT = "mostRecentResults must be a whole number of 1 or more."
    NOT_A_MODALITY = "modalitiesInStudy must hold DICOM modality codes, as CT or MR."
    NOT_A_FLAG = "diagnosticQuality and keyImagesOnly must be true or false."
    VIEWER_TYPE_UNKNOWN = "This viewerType is not known here."
    BASIC_REVIEW_NOT_CLAIMED = "This viewer has not been shown to meet IHE Basic Image Review (viewerType IHE_BIR)."
    NOT_DIAGNOSTIC = "This viewer is not for diagnostic use (diagnosticQuality true)."


NOT_OFFERED = frozenset({DisplayFault.VIEWER_TYPE_UNKNOWN, DisplayFault.BASIC_REVIEW_NOT_CLAIMED, DisplayFault.NOT_DIAGNOSTIC})
"""Requests that are well formed and ask for more than there is; without that wish they can be answered."""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request that is not answered as it stands."""

    fault: DisplayFault


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiesWanted:
    """A STUDY request: by UIDs or by accession numbers, in the order given."""

    uids: tuple[StudyInstanceUID, ...] = ()
    accessions: tuple[str, ...] = ()
    key_images_only: bool = False


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """``patientID`` taken apart: CX.1 and what CX.4 may mean as a FHIR identifier's system (empty: no issuer was given)."""

    value: str
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a time range. A bare date has no time of day; a time without zone is the site's."""

    moment: datetime
    is_date: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientWanted:
    """A PATIENT request: whose studies the other application means, and which of them."""

    patient: PatientIdentifier
    birth_date: date | None = None
    lower: Bound | None = None
    upper: Bound | None = None
    most_recent: int | None = None
    modalities: tuple[str, ...] = ()
    key_images_only: bool = False

    @property
    def narrows(self) -> bool:
        """Whether fewer than all of the patient's studies are asked for."""
        return any((self.lower, self.upper, self.most_recent, self.modalities))


class _Unusable(Exception):
    def __init__(self, fault: DisplayFault) -> None:
        super().__init__(fault)
        self.fault = fault


def read_request(query: Iterable[tuple[str, str]]) -> StudiesWanted | PatientWanted | RequestRefused:
    """The request in a query string's pairs. Names of other profiles and vendors (``idCDA`` …) say nothing here."""
    try:
        given = _parameters(query)
        kind = given.get("requestType", "").upper()
        if not kind:
            raise _Unusable(DisplayFault.NO_REQUEST_TYPE)
        if kind not in ("PATIENT", "STUDY"):
            raise _Unusable(DisplayFault.UNKNOWN_REQUEST_TYPE)
        wanted = _studies(given) if kind == "STUDY" else _patient(given)
        _check_viewer(given)
    except _Unusable as unusable:
        return RequestRefused(unusable.fault)
    return wanted


def without_wishes(query: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same request without what this viewer does not offer, for somebody who wants to go on all the same."""
    return [(name, value) for name, value in query if name.lower() not in ("viewertype", "diagnosticquality")]


def _parameters(query: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    given: dict[str, str] = {}
    for stated, value in query:
        name, value = _NAMES.get(stated.lower()), value.strip()
        if name is None or not value:
            continue
        if len(value) > _MAX_VALUE:
            raise _Unusable(DisplayFault.TOO_LONG)
        if given.setdefault(name, value) != value:
            raise _Unusable(DisplayFault.GIVEN_TWICE)
    return given


def _studies(given: Mapping[str, str]) -> StudiesWanted:
    uids, accessions = _listed(given.get("studyUID", "")), _listed(given.get("accessionNumber", ""))
    if uids and accessions:
        raise _Unusable(DisplayFault.BOTH_STUDY_KEYS)
    if not uids and not accessions:
        raise _Unusable(DisplayFault.NO_STUDY_KEY)
    if max(len(uids), len(accessions)) > MOST_STUDIES:
        raise _Unusable(DisplayFault.TOO_MANY)
    if not all(map(is_uid, uids)):
        raise _Unusable(DisplayFault.NOT_A_UID)
    return StudiesWanted(
        uids=tuple(map(study_uid, uids)), accessions=accessions, key_images_only=_flag(given.get("keyImagesOnly"))
    )


def _patient(given: Mapping[str, str]) -> PatientWanted:
    if "patientID" not in given:
        raise _Unusable(DisplayFault.NO_PATIENT_ID)
    lower, upper = _bound(given.get("lowerDateTime")), _bound(given.get("upperDateTime"))
    if lower and upper and lower.moment.replace(tzinfo=None) > upper.moment.replace(tzinfo=None) and _same_clock(lower, upper):
        raise _Unusable(DisplayFault.DATES_CROSSED)
    born = _bound(given.get("patientBirthDate"))
    return PatientWanted(
        patient=_identifier(given["patientID"]),
        birth_date=born.moment.date() if born else None,
        lower=lower,
        upper=upper,
        most_recent=_count(given.get("mostRecentResults")),
        modalities=_modalities(given.get("modalitiesInStudy", "")),
        key_images_only=_flag(given.get("keyImagesOnly")),
    )


def _check_viewer(given: Mapping[str, str]) -> None:
    """Last, so that a request that is wrong anyhow is told so."""
    viewer = given.get("viewerType")
    if viewer is not None:
        claimed = viewer.upper() == _BASIC_REVIEW
        raise _Unusable(DisplayFault.BASIC_REVIEW_NOT_CLAIMED if claimed else DisplayFault.VIEWER_TYPE_UNKNOWN)
    if _flag(given.get("diagnosticQuality")):
        raise _Unusable(DisplayFault.NOT_DIAGNOSTIC)


def _listed(value: str) -> tuple[str, ...]:
    """A list with commas; earlier OHIF releases wrote semicolons."""
    return tuple(dict.fromkeys(part for part in (part.strip() for part in re.split("[,;]", value)) if part))


def _identifier(cx: str) -> PatientIdentifier:
    """HL7 v2 CX: the id, and after three carets its issuer, plain or as an HD (``namespace&id&type``)."""
    components = cx.split("^")
    if not components[0].strip():
        raise _Unusable(DisplayFault.PATIENT_ID_UNREADABLE)
    return PatientIdentifier(components[0].strip(), _systems(components[3].strip() if len(components) > 3 else ""))


def _systems(issuer: str) -> tuple[str, ...]:
    namespace, _, universal = issuer.partition("&")
    universal_id = universal.partition("&")[0].strip()
    plain = [part for part in (namespace.strip(), universal_id) if part]
    return tuple(dict.fromkeys([*plain, *(f"urn:oid:{part}" for part in plain if is_uid(part))]))


def _bound(value: str | None) -> Bound | None:
    if value is None:
        return None
    # DICOM's own form (20260131) is seen beside the one that the profile asks for.
    packed = re.fullmatch(r"([0-9]{4})([0-9]{2})([0-9]{2})", value, re.ASCII)
    # A plus sign that nobody encoded arrives as a space.
    stated = "-".join(packed.groups()) if packed else value.replace(" ", "+" if "T" in value else "T")
    moment = parse_datetime(stated)
    if moment is None or len(stated) < len("2026-01-31"):
        raise _Unusable(DisplayFault.NOT_A_DATE)
    return Bound(moment, is_date=len(stated) == len("2026-01-31"))


def _same_clock(lower: Bound, upper: Bound) -> bool:
    return lower.moment.utcoffset() == upper.moment.utcoffset()


def _count(value: str | None) -> int | None:
    if value is None:
        return None
    if not _COUNT.fullmatch(value) or int(value) < 1:
        raise _Unusable(DisplayFault.NOT_A_COUNT)
    return int(value)


def _modalities(value: str) -> tuple[str, ...]:
    # DICOM's own separator of values is a backslash.
    codes = tuple(code.upper() for code in _listed(value.replace("\\", ",")))
    if not all(map(_CODE.fullmatch, codes)):
        raise _Unusable(DisplayFault.NOT_A_MODALITY)
    return codes


def _flag(value: str | None) -> bool:
    if value is not None and value.lower() not in ("true", "false"):
        raise _Unusable(DisplayFault.NOT_A_FLAG)
    return value is not None and value.lower() == "true"
