"""Builders of coded imaging findings that a radiologist signed: a Lung-RADS category, an incidental nodule, an embolism.

What the AI found is not among them: it comes from its structured report in the archive.
"""

from collections.abc import Sequence
from datetime import timedelta

from ehr_sandbox.demo_study import Coding, DemoCt, DemoExamination
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json, component, concept, millimetres, months, study_of
from ehr_sandbox.patients.hospital import RADIOLOGIST


def solid_nodule(ct: DemoCt, *more: Json) -> list[Json]:
    """Components that describe the solid nodule of an examination: its mean diameter and axes, and what else is known."""
    nodule = ct.phantom.nodule
    return [
        component(codings.DIAMETER, "valueQuantity", millimetres(nodule.diameter_mm)),
        component(codings.LONG_AXIS, "valueQuantity", millimetres(nodule.long_axis_mm)),
        component(codings.SHORT_AXIS, "valueQuantity", millimetres(nodule.short_axis_mm)),
        component(codings.ATTENUATION, "valueCodeableConcept", concept(codings.SOLID)),
        *more,
    ]


def first_seen() -> Json:
    """The nodule was not compared with an earlier examination."""
    return component(codings.CHANGE, "valueCodeableConcept", concept(codings.BASELINE))


def grown_from(prior: DemoCt) -> list[Json]:
    """The nodule has grown since an earlier examination."""
    return [
        component(codings.CHANGE, "valueCodeableConcept", concept(codings.GROWING)),
        component(codings.PREVIOUS_DIAMETER, "valueQuantity", millimetres(prior.phantom.nodule.diameter_mm)),
    ]


def follow_up_in(number_of_months: int) -> Json:
    """The reader's own recommendation: look again in so many months."""
    return component(codings.FOLLOW_UP_INTERVAL, "valueQuantity", months(number_of_months))


def lung_rads_by_radiologist(chart: Chart, ct: DemoCt, category: str, components: Sequence[Json]) -> Json:
    """The signed Lung-RADS category of a screening CT with its most suspicious nodule."""
    return {
        **signed(chart, ct, "lung-rads"),
        "code": concept(codings.LUNG_RADS_CATEGORY),
        "valueCodeableConcept": _category(category),
        "component": list(components),
    }


def incidental_nodule(chart: Chart, ct: DemoCt, site: Coding, risk: Coding) -> Json:
    """One incidental solid nodule that the radiologist coded for the Fleischner recommendations."""
    details = (
        component(codings.NUMBER_OF_LESIONS, "valueInteger", 1),
        component(codings.MALIGNANCY_RISK, "valueCodeableConcept", concept(risk)),
    )
    return {
        **signed(chart, ct, "nodule"),
        "code": concept(codings.SOLITARY_NODULE),
        "bodySite": concept(site),
        "method": concept(codings.FLEISCHNER, version=codings.FLEISCHNER_VERSION),
        "component": solid_nodule(ct, *details),
    }


def actionable_finding(chart: Chart, ct: DemoExamination, finding: Coding, category: Coding, *, site: Coding) -> Json:
    """A finding that somebody must hear of, with how soon (ACR category). Spec: PS3.16 CID 7035."""
    return {
        **signed(chart, ct, "actionable"),
        "code": concept(codings.FINDING),
        "valueCodeableConcept": concept(finding),
        "interpretation": [concept(category)],
        "bodySite": concept(site),
    }


def signed(chart: Chart, ct: DemoExamination, name: str) -> Json:
    """What every finding of a signed report has."""
    return {
        "resourceType": "Observation",
        "id": f"{ct.key}-{name}",
        "status": "final",
        "category": [concept(codings.OBSERVATION_IMAGING)],
        "subject": chart.subject,
        "effectiveDateTime": chart.calendar.at(ct.days_ago, ct.clock).isoformat(),
        "issued": (chart.calendar.at(ct.days_ago, ct.clock) + timedelta(minutes=ct.minutes_to_report)).isoformat(),
        "performer": [RADIOLOGIST],
        "derivedFrom": [study_of(ct)],
    }


def _category(category: str) -> Json:
    code = codings.lung_rads(category)
    return concept(code, text=f"{code.display} (v{codings.LUNG_RADS_VERSION})", version=codings.LUNG_RADS_VERSION)
