"""Proposed appointments out of the hook's context, read tolerantly: for what examination, on which day, and for whose order.

``appointment-book`` sends a Bundle of Appointments that no server holds yet. The examination is that of the order that the
appointment is based on (contained, in the same Bundle, or on record), then that of a coded ``serviceType``; words are read
last and only inform. ``reasonCode`` says why somebody comes and never what is done. R4 and R5 shapes are read, and what
older clients send: single objects in place of arrays, ``type`` for ``serviceType``, Bundles without type (R23).

Spec: FHIR R4 and R5 Appointment; CDS Hooks library, appointment-book 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

from fhir_imaging.study import concept_text, points_to_patient
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.moments import site_day
from imaging_findings.observations import reference_of
from imaging_findings.study_kinds import StudyKind, StudyParts, kind_of_order, kind_of_parts
from imaging_findings.study_table import SiteStudies, study_codes

# What is over, or will not take place.
_NOT_PLANNED = frozenset({"fulfilled", "cancelled", "noshow", "entered-in-error"})
# An appointment to talk about images makes none.
_TALK = re.compile(r"\b(consult\w*|discuss\w*|results?|review|clinic|talk|visit|biops\w*)\b", re.IGNORECASE)
_CITING = ("reasonReference", "reason", "supportingInformation", "basedOn", "indication", "incomingReferral")
_CITED_BY_ORDER = ("reasonReference", "reason", "supportingInfo", "basedOn", "replaces")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedAppointment:
    """One appointment for a known kind of examination. ``first`` and ``last`` are its possible days; None = not stated."""

    key: str
    """``Appointment/{id}``, or its place in the Bundle where it has no id."""
    name: str
    """The examination in words."""
    kind: StudyKind
    first: date | None = None
    last: date | None = None
    orders: frozenset[str] = frozenset()
    """``ServiceRequest/{id}`` that it is based on."""
    cites: frozenset[str] = frozenset()
    """``Type/id`` of everything that it, or the order behind it, gives as reason or support."""

    @property
    def has_date(self) -> bool:
        """Whether anything is said about when."""
        return self.first is not None or self.last is not None

    @property
    def days(self) -> str:
        """The day or days in words."""
        if self.first == self.last:
            return str(self.first) if self.first else "no date"
        return f"{self.first or 'any day'} to {self.last or 'later'}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An appointment that is not judged, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppointmentSource:
    """Where appointments and what they point to are found. ``orders`` are ServiceRequests on record."""

    patient_id: str
    bases: tuple[str, ...] = ()
    orders: Sequence[Mapping[str, Any]] = ()
    site: SiteStudies | None = None
    """The site's own examination codes."""
    zone: tzinfo | None = None
    """Where their days are counted; None = where they say."""


def read_appointments(stated: object, source: AppointmentSource) -> tuple[list[ProposedAppointment], list[LeftOut]]:
    """The appointments in ``context.appointments``, in their order, and those that are no imaging of this patient."""
    entries = _entries(stated)
    orders = {reference_of(one, "ServiceRequest"): one for one in source.orders} | dict(_bundled_orders(entries))
    found: list[ProposedAppointment] = []
    left: list[LeftOut] = []
    for position, (_, resource) in enumerate(entries):
        if resource.get("resourceType") != "Appointment":
            continue
        reference = reference_of(resource, "Appointment")
        key = reference if "/" in reference else f"appointments entry {position}"
        read = _read(resource, key, orders, source)
        if isinstance(read, LeftOut):
            left.append(read)
        else:
            found.append(read)
    return found, left


def _read(
    resource: Mapping[str, Any], key: str, on_record: Mapping[str, Mapping[str, Any]], source: AppointmentSource
) -> ProposedAppointment | LeftOut:
    if text(resource.get("status")) in _NOT_PLANNED:
        return LeftOut(key, f"its status is {resource['status']}")
    if not _is_for(resource, source):
        return LeftOut(key, "it is for another patient")
    contained = {f"#{text(one.get('id'))}": one for one in dicts(resource.get("contained"))}
    pointed = [*_references(resource, "basedOn"), *_references(resource, "supportingInformation")]
    orders = [found for one in pointed if (found := contained.get(one) or on_record.get(_relative(one)))]
    orders = [one for one in orders if one.get("resourceType") == "ServiceRequest"]
    name, kind = _examination(resource, orders, source.site)
    if not (kind.families and kind.regions):
        return LeftOut(key, "it names no known imaging examination")
    first, last = _days(resource, source.zone)
    cited = [one for member in _CITING for one in _references(resource, member)]
    cited += [one for order in orders for member in _CITED_BY_ORDER for one in _references(order, member)]
    relative = frozenset(_relative(one) for one in cited if "/" in one)
    based = {reference_of(one, "ServiceRequest") for one in orders} | {one for one in relative if "ServiceRequest/" in one}
    return ProposedAppointment(
        key=key,
        name=name,
        kind=kind,
        first=first,
        last=last,
        orders=frozenset(one for one in based if "/" in one),
        cites=relative,
    )


def _examination(
    resource: Mapping[str, Any], orders: Sequence[Mapping[str, Any]], site: SiteStudies | None
) -> tuple[str, StudyKind]:
    """The examination in words and its kind: the order's, the coded service's, or what words say."""
    for order in orders:
        kind = kind_of_order(order, site)
        if kind.families and kind.regions and order.get("doNotPerform") is not True:
            return _name(as_dict(order.get("code")), site) or "an imaging examination", kind
    services = [one for member in ("serviceType", "type", "serviceCategory") for one in _concepts(resource.get(member))]
    stated = [code for one in services for code in codes.codings(one)]
    named = next((name for one in services if (name := _name(one, site))), None)
    coded = kind_of_parts(StudyParts(stated=stated), site)
    if coded.families and coded.regions:
        return named or "an imaging examination", coded
    words = [words for words in (named, text(resource.get("description"))) if words and not _TALK.search(words)]
    return next(iter(words), "an imaging examination"), kind_of_parts(StudyParts(words=words), site)


def _name(concept: Mapping[str, Any], site: SiteStudies | None) -> str | None:
    """What the concept calls itself; where it has a code alone, what the tables call that code."""
    if text(concept.get("text")) or any(text(one.get("display")) for one in dicts(concept.get("coding"))):
        return concept_text(concept)
    known = (one.code.display for one in study_codes(codes.codings(concept), site))
    return next((display for display in known if display), concept_text(concept))


def _days(resource: Mapping[str, Any], zone: tzinfo | None) -> tuple[date | None, date | None]:
    """The day of ``start``; without it the span of the requested periods, whose open ends stay open."""
    start = site_day(text(resource.get("start")), zone) or site_day(text(resource.get("end")), zone)
    if start is not None:
        return start, start
    stated = resource.get("requestedPeriod")
    periods = dicts(stated) or ([as_dict(stated)] if as_dict(stated) else [])
    firsts = [site_day(text(one.get("start")), zone) for one in periods]
    lasts = [site_day(text(one.get("end")), zone) for one in periods]
    known_firsts, known_lasts = [one for one in firsts if one], [one for one in lasts if one]
    first = min(known_firsts) if known_firsts and len(known_firsts) == len(firsts) else None
    return first, max(known_lasts) if known_lasts and len(known_lasts) == len(lasts) else None


def _is_for(resource: Mapping[str, Any], source: AppointmentSource) -> bool:
    """Whether it is this patient's; one that names no patient is the patient's in context."""
    actors = [as_dict(one.get("actor")) for one in dicts(resource.get("participant"))]
    stated = [text(one.get("reference")) or "" for one in [*actors, as_dict(resource.get("subject"))]]
    patients = [one for one in stated if "Patient" in one.split("/")]
    return not patients or any(points_to_patient(one, source.patient_id, source.bases) for one in patients)


def _entries(stated: object) -> list[tuple[str | None, Mapping[str, Any]]]:
    """``fullUrl`` and resource of a Bundle with or without type; a bare array or a bare Appointment is read too."""
    bundle = as_dict(stated)
    if bundle.get("resourceType") == "Appointment":
        return [(None, bundle)]
    entries = dicts(bundle.get("entry")) or dicts(stated)
    return [(text(one.get("fullUrl")), as_dict(one.get("resource")) or one) for one in entries]


def _bundled_orders(
    entries: Sequence[tuple[str | None, Mapping[str, Any]]],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for full_url, resource in entries:
        if resource.get("resourceType") == "ServiceRequest":
            yield reference_of(resource, "ServiceRequest"), resource
            if full_url:
                yield _relative(full_url), resource


def _concepts(value: object) -> list[Mapping[str, Any]]:
    """CodeableConcepts of an array or a single one; out of CodeableReferences where R5 has those."""
    stated = dicts(value) or ([as_dict(value)] if as_dict(value) else [])
    return [as_dict(one.get("concept")) or one for one in stated]


def _references(resource: Mapping[str, Any], member: str) -> list[str]:
    """Literal references of a member: References, or CodeableReferences of R5."""
    value = resource.get(member)
    stated = dicts(value) or ([as_dict(value)] if as_dict(value) else [])
    found = [text(one.get("reference")) or text(as_dict(one.get("reference")).get("reference")) for one in stated]
    return [one for one in found if one]


def _relative(reference: str) -> str:
    """``Type/id`` of a relative, absolute or versioned reference; ``urn:uuid:…`` as it is."""
    return "/".join(reference.split("/_history")[0].split("/")[-2:])
