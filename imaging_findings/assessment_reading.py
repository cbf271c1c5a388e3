"""Assessments that table packs read, out of Observations and reports: category, measurements and coded words.

An Observation is one by its code (``{assessment}|bi-rads``) or by a value of the system's own code list or of an outside one
(SNOMED for BI-RADS, RadLex for PI-RADS). Spec: clinical rules, section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_imaging.tolerant import dicts
from imaging_findings import codes
from imaging_findings.assessment_codes import (
    ASSESSMENT,
    CODED_CATEGORIES,
    NUMBERS,
    PI_RADS_VERSIONS,
    SIDES,
    SYSTEMS,
    TITLES,
    WORDS,
)
from imaging_findings.codes import Code
from imaging_findings.findings import Assessment, Finding, Kind
from imaging_findings.history import read_report, reported
from imaging_findings.observations import (
    Components,
    author_of,
    observed,
    recommendation_of,
    recommended_in,
    stated_in,
)
from imaging_findings.quantities import hounsfield_units, millimetres, whole_number


def read_assessment(resource: Mapping[str, Any]) -> Finding | None:
    """The assessment in an Observation; None when it is none or says nothing."""
    author = author_of(resource)
    if resource.get("resourceType") != "Observation" or author is None:
        return None
    value = codes.codings(resource.get("valueCodeableConcept"))
    name = _name(codes.codings(resource.get("code")), value)
    if name is None:
        return None
    components = Components(resource)
    return replace(
        observed(resource, Kind.ASSESSMENT, author),
        category=_category(name, value),
        scheme=_scheme(name, value, [*codes.codings(resource.get("method")), *_component_values(resource)]),
        stated=stated_in(resource),
        recommended=recommendation_of(components) or recommended_in(value),
        assessment=Assessment(
            name=name,
            title=TITLES[name],
            numbers=_numbers(resource, components),
            words=_words(components),
            side=_side([*codes.codings(resource.get("bodySite")), *_component_values(resource)]),
        ),
    )


def read_report_assessments(resource: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The assessments that a signed report's ``conclusionCode`` states, one for each code."""
    report = read_report(resource)
    if report is None:
        return ()
    found: list[Finding] = []
    for concept in dicts(resource.get("conclusionCode")):
        stated = codes.codings(concept)
        name = _name((), stated)
        if name is None:
            continue
        finding = replace(
            reported(resource, report, Kind.ASSESSMENT),
            category=_category(name, stated),
            scheme=_scheme(name, stated, ()),
            recommended=recommended_in(stated),
            assessment=Assessment(name=name, title=TITLES[name]),
        )
        found.append(finding)
    return tuple(found)


def _name(code: Iterable[Code], value: Iterable[Code]) -> str | None:
    stated = tuple(code)
    named = [one.code for one in stated if one.system == ASSESSMENT and one.code in TITLES]
    if any(one.is_same(codes.FOLLOW_UP) for one in stated) and recommended_in(tuple(value)):
        named.append("breast-recommendation")
    named += [SYSTEMS[one.system] for one in value if one.system in SYSTEMS]
    named += [CODED_CATEGORIES[key][0] for one in value if (key := (one.system, one.code)) in CODED_CATEGORIES]
    # A category and what is recommended for it may stand together; the recommendation is then the category's.
    names = {one for one in named if one != "breast-recommendation"} or set(named)
    return names.pop() if len(names) == 1 else None


def _category(name: str, value: Iterable[Code]) -> str | None:
    """The one category that is coded; None where codes contradict each other."""
    found = {one.code.upper() if name != "bosniak" else one.code for one in value if SYSTEMS.get(one.system) == name}
    outside = (CODED_CATEGORIES.get((one.system, one.code)) for one in value)
    found |= {one[1] for one in outside if one and one[0] == name}
    return found.pop() if len(found) == 1 else None


def _scheme(name: str, value: Iterable[Code], around: Iterable[Code]) -> Code | None:
    """The guideline and version that the reader named: in the value's own system, as method, or as PI-RADS version code."""
    own = next((one for one in value if SYSTEMS.get(one.system) == name), None)
    if own is not None and own.version:
        return own
    method = [one for one in around if one.system == codes.FOLLOW_UP_GUIDELINE or SYSTEMS.get(one.system) == name]
    versions = [PI_RADS_VERSIONS[key] for one in around if (key := (one.system, one.code)) in PI_RADS_VERSIONS]
    if versions and name == "pi-rads":
        system = next(system for system, known in SYSTEMS.items() if known == name)
        return Code(system, "", version=versions[0])
    return next(iter(method), own)


def _numbers(resource: Mapping[str, Any], components: Components) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for name, kind, accepted in NUMBERS:
        carriers = [one for code in accepted if (one := components.value(code))]
        if kind == "mm" and not carriers:
            carriers = [resource]
        value = next((number for one in carriers if (number := _number(kind, one)) is not None), None)
        if value is not None:
            found[name] = value
    return tuple(found.items())


def _number(kind: str, carrier: Mapping[str, Any]) -> float | None:
    if kind == "count":
        return whole_number(carrier.get("valueInteger"))
    quantity = carrier.get("valueQuantity")
    return hounsfield_units(quantity) if kind == "hu" else millimetres(quantity)


def _words(components: Components) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name in WORDS:
        component = components.value(Code(ASSESSMENT, name))
        flag = component.get("valueBoolean")
        coded = [one.code for one in codes.codings(component.get("valueCodeableConcept")) if one.system == ASSESSMENT]
        if isinstance(flag, bool):
            found[name] = "yes" if flag else "no"
        elif len(coded) == 1:
            found[name] = coded[0]
    return tuple(found.items())


def _side(stated: Iterable[Code]) -> str | None:
    found = {SIDES[key] for one in stated if (key := (one.system, one.code)) in SIDES}
    return found.pop() if len(found) == 1 else None


def _component_values(resource: Mapping[str, Any]) -> list[Code]:
    return [code for one in dicts(resource.get("component")) for code in codes.codings(one.get("valueCodeableConcept"))]
