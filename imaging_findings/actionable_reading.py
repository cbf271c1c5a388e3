"""Findings that may have to be communicated, out of Observations and reports: the finding's code and the reader's category.

A code counts only where the resource says that the finding is there: an Observation *of* pulmonary embolism whose value is
"absent", false or free text says nothing here. One that denies its finding in code says nothing, whatever category it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_imaging.tolerant import dicts, text
from imaging_findings import codes
from imaging_findings.assessment_codes import ASSESSMENT, SYSTEMS
from imaging_findings.codes import Code
from imaging_findings.denial import PRESENT, is_denied
from imaging_findings.findings import Actionable, Finding, Kind
from imaging_findings.history import read_report, reported
from imaging_findings.location import site_of
from imaging_findings.observations import author_of, observed
from imaging_findings.stated_days import moment_of

CATEGORY_OF = {
    codes.concept(codes.RADLEX, code): number for code, number in (("RID49480", 1), ("RID49481", 2), ("RID49482", 3))
}
_CATEGORY_OF_KEY = {(code.system, code.code): number for code, number in CATEGORY_OF.items()}
FINDING = codes.concept(codes.DCM, "121071")
NO_FINDINGS = frozenset(
    {codes.LOINC, codes.DCM, codes.UCUM, codes.LUNG_RADS, codes.NODULE, codes.FOLLOW_UP_GUIDELINE, ASSESSMENT, *SYSTEMS}
)
"""Code systems that hold no findings; those of SNOMED, RadLex and a site's own may."""


def read_actionable(resource: Mapping[str, Any]) -> Finding | None:
    """The finding of an Observation, where it carries a category or a code that a site's policy may name."""
    author = author_of(resource)
    if resource.get("resourceType") != "Observation" or author is None:
        return None
    actionable = Actionable(codes=_present(resource), category=_category(_observation_keys(resource)))
    if (not actionable.codes and actionable.category is None) or is_denied(resource):
        return None
    taken = moment_of(text(resource.get("effectiveDateTime")))
    return replace(observed(resource, Kind.ACTIONABLE, author), site=site_of(resource), taken=taken, actionable=actionable)


def read_actionable_report(resource: Mapping[str, Any]) -> Finding | None:
    """The finding that a signed report's ``conclusionCode`` states."""
    report = read_report(resource)
    if report is None:
        return None
    stated = [code for one in dicts(resource.get("conclusionCode")) for code in codes.codings(one)]
    actionable = Actionable(codes=_named(stated), category=_category([(one.system, one.code) for one in stated]))
    if not actionable.codes and actionable.category is None:
        return None
    return replace(reported(resource, report, Kind.ACTIONABLE), actionable=actionable)


def _present(resource: Mapping[str, Any]) -> tuple[Code, ...]:
    """The codes of what the Observation says is there."""
    code = codes.codings(resource.get("code"))
    value = codes.codings(resource.get("valueCodeableConcept"))
    if any(one.is_same(FINDING) for one in code):
        return _named(value)
    stated = [name for name in resource if name.startswith("value")]
    affirmed = any(one.is_same(known) for one in value for known in (*PRESENT, *code, *CATEGORY_OF))
    return _named(code) if not stated or resource.get("valueBoolean") is True or affirmed else ()


def _named(stated: Iterable[Code]) -> tuple[Code, ...]:
    return tuple(one for one in stated if one.system not in NO_FINDINGS and (one.system, one.code) not in _CATEGORY_OF_KEY)


def _category(stated: Iterable[tuple[str, str]]) -> int | None:
    """The most urgent category that is coded."""
    return min([_CATEGORY_OF_KEY[key] for key in stated if key in _CATEGORY_OF_KEY], default=None)


def _observation_keys(resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    carriers: list[object] = [resource.get("code"), resource.get("valueCodeableConcept")]
    carriers += [*dicts(resource.get("interpretation")), *dicts(resource.get("category"))]
    carriers += [one.get("valueCodeableConcept") for one in dicts(resource.get("component"))]
    return [key for one in carriers for key in codes.keys_of(one)]
