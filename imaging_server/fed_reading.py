"""ImagingStudy resources of a FHIR server other than the EHR's, read tolerantly: whose they are, and what they say of a study.

Spec: SMART Imaging Access F2, F3, C4, C5, group 11; FHIR R4/R5 ImagingStudy, Reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_imaging.archived_study import MAX_NUMBER, ArchivedInstance, ArchivedSeries, ArchivedStudy
from fhir_imaging.endpoints import read_endpoint
from fhir_imaging.study import WITHDRAWN, ImagingStudy, concept_code, concept_text, read_study, stated_accession
from fhir_imaging.tolerant import as_dict, count, dicts, text
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, from_urn
from imaging_server.fed_terms import told_code, told_terms

NOT_TO_BE_SEEN = WITHDRAWN | {"registered"}
"""Taken back, never made, or without images yet."""
_CODE = re.compile(r"[A-Z0-9][A-Z0-9 _]{0,15}", re.ASCII)
_DAY, _TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_DATE_TIME = re.compile(rf"{_DAY}(?:{_TIME}(?:\.[0-9]{{1,6}})?{_ZONE})?", re.ASCII)
_INSTANT = re.compile(rf"{_DAY}{_TIME}(?:\.[0-9]+)?{_ZONE}", re.ASCII)
_URI = re.compile(r"[!-~]+", re.ASCII)
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - _MILLISECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The caller's patient as that server may name them.

    ``references`` are this patient, others that begin with one of ``namespaces`` are somebody else, but for ``unproven``: this
    patient in a way by which the site does not go, which proves nothing and denies nothing. Identifiers of ``system`` are this
    patient's where they are among ``numbers``, else somebody else's. Anything else says nothing.
    """

    references: frozenset[str]
    namespaces: tuple[str, ...]
    unproven: frozenset[str] = frozenset()
    system: str | None = None
    numbers: frozenset[str] = frozenset()

    def is_of(self, resource: Mapping[str, Any]) -> bool | None:
        """Whether a resource is this patient's; False when anything in it says that it is not, None when nothing tells."""
        stated = as_dict(resource.get("subject"))
        told = {self._by_reference(text(stated.get("reference"))), self._by_identifier(as_dict(stated.get("identifier")))}
        return False if False in told else True if True in told else None

    def _by_reference(self, reference: str | None) -> bool | None:
        plain = (reference or "").split("/_history/", 1)[0]
        if plain in self.references:
            return True
        return False if plain.startswith(self.namespaces) and plain not in self.unproven else None

    def _by_identifier(self, identifier: Mapping[str, Any]) -> bool | None:
        if self.system is None or identifier.get("system") != self.system:
            return None
        return text(identifier.get("value")) in self.numbers


def told_study(resource: Mapping[str, Any]) -> tuple[ArchivedStudy, bool] | None:
    """The study that a resource describes, not yet placed in any archive, and whether every part of it could be read.

    None when its Study Instance UID cannot be read.
    """
    study = read_study(resource)
    if not isinstance(study, ImagingStudy):
        return None
    stated = dicts(resource.get("series"))
    series = tuple(one for one in map(_series, stated) if one is not None)
    whole = len(series) == len(stated) and all(
        len(one.instances) == len(dicts(said.get("instance"))) for one, said in zip(series, stated, strict=False)
    )
    made = ArchivedStudy(
        uid=study.study_instance_uid,
        archives=(),
        started=_started(study.started_text),
        accession=_words(study.accession),
        accession_system=_uri(text(stated_accession(resource).get("system"))),
        description=_words(study.description),
        listed_modalities=tuple(code for code in study.modalities if _CODE.fullmatch(code)),
        series_count=_counted(study.number_of_series),
        instance_count=_counted(study.number_of_instances),
        series=series,
        referrer=_words(text(as_dict(resource.get("referrer")).get("display"))),
        # Elements of R4, then what R5 calls them; what others of that server are called has no meaning here.
        procedures=told_terms(resource.get("procedureCode"), resource.get("procedure")),
        reasons=told_terms(resource.get("reasonCode"), resource.get("reason")),
    )
    return made, whole and isinstance(resource.get("series", []), list)


def endpoint_addresses(resource: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """The addresses of a study's Endpoints: contained, or among ``others`` by full URL or ``Type/id``."""
    study = read_study(resource)
    if not isinstance(study, ImagingStudy):
        return frozenset()
    contained = {f"#{one.get('id')}": one for one in study.contained}
    found = (
        contained.get(one) or others.get(one) or others.get("/".join(one.split("/")[-2:])) for one in study.endpoint_references
    )
    endpoints = (read_endpoint(one) for one in found if one is not None)
    suffix = f"/studies/{study.study_instance_uid}"
    return frozenset(one.address.removesuffix(suffix) for one in endpoints if one is not None)


def last_updated_ms(resource: Mapping[str, Any]) -> int | None:
    """``meta.lastUpdated`` in milliseconds UTC since 1970; None where it is no instant, or none that can be reckoned with."""
    stated = text(as_dict(resource.get("meta")).get("lastUpdated"))
    if stated is None or not _INSTANT.fullmatch(stated):
        return None
    moment = _moment(stated)
    return None if moment is None or moment > _LATEST else (moment - _EPOCH) // _MILLISECOND


def _series(resource: Mapping[str, Any]) -> ArchivedSeries | None:
    uid = from_urn(text(resource.get("uid")) or "")
    if uid is None:
        return None
    code = concept_code(resource.get("modality"))
    sites = resource.get("bodySite")
    site = next(iter(sites), None) if isinstance(sites, list) else sites  # R6 has several
    return ArchivedSeries(
        uid=SeriesInstanceUID(uid),
        archives=(),
        number=_counted(count(resource.get("number"))),
        modality=code if code is not None and _CODE.fullmatch(code) else None,
        description=_words(text(resource.get("description"))),
        body_part=_words(concept_text(site)),
        body_site=told_code(site),
        laterality=told_code(resource.get("laterality")),
        started=_started(text(resource.get("started"))),
        instance_count=_counted(count(resource.get("numberOfInstances"))),
        instances=_instances(dicts(resource.get("instance"))),
    )


def _instances(stated: Iterable[Mapping[str, Any]]) -> tuple[ArchivedInstance, ...]:
    made = {}
    for one in stated:
        uid, sop_class = from_urn(text(one.get("uid")) or ""), from_urn(concept_code(one.get("sopClass")) or "")
        if uid is not None and sop_class is not None:
            number = _counted(count(one.get("number")))
            made[uid] = ArchivedInstance(uid=SopInstanceUID(uid), sop_class=sop_class, number=number)
    return tuple(sorted(made.values(), key=lambda one: (one.number is None, one.number or 0, one.uid)))


def _started(stated: str | None) -> str | None:
    """A date or a time with its zone, as it stands; None for what no calendar has."""
    return stated if stated is not None and _DATE_TIME.fullmatch(stated) and _moment(stated) is not None else None


def _moment(stated: str) -> datetime | None:
    """The moment in UTC (of a date, its beginning there); None for what no calendar has, or where UTC ends before it."""
    with_microseconds = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", stated)  # what Python reads
    try:
        moment = datetime.fromisoformat(with_microseconds)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _words(stated: str | None) -> str | None:
    """A text without control characters, which FHIR strings may not hold."""
    return "".join(mark if mark.isprintable() else " " for mark in stated or "").strip() or None


def _uri(stated: str | None) -> str | None:
    return stated if stated is not None and _URI.fullmatch(stated) else None


def _counted(number: int | None) -> int | None:
    return number if number is not None and number <= MAX_NUMBER else None
