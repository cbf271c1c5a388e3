"""Query parameters, by name and value: only what is known here goes to an archive.

Archives ignore names that they do not know, so a typo or another spelling would silently remove a filter (PS3.18 §8.3.4);
here every unknown, repeated or oddly written name is refused.

Spec: DICOM PS3.18 §8.3.4, §10.6.1 (search), §8.3.5 (rendering); SMART Imaging Access group 14.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fhir_imaging.errors import InvalidRequest
from fhir_imaging.uids import StudyInstanceUID, is_uid
from imaging_server.resource import DicomResource, Kind, Level

MAX_QUERY_LENGTH = 8000
MAX_VALUE_LENGTH = 400
MAX_UIDS = 200

_STUDY_ATTRIBUTES = {
    "StudyDate": "00080020",
    "StudyTime": "00080030",
    "AccessionNumber": "00080050",
    "ModalitiesInStudy": "00080061",
    "ReferringPhysicianName": "00080090",
    "StudyDescription": "00081030",
    "PatientName": "00100010",
    "PatientID": "00100020",
    "IssuerOfPatientID": "00100021",
    "PatientBirthDate": "00100030",
    "PatientSex": "00100040",
    "StudyInstanceUID": "0020000D",
    "StudyID": "00200010",
}
_SERIES_ATTRIBUTES = {
    "SeriesDate": "00080021",
    "Modality": "00080060",
    "SeriesDescription": "0008103E",
    "BodyPartExamined": "00180015",
    "SeriesInstanceUID": "0020000E",
    "SeriesNumber": "00200011",
    "Laterality": "00200060",
    "PerformedProcedureStepStartDate": "00400244",
    "PerformedProcedureStepStartTime": "00400245",
}
_INSTANCE_ATTRIBUTES = {
    "SOPClassUID": "00080016",
    "SOPInstanceUID": "00080018",
    "InstanceNumber": "00200013",
    "NumberOfFrames": "00280008",
    "Rows": "00280010",
    "Columns": "00280011",
    "BitsAllocated": "00280100",
}
_UID_ATTRIBUTES = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"})
_ALL = {**_STUDY_ATTRIBUTES, **_SERIES_ATTRIBUTES, **_INSTANCE_ATTRIBUTES}
_BY_TAG = {tag: keyword for keyword, tag in _ALL.items()}
_ALLOWED = {
    Level.STUDY: frozenset(_STUDY_ATTRIBUTES),
    Level.SERIES: frozenset(_STUDY_ATTRIBUTES) | frozenset(_SERIES_ATTRIBUTES),
    Level.INSTANCE: frozenset(_ALL),
}
_SEARCH_OPTIONS = frozenset({"includefield", "limit", "offset", "fuzzymatching", "accept"})

_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_INCLUDED = re.compile(
    r"(?:[0-9A-Fa-f]{8}|[A-Z][A-Za-z0-9]{0,63})(?:\.(?:[0-9A-Fa-f]{8}|[A-Z][A-Za-z0-9]{0,63})){0,4}|all", re.ASCII
)
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_RENDERING = {
    "quality": re.compile(r"[1-9][0-9]?|100", re.ASCII),
    # Four digits are more than any screen has, and Debian's Orthanc ends with one that it has no room for, or of no width.
    "viewport": re.compile(r"[1-9][0-9]{0,3},[1-9][0-9]{0,3}(?:,[0-9.,\-]{1,90})?", re.ASCII),
    "window": re.compile(r"-?[0-9.]{1,16},-?[0-9.]{1,16},(?:linear|linear-exact|sigmoid)", re.ASCII),
    "annotation": re.compile(r"(?:patient|technique)(?:,(?:patient|technique))?", re.ASCII),
    "iccprofile": re.compile(r"no|yes|srgb|adobergb|rommrgb|displayp3", re.ASCII),
}
_THUMBNAIL_OPTIONS = ("viewport",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A checked search: ``matches`` by DICOM keyword; StudyInstanceUID stands apart in ``studies`` (None = not named)."""

    matches: tuple[tuple[str, str], ...] = ()
    studies: tuple[StudyInstanceUID, ...] | None = None
    include: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    accept: str | None = None

    def upstream(self, *, paged: bool) -> list[tuple[str, str]]:
        """Names and values for the archive, without StudyInstanceUID; ``limit`` and ``offset`` only when ``paged``."""
        query = [*self.matches, *(("includefield", name) for name in self.include)]
        if self.fuzzy:
            query.append(("fuzzymatching", "true"))
        if paged and self.limit is not None:
            query.append(("limit", str(self.limit)))
        if paged and self.offset:
            query.append(("offset", str(self.offset)))
        return query


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveQuery:
    """The checked query of a retrieval: rendering options as they go to the archive, ``accept`` for negotiation only."""

    options: tuple[tuple[str, str], ...] = ()
    accept: str | None = None


def parse_query(query_string: bytes) -> tuple[tuple[str, str], ...]:
    """Names and values in their order. InvalidRequest for what is too long, not ASCII, not UTF-8 or has control characters."""
    if len(query_string) > MAX_QUERY_LENGTH:
        raise InvalidRequest("The query is too long.", code="query-too-long")
    try:
        text = query_string.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=100)
    except ValueError as exc:
        raise InvalidRequest("The query cannot be read.", code="query-not-understood") from exc
    if any(not mark.isprintable() for name, value in pairs for mark in name + value):
        raise InvalidRequest("The query holds control characters.", code="query-not-understood")
    return tuple(pairs)


def parse_search(pairs: Sequence[tuple[str, str]], level: Level) -> SearchQuery:
    """A search at one level. InvalidRequest for unknown, repeated or misspelt names and for values that cannot be."""
    matches: dict[str, str] = {}
    options: dict[str, str] = {}
    include: list[str] = []
    for name, value in pairs:
        if name == "includefield":
            include += _included(value)
        elif name in _SEARCH_OPTIONS:
            once(options, name, value)
        else:
            once(matches, _keyword(name, level), value)
    studies = _uids(matches.pop("StudyInstanceUID")) if matches.get("StudyInstanceUID") else None
    matches.pop("StudyInstanceUID", None)
    return SearchQuery(
        matches=tuple((keyword, _match_value(keyword, value)) for keyword, value in matches.items() if value),
        studies=None if studies is None else tuple(StudyInstanceUID(uid) for uid in studies),
        include=tuple(dict.fromkeys(include)),
        limit=_count(options, "limit"),
        offset=_count(options, "offset") or 0,
        fuzzy=_flag(options, "fuzzymatching"),
        accept=options.get("accept"),
    )


def parse_retrieval(pairs: Sequence[tuple[str, str]], resource: DicomResource) -> RetrieveQuery:
    """The query of a retrieval. InvalidRequest for anything that this kind of resource does not have."""
    allowed: Iterable[str] = ()
    if resource.kind is Kind.RENDERED:
        allowed = _RENDERING
    elif resource.kind is Kind.THUMBNAIL:
        allowed = _THUMBNAIL_OPTIONS
    options: dict[str, str] = {}
    for name, value in pairs:
        if name != "accept" and (name not in allowed or not _RENDERING[name].fullmatch(value)):
            raise refused(name)
        once(options, name, value)
    accept = options.pop("accept", None)
    return RetrieveQuery(options=tuple(options.items()), accept=accept)


def _keyword(name: str, level: Level) -> str:
    keyword = _BY_TAG.get(name.upper(), "") if _TAG.fullmatch(name) else name
    if keyword not in _ALLOWED[level]:
        raise refused(name)
    return keyword


def _match_value(keyword: str, value: str) -> str:
    if len(value) > MAX_VALUE_LENGTH and keyword not in _UID_ATTRIBUTES:
        raise InvalidRequest(f"The value of {keyword} is too long.", code="value-too-long")
    return ",".join(_uids(value)) if keyword in _UID_ATTRIBUTES else value


def _uids(value: str) -> list[str]:
    """A list of UIDs as PS3.18 writes it, separated by commas or by backslashes."""
    uids = value.replace("\\", ",").split(",")
    if len(uids) > MAX_UIDS or not all(is_uid(uid) for uid in uids):
        raise InvalidRequest("A UID in the query is not a DICOM UID.", code="not-a-uid")
    return list(dict.fromkeys(uids))


def _included(value: str) -> list[str]:
    names = value.split(",")
    if not all(_INCLUDED.fullmatch(name) for name in names):
        raise InvalidRequest("includefield names something that is no attribute.", code="includefield-not-understood")
    return names


def once(into: dict[str, str], name: str, value: str) -> None:
    """Notes a parameter; InvalidRequest when it was given before."""
    if name in into:
        raise InvalidRequest(f"{name} may be given once only.", code="parameter-repeated")
    into[name] = value


def _count(options: dict[str, str], name: str) -> int | None:
    if name not in options:
        return None
    if not _COUNT.fullmatch(options[name]):
        raise InvalidRequest(f"{name} must be a number.", code="value-not-understood")
    return int(options[name])


def _flag(options: dict[str, str], name: str) -> bool:
    value = options.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidRequest(f"{name} must be true or false.", code="value-not-understood")
    return value == "true"


def refused(name: str) -> InvalidRequest:
    """The refusal of a parameter that is unknown here, or has a value that cannot be; odd names are not echoed."""
    shown = name if re.fullmatch(r"[A-Za-z0-9_]{1,64}", name, re.ASCII) else "(unreadable)"
    return InvalidRequest(f"The query parameter {shown} is not offered at this address.", code="parameter-not-offered")
