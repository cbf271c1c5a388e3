"""Searches for ImagingStudy: parameters parsed strictly, and whether a study meets them.

An unknown parameter is refused by name unless the caller asks for leniency: a filter that silently falls away shows too much.

Spec: FHIR R4 Search (handling of unknown parameters, token and date parameters, ``_include``, ``_sort``, ``_count``);
SMART Imaging Access F1, F2, F6, M6, M11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.errors import InvalidRequest
from fhir_imaging.fhir_mapping.concepts import DCM
from fhir_imaging.fhir_mapping.study_dialects import UNKNOWN_MODALITY
from fhir_imaging.uids import DICOM_UID_SYSTEM, from_urn
from imaging_server.fhir_dates import DateCondition, Stated, parse_condition, stated_datetime

USUAL_COUNT = 20
MAX_COUNT = 100
"""Studies on one page: the archive is asked for the series of each."""
MAX_ALTERNATIVES = 100
STUDY_STATUSES = "http://hl7.org/fhir/imagingstudy-status"

_PATIENT_NAMES = ("patient", "subject")
_FILTERS = ("_id", "_lastUpdated", "identifier", "modality", "started", "status")
_CONTROLS = ("_include", "_sort", "_count", "_format", "_total")
OFFERED = frozenset({*_PATIENT_NAMES, *_FILTERS, *_CONTROLS})
"""Every parameter that is understood."""

_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_INCLUDES = frozenset({"ImagingStudy:endpoint", "ImagingStudy:endpoint:Endpoint"})
_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,64}", re.ASCII)


class SortKey(StrEnum):
    """What a list may be sorted by."""

    STARTED = "started"
    LAST_UPDATED = "_lastUpdated"


@dataclass(frozen=True, slots=True)
class Token:
    """``system|code``, ``|code`` (no system), ``code`` (any system: ``system`` None) or ``system|`` (any code: empty)."""

    system: str | None
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySearch:
    """A checked search. Of each filter's groups every one must be met, by any of its alternatives."""

    ids: tuple[frozenset[str], ...] = ()
    identifiers: tuple[tuple[Token, ...], ...] = ()
    modalities: tuple[tuple[Token, ...], ...] = ()
    statuses: tuple[tuple[Token, ...], ...] = ()
    started: tuple[tuple[DateCondition, ...], ...] = ()
    last_updated: tuple[tuple[DateCondition, ...], ...] = ()
    includes_endpoints: bool = False
    sort: SortKey = SortKey.STARTED
    newest_first: bool = True
    count: int = USUAL_COUNT

    @property
    def named_studies(self) -> frozenset[str] | None:
        """The only studies that can be found, where the search names them by UID; None when it does not."""
        named = [*self.ids, *(uids for group in self.identifiers if (uids := _uids(group)) is not None)]
        return frozenset.intersection(*named) if named else None

    def finds(self, study: ArchivedStudy, last_updated: Stated) -> bool:
        """Whether a study meets every condition."""
        return (
            all(study.uid in group for group in self.ids)
            and all(_is_any(group, identifier_tokens(study)) for group in self.identifiers)
            and all(_is_any(group, _modality_tokens(study)) for group in self.modalities)
            and all(_is_any(group, [Token(STUDY_STATUSES, "available")]) for group in self.statuses)
            and all(any(one.holds_for(last_updated) for one in group) for group in self.last_updated)
            and all(_started(group, study) for group in self.started)
        )


def named_patients(pairs: Iterable[tuple[str, str]], fhir_base: str) -> tuple[str, ...]:
    """Every patient that a search names, as logical ids; what is no reference into this EHR stays as it was written.

    Which of them the token is for, is for the gate to say: two different ones never are (M6).
    """
    said = (value for name, value in pairs if value and name.split(":", 1)[0] in _PATIENT_NAMES)
    values = [part for value in said for part in split(value, ",")]
    prefixes = (f"{fhir_base.rstrip('/')}/Patient/", "Patient/")
    bare = (next((one.removeprefix(p) for p in prefixes if one.startswith(p)), one) for one in values)
    # An empty one stays: it names nobody, and so nobody's patient.
    return tuple(dict.fromkeys(bare))


def offered_pairs(pairs: Sequence[tuple[str, str]], *, lenient: bool) -> tuple[tuple[str, str], ...]:
    """The parameters that are understood. InvalidRequest names the first other one, unless ``lenient``."""
    for name, _ in pairs:
        if name not in OFFERED and not lenient:
            raise InvalidRequest(f"The search parameter {_shown(name)} is not offered here.", code="parameter-not-offered")
    return tuple((name, value) for name, value in pairs if name in OFFERED)


def parse_study_search(pairs: Sequence[tuple[str, str]]) -> StudySearch:
    """A search out of parameters that are all offered. InvalidRequest for values that cannot be, and without a patient."""
    by_name: dict[str, list[str]] = {}
    for name, value in pairs:
        by_name.setdefault(name, []).append(value)
    if not any(value for name in _PATIENT_NAMES for value in by_name.get(name, ())):
        raise InvalidRequest(
            "Name the patient: ImagingStudy?patient={id of the token's patient}.", code="patient-parameter-missing"
        )
    _check_total(by_name)
    sort, newest_first = _sort(by_name)
    return StudySearch(
        ids=tuple(frozenset(_alternatives(one, "_id")) for one in by_name.get("_id", ())),
        identifiers=_tokens(by_name, "identifier"),
        modalities=_tokens(by_name, "modality"),
        statuses=_tokens(by_name, "status"),
        started=_dates(by_name, "started"),
        last_updated=_dates(by_name, "_lastUpdated"),
        includes_endpoints=_includes(by_name),
        sort=sort,
        newest_first=newest_first,
        count=_count(by_name),
    )


def split(value: str, mark: str) -> list[str]:
    r"""The pieces between unescaped marks; ``\,``, ``\|``, ``\$`` and ``\\`` stand for the mark itself."""
    return [re.sub(r"\\([,|$\\])", r"\1", piece) for piece in _pieces(value, mark)]


def identifier_tokens(study: ArchivedStudy) -> list[Token]:
    """The identifiers that the study's resource carries; a UID counts in every spelling that clients use."""
    tokens = [Token(DICOM_UID_SYSTEM, f"urn:oid:{study.uid}"), Token(DICOM_UID_SYSTEM, study.uid)]
    return [*tokens, Token(study.accession_system or "", study.accession)] if study.accession else tokens


def _pieces(value: str, mark: str) -> list[str]:
    pieces, start, at = [], 0, 0
    while at < len(value):
        if value[at] == "\\":
            at += 1
        elif value[at] == mark:
            pieces.append(value[start:at])
            start = at + 1
        at += 1
    return [*pieces, value[start:]]


def _alternatives(value: str, name: str) -> list[str]:
    """The alternatives between commas."""
    _raw_alternatives(value, name)
    return split(value, ",")


def _tokens(by_name: dict[str, list[str]], name: str) -> tuple[tuple[Token, ...], ...]:
    return tuple(tuple(_token(one, name) for one in _raw_alternatives(value, name)) for value in by_name.get(name, ()))


def _raw_alternatives(value: str, name: str) -> list[str]:
    """Alternatives with their escapes still in them, since a token is split once more."""
    found = _pieces(value, ",")
    if len(found) > MAX_ALTERNATIVES or not all(found):
        raise InvalidRequest(f"{name} needs a value (at most {MAX_ALTERNATIVES}, none empty).", code="value-not-understood")
    return found


def _token(stated: str, name: str) -> Token:
    pieces = split(stated, "|")
    if len(pieces) > 2 or not any(pieces):
        raise InvalidRequest(f"{name} takes system|value or a value alone.", code="value-not-understood")
    return Token(None, pieces[0]) if len(pieces) == 1 else Token(pieces[0], pieces[1])


def _is_any(wanted: Iterable[Token], stated: Sequence[Token]) -> bool:
    return any(
        (one.system is None or one.system == has.system) and one.code in ("", has.code) for one in wanted for has in stated
    )


def _modality_tokens(study: ArchivedStudy) -> list[Token]:
    return [Token(DCM, code) for code in study.modalities or (UNKNOWN_MODALITY,)]


def _uids(group: Sequence[Token]) -> frozenset[str] | None:
    """The studies that a group of identifiers names by UID; None when one of them may be something else."""
    found = [from_urn(one.code) if one.system == DICOM_UID_SYSTEM or one.code.startswith("urn:oid:") else None for one in group]
    return None if None in found else frozenset(uid for uid in found if uid)


def _dates(by_name: dict[str, list[str]], name: str) -> tuple[tuple[DateCondition, ...], ...]:
    return tuple(tuple(parse_condition(name, one) for one in _alternatives(value, name)) for value in by_name.get(name, ()))


def _started(group: Iterable[DateCondition], study: ArchivedStudy) -> bool:
    if study.started is None:
        return False
    stated = stated_datetime(study.started)
    return any(one.holds_for(stated) for one in group)


def _includes(by_name: dict[str, list[str]]) -> bool:
    asked = by_name.get("_include", [])
    if not set(asked) <= _INCLUDES:
        raise InvalidRequest("_include is offered as ImagingStudy:endpoint only.", code="include-not-offered")
    return bool(asked)


def _sort(by_name: dict[str, list[str]]) -> tuple[SortKey, bool]:
    asked = _once(by_name, "_sort")
    if asked is None:
        return SortKey.STARTED, True
    try:
        return SortKey(asked.removeprefix("-")), asked.startswith("-")
    except ValueError as exc:
        offered = " or ".join(f"{key} or -{key}" for key in SortKey)
        raise InvalidRequest(f"_sort is offered by {offered} only.", code="sort-not-offered") from exc


def _count(by_name: dict[str, list[str]]) -> int:
    asked = _once(by_name, "_count")
    if asked is None:
        return USUAL_COUNT
    if not _COUNT.fullmatch(asked):
        raise InvalidRequest("_count must be a number.", code="value-not-understood")
    return min(int(asked), MAX_COUNT)


def _check_total(by_name: dict[str, list[str]]) -> None:
    if _once(by_name, "_total") not in (None, "accurate", "estimate", "none"):
        raise InvalidRequest("_total is accurate, estimate or none.", code="value-not-understood")


def _once(by_name: dict[str, list[str]], name: str) -> str | None:
    values = by_name.get(name, [])
    if len(values) > 1:
        raise InvalidRequest(f"{name} may be given once only.", code="parameter-repeated")
    return values[0] if values else None


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else "(unreadable)"
