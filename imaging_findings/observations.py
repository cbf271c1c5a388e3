"""Observations into findings, tolerantly: an odd one becomes a ``Problem`` and never hides the others.

The accepted shapes are fixed in ``imaging_findings.facts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from fhir_imaging.study import patient_id_of
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.denial import is_denied
from imaging_findings.findings import (
    Attenuation,
    Author,
    Change,
    Finding,
    Kind,
    Nodule,
    PreviousExamination,
    Problem,
    Recommendation,
    Risk,
)
from imaging_findings.image_selection import selection_of
from imaging_findings.intervals import Interval, Unit
from imaging_findings.location import site_of
from imaging_findings.quantities import interval_in, millimetres, positive_integer
from imaging_findings.regions import is_in_lung
from imaging_findings.stated_days import day_of, moment_of

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
OTHER_PATIENT = "it belongs to another patient, or to none"
# DCM 111142 says so in its name: follow-up at short interval (1-11 months).
SHORT_INTERVAL = Interval(1, 11, Unit.MONTH)
SIGNED = frozenset({"final", "amended", "corrected"})
LUNG_RADS_CATEGORIES = ("0", "1", "2", "3", "4A", "4B", "4X")
Choice = TypeVar("Choice", Attenuation, Change)


def read_finding(resource: Mapping[str, Any], patient_id: str) -> Finding | Problem | None:
    """The finding in an Observation; None when it is none of ours or says nothing (cancelled, unfinished)."""
    kind = _kind(resource)
    author = author_of(resource)
    if kind is None or author is None or (kind is Kind.NODULE and _is_no_nodule(resource)):
        return None
    if patient_id_of(text(as_dict(resource.get("subject")).get("reference"))) != patient_id:
        return Problem(reference_of(resource, "Observation"), OTHER_PATIENT)
    category, schemes = _value(kind, resource)
    components = Components(resource)
    return replace(
        observed(resource, kind, author),
        category=category,
        scheme=next(iter(schemes), None),
        schemes_beside=schemes[1:],
        stated=stated_in(resource) or _coded_words(resource),
        modifier_s=components.value(codes.LUNG_RADS_MODIFIER_S).get("valueBoolean") is True,
        nodule=_nodule(resource, components),
        previous=_previous(components) if kind is Kind.LUNG_RADS else None,
        recommended=recommendation_of(components),
        site=site_of(resource),
    )


def _is_no_nodule(resource: Mapping[str, Any]) -> bool:
    """Whether a nodule's Observation denies it. One with components may say that it has no value of its own."""
    if dicts(resource.get("component")):
        resource = {name: value for name, value in resource.items() if name != "dataAbsentReason"}
    return is_denied(resource)


def observed(resource: Mapping[str, Any], kind: Kind, author: Author) -> Finding:
    """What an Observation says of any finding: who stands behind it, when, and where it is seen."""
    return Finding(
        reference=reference_of(resource, "Observation"),
        kind=kind,
        author=author,
        signed_by=signed_by_of(resource, author),
        study_reference=study_reference_of(resource),
        study_date=day_of(text(resource.get("effectiveDateTime"))),
        selection=selection_of(resource),
        issued=moment_of(text(resource.get("issued"))),
    )


def stated_in(resource: Mapping[str, Any]) -> str | None:
    """The value of an Observation in its own words."""
    return text(as_dict(resource.get("valueCodeableConcept")).get("text")) or text(resource.get("valueString"))


def reference_of(resource: Mapping[str, Any], resource_type: str) -> str:
    """``Type/id``, or the type alone where the id is missing or no FHIR id."""
    resource_id = text(resource.get("id"))
    return f"{resource_type}/{resource_id}" if resource_id and _FHIR_ID.fullmatch(resource_id) else resource_type


def relative_reference(reference: str | None, resource_type: str) -> str | None:
    """``Type/id`` out of a relative, absolute or versioned reference; None for another type."""
    if not reference:
        return None
    segments = reference.split("/")
    if "_history" in segments:
        segments = segments[: segments.index("_history")]
    return "/".join(segments[-2:]) if len(segments) >= 2 and segments[-2] == resource_type and segments[-1] else None


class Components:
    """The components of an Observation, found by code."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        self._by_code: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for component in dicts(resource.get("component")):
            for key in set(codes.keys_of(component.get("code"))):
                self._by_code.setdefault(key, []).append(component)

    def value(self, code: Code) -> Mapping[str, Any]:
        """The component with this code; an empty one where it is missing."""
        found = self._by_code.get((code.system, code.code))
        return found[0] if found else {}

    def values(self, code: Code) -> tuple[Mapping[str, Any], ...]:
        """All components with this code: a feature may be stated with several."""
        return tuple(self._by_code.get((code.system, code.code), ()))

    def millimetres(self, code: Code) -> float | None:
        """The component's quantity in mm."""
        return millimetres(self.value(code).get("valueQuantity"))

    def coded(self, code: Code) -> tuple[Code, ...]:
        """The component's coded value."""
        return codes.codings(self.value(code).get("valueCodeableConcept"))


def _kind(resource: Mapping[str, Any]) -> Kind | None:
    if resource.get("resourceType") != "Observation":
        return None
    code = codes.find(resource.get("code"), codes.LUNG_RADS_CATEGORY, codes.SOLITARY_NODULE, codes.NODULE_FINDING)
    if code is None:
        return None
    if code.is_same(codes.LUNG_RADS_CATEGORY):
        return Kind.LUNG_RADS
    # A nodule of the thyroid carries the same finding code: only the site tells.
    in_lung = code.is_same(codes.SOLITARY_NODULE) or is_in_lung(codes.codings(resource.get("bodySite")))
    return Kind.NODULE if in_lung else None


def author_of(resource: Mapping[str, Any]) -> Author | None:
    """Who stands behind an Observation; None for what is withdrawn or unfinished."""
    status = resource.get("status")
    if status == "preliminary":
        return Author.AI if as_dict(resource.get("device")) else None
    return Author.PERSON if isinstance(status, str) and status in SIGNED else None


def _coded_words(resource: Mapping[str, Any]) -> str | None:
    """A value in a code that no rule knows, for people."""
    return next((one.display or one.code for one in codes.codings(resource.get("valueCodeableConcept"))), None)


def _value(kind: Kind, resource: Mapping[str, Any]) -> tuple[str | None, tuple[Code, ...]]:
    """Category and guideline codes with their versions; both empty when the value is not one coded category."""
    if kind is Kind.NODULE:
        return None, tuple(one for one in codes.codings(resource.get("method")) if one.system == codes.FOLLOW_UP_GUIDELINE)[:1]
    return stated_category(codes.codings(resource.get("valueCodeableConcept")))


def stated_category(coded: tuple[Code, ...]) -> tuple[str | None, tuple[Code, ...]]:
    """The one Lung-RADS category of a value, in all its code systems: the screening pack knows which of them it can answer.

    Those with a version come first. A version of the own system rules alone: no other system speaks for another edition (Gb).
    """
    own = [one for one in coded if one.system == codes.LUNG_RADS]
    stated = [*own, *(one for one in coded if one.system != codes.LUNG_RADS and one.code in LUNG_RADS_CATEGORIES)]
    if len({one.code for one in stated}) != 1 or len({one.version for one in own}) > 1:
        return None, ()
    named = [one for one in own if one.version][:1] or sorted(stated, key=lambda one: one.version is None)
    return (named[0].code, tuple(named)) if named[0].code in LUNG_RADS_CATEGORIES else (None, ())


def signed_by_of(resource: Mapping[str, Any], author: Author) -> str | None:
    """Who signed an Observation, or the AI's name."""
    if author is Author.AI:
        device = as_dict(resource.get("device"))
        return text(device.get("display")) or text(device.get("reference"))
    names = [text(one.get("display")) or text(one.get("reference")) for one in dicts(resource.get("performer"))]
    return ", ".join(name for name in names if name) or None


def study_reference_of(resource: Mapping[str, Any]) -> str | None:
    """The ImagingStudy that an Observation names."""
    references = [*dicts(resource.get("derivedFrom")), *dicts(resource.get("partOf"))]
    found = (relative_reference(text(one.get("reference")), "ImagingStudy") for one in references)
    return next((one for one in found if one), None)


def _nodule(resource: Mapping[str, Any], components: Components) -> Nodule:
    solitary = codes.find(resource.get("code"), codes.SOLITARY_NODULE) is not None
    counted = positive_integer(components.value(codes.NUMBER_OF_LESIONS).get("valueInteger"))
    return Nodule(
        attenuation=_attenuation(components.coded(codes.ATTENUATION)),
        diameter_mm=_diameter(components),
        solid_part_mm=components.millimetres(codes.SOLID_PART_DIAMETER),
        count=counted if counted is not None else (1 if solitary else None),
        risk=_risk(components.coded(codes.MALIGNANCY_RISK)),
        change=_own_choice(components.coded(codes.CHANGE), Change),
        previous_mm=components.millimetres(codes.PREVIOUS_DIAMETER),
        features=_features(components),
        tracking=_tracking(components),
        site=frozenset(_site_names(resource)),
    )


def _tracking(components: Components) -> frozenset[str]:
    carriers = [one for code in codes.TRACKING for one in components.values(code)]
    stated = (text(one.get(name)) for one in carriers for name in ("valueString", "valueUri", "valueOid"))
    return frozenset(value.removeprefix("urn:oid:") for value in stated if value)


def _site_names(resource: Mapping[str, Any]) -> Iterator[str]:
    site = as_dict(resource.get("bodySite"))
    for one in codes.codings(site):
        yield f"{one.system}|{one.code}"
    words = text(site.get("text"))
    if words:
        yield words.casefold()


def _features(components: Components) -> frozenset[str]:
    """The coded features; a word that the table does not know is none."""
    stated = [
        code for one in components.values(codes.NODULE_FEATURE) for code in codes.codings(one.get("valueCodeableConcept"))
    ]
    return frozenset(one.code for one in stated if one.system == codes.NODULE and one.code in codes.NODULE_FEATURES)


def _previous(components: Components) -> PreviousExamination | None:
    coded = [one for one in components.coded(codes.PREVIOUS_CATEGORY) if one.system == codes.LUNG_RADS]
    stated = {(one.code, one.version) for one in coded if one.code in LUNG_RADS_CATEGORIES}
    category, version = next(iter(stated)) if len(stated) == 1 else (None, None)
    day = day_of(text(components.value(codes.PREVIOUS_EXAMINATION).get("valueDateTime")))
    return PreviousExamination(category=category, version=version, day=day) if category or day else None


def _diameter(components: Components) -> float | None:
    mean = components.millimetres(codes.DIAMETER)
    if mean is not None:
        return mean
    long_axis, short_axis = components.millimetres(codes.LONG_AXIS), components.millimetres(codes.SHORT_AXIS)
    # One axis alone is not the size that the tables mean.
    return None if long_axis is None or short_axis is None else (long_axis + short_axis) / 2


def _attenuation(stated: tuple[Code, ...]) -> Attenuation | None:
    if any(one.is_same(codes.GROUND_GLASS) for one in stated):
        return Attenuation.GROUND_GLASS
    return _own_choice(stated, Attenuation)


def _own_choice(stated: tuple[Code, ...], choice: type[Choice]) -> Choice | None:
    if not stated:
        return None
    known = {member.value: member for member in choice}
    return next((known[one.code] for one in stated if one.system == codes.NODULE and one.code in known), None)


def _risk(stated: tuple[Code, ...]) -> Risk | None:
    low, high = (any(one.is_same(code) for one in stated) for code in (codes.LOW_RISK, codes.HIGH_RISK))
    if low == high:
        return None
    return Risk.HIGH if high else Risk.LOW


def recommendation_of(components: Components) -> Recommendation | None:
    """What the reader coded as follow-up."""
    interval: Interval | None = interval_in(components.value(codes.FOLLOW_UP_INTERVAL))
    due = day_of(text(components.value(codes.FOLLOW_UP_DATE).get("valueDateTime")))
    coded = recommended_in(components.coded(codes.FOLLOW_UP))
    if coded is None:
        return Recommendation(interval=interval, due=due) if interval or due else None
    return replace(coded, interval=interval or (None if due else coded.interval), due=due)


def recommended_in(stated: tuple[Code, ...]) -> Recommendation | None:
    """The recommendation that codes of CID 6028 or 6029 state; "normal interval" asks for nothing beyond the category's row."""
    if not stated:
        return None
    known = codes.codes_of_cid(6028) | codes.codes_of_cid(6029)
    found = [known[key] for key in ((one.system, one.code) for one in stated) if key in known]
    asking = [one for one in found if not one.is_same(codes.NORMAL_INTERVAL)]
    if not asking or len(asking) < len(found):
        return None
    interval = SHORT_INTERVAL if any(one.is_same(codes.SHORT_INTERVAL) for one in asking) else None
    return Recommendation(interval=interval, words="; ".join(one.display for one in asking))
