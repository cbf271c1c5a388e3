"""All that the order-time rules may know of one patient, out of the answers to ``ORDER_QUERIES``.

Nothing but the Patient is required: what did not come is named, so that silence about it is not taken for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from fhir_imaging.study import points_to_patient
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.contrast import ContrastFacts
from imaging_findings.contrast_reactions import contrast_reactions
from imaging_findings.facts import PATIENT_ID_TOKEN, QUERIES, FactQuery, Facts, read_facts
from imaging_findings.findings import Problem
from imaging_findings.history import ICD_10, read_condition
from imaging_findings.medications import takes_metformin
from imaging_findings.moments import site_day
from imaging_findings.observations import reference_of
from imaging_findings.order_facts import OPEN, ImagingOrder, PriorStudy, read_imaging_order, read_prior
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.patient_facts import latest_egfr
from imaging_findings.pregnancy import PregnancyFacts
from imaging_findings.pregnancy_records import pregnancy_records
from imaging_findings.prior_reports import PriorReport, read_prior_reports
from imaging_findings.study_table import SiteStudies
from imaging_findings.value_sets import value_set, words_of

_PATIENT = f"patient={PATIENT_ID_TOKEN}"
_INPATIENT = frozenset({"IMP", "ACUTE", "NONAC"})
_EMERGENCY = "EMER"
# ICD-10: skin cancer other than melanoma, and neoplasms in situ; nobody restages them by imaging.
_NOT_STAGED = ("C44", "D00", "D01", "D02", "D03", "D04", "D05", "D06", "D07", "D09")
# v3 RoleCode of a Location: intensive care (adult, paediatric, neonatal), emergency room, emergency trauma unit.
_SERIAL_WARDS = frozenset({"ICU", "PEDICU", "PEDNICU", "ER", "ETU"})
_SERIAL_WARD = re.compile(
    r"\b([NPSM]?ICU|intensive care|critical care|trauma|intensivstation|schockraum|réanimation|cuidados intensivos)\b",
    re.IGNORECASE,
)


def _tokens(*sets: str) -> str:
    return ",".join(value_set(name).search_token for name in sets)


ORDER_QUERIES: tuple[FactQuery, ...] = (
    *(replace(query, required=query.key == "patient") for query in QUERIES),
    FactQuery(
        "labs", "Observation", f"Observation?{_PATIENT}&code={_tokens('egfr')}&_sort=-date&_count=20", False, "eGFR results"
    ),
    FactQuery(
        "pregnancy",
        "Observation",
        f"Observation?{_PATIENT}&code={_tokens('pregnancy-status', 'pregnancy-test')}&_sort=-date&_count=20",
        False,
        "pregnancy status and tests",
    ),
    FactQuery(
        "medications",
        "MedicationRequest",
        f"MedicationRequest?{_PATIENT}&status=active,on-hold&_count=100",
        False,
        "current medications",
    ),
    FactQuery(
        "medication-statements",
        "MedicationStatement",
        f"MedicationStatement?{_PATIENT}&status=active,intended,on-hold,unknown&_count=100",
        False,
        "medications as reported",
    ),
    FactQuery("allergies", "AllergyIntolerance", f"AllergyIntolerance?{_PATIENT}&_count=100", False, "allergies and reactions"),
    FactQuery("encounters", "Encounter", f"Encounter?{_PATIENT}&status=in-progress&_count=10", False, "the current encounter"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChart:
    """The chart around the orders being placed. ``not_available`` and ``partial`` name query keys."""

    facts: Facts
    studies: tuple[PriorStudy, ...] = ()
    orders: tuple[ImagingOrder, ...] = ()
    contrast: ContrastFacts
    pregnancy: PregnancyFacts
    reports: tuple[PriorReport, ...] = ()
    """Reports of any status: whether a prior has been read."""
    cancer: str | None = None
    is_emergency: bool = False
    """Emergency, trauma or intensive care: films are serial there, and codes are nobody's concern."""
    not_available: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMoment:
    """Whose chart, in which encounter (None where the hook names none), and when: aware, in the zone of the site's days."""

    patient_id: str
    encounter_id: str | None
    now: datetime
    bases: tuple[str, ...] = ()
    """The FHIR bases whose logical ids are meant: an absolute subject elsewhere is another person."""
    site: SiteStudies | None = None
    """The site's own examination codes."""

    @property
    def today(self) -> date:
        """The site's day."""
        return self.now.date()


def read_order_chart(
    resources: Mapping[str, Sequence[Mapping[str, Any]] | None],
    moment: ChartMoment,
    policy: OrderPolicy,
    *,
    partial: frozenset[str] = frozenset(),
) -> OrderChart:
    """The chart in the answers to ``ORDER_QUERIES``, by key; never raises over content."""
    own = {query.key: _own(resources.get(query.key), query.resource_type, moment) for query in ORDER_QUERIES}
    conditions = [one for one in own["conditions"] if read_condition(one) is not None]
    missing = frozenset(query.key for query in ORDER_QUERIES if resources.get(query.key) is None)
    classes = _encounter_classes(own["encounters"], moment.encounter_id)
    facts = read_facts(resources, moment.patient_id, partial=partial, bases=moment.bases, site=moment.site)
    gender = next((text(one.get("gender")) for one in own["patient"]), None)
    return OrderChart(
        facts=facts,
        studies=_priors(own["studies"], moment),
        orders=tuple(_open_orders(own["orders"], moment.site)),
        contrast=ContrastFacts(
            egfr=latest_egfr(own["labs"], moment.now),
            acute_kidney_injury=_with_its_day("acute-kidney-injury", conditions, moment),
            dialysis=_condition("dialysis", conditions),
            kidney_risks=_kidney_risks(conditions, policy),
            metformin=takes_metformin((*own["medications"], *own["medication-statements"]), moment.today),
            reactions=contrast_reactions(own["allergies"]),
            is_inpatient=bool(classes & _INPATIENT),
            not_available=missing | partial,
        ),
        pregnancy=PregnancyFacts(
            gender=gender,
            birth_date=facts.patient.birth_date,
            records=pregnancy_records(own["pregnancy"], conditions, moment.now),
            not_available="pregnancy" in missing,
        ),
        reports=read_prior_reports(own["reports"]),
        cancer=_condition("cancer", [one for one in conditions if _is_staged_again(one)]),
        is_emergency=_EMERGENCY in classes or any(map(_is_on_serial_ward, _meant(own["encounters"], moment.encounter_id))),
        not_available=missing,
        partial=partial,
    )


def _own(
    resources: Sequence[Mapping[str, Any]] | None, resource_type: str, moment: ChartMoment
) -> tuple[Mapping[str, Any], ...]:
    """The patient's own resources of the type, each once."""
    found: dict[str, Mapping[str, Any]] = {}
    for position, resource in enumerate(resources or ()):
        if resource.get("resourceType") != resource_type or not _is_own(resource, moment):
            continue
        reference = reference_of(resource, resource_type)
        found.setdefault(reference if "/" in reference else str(position), resource)
    return tuple(found.values())


def _is_own(resource: Mapping[str, Any], moment: ChartMoment) -> bool:
    if resource.get("resourceType") == "Patient":
        return text(resource.get("id")) == moment.patient_id
    # AllergyIntolerance says patient where all others say subject.
    subject = as_dict(resource.get("subject")) or as_dict(resource.get("patient"))
    return points_to_patient(text(subject.get("reference")), moment.patient_id, moment.bases)


def _priors(resources: Sequence[Mapping[str, Any]], moment: ChartMoment) -> tuple[PriorStudy, ...]:
    """Each study once: two systems may both have stored it, and then the one whose images are there counts."""
    found: dict[str, PriorStudy] = {}
    for prior in (read_prior(one, moment.site, moment.now.tzinfo) for one in resources):
        if isinstance(prior, Problem):
            continue
        known = found.get(str(prior.study_instance_uid))
        if known is None:
            found[str(prior.study_instance_uid)] = prior
            continue
        is_there = known.status != "available" and prior.status == "available"
        kept, other = (prior, known) if is_there else (known, prior)
        found[str(prior.study_instance_uid)] = replace(
            kept,
            based_on=kept.based_on | other.based_on,
            accessions=kept.accessions | other.accessions,
            same_as=kept.same_as | other.same_as | {other.reference},
        )
    return tuple(found.values())


def _open_orders(resources: Sequence[Mapping[str, Any]], site: SiteStudies | None) -> list[ImagingOrder]:
    read = (read_imaging_order(one, reference_of(one, "ServiceRequest"), site) for one in resources)
    return [one for one in read if one is not None and one.status in OPEN]


def _condition(name: str, conditions: Sequence[Mapping[str, Any]]) -> str | None:
    found = (one for one in conditions if value_set(name).holds_any(codes.codings(one.get("code"))))
    return next((next(iter(words_of(as_dict(one.get("code")))), name.replace("-", " ")) for one in found), None)


def _is_staged_again(condition: Mapping[str, Any]) -> bool:
    """Whether a cancer makes repeated imaging likely: confirmed (or of unstated verification), no skin cancer, not in situ."""
    verification = {one.code for one in codes.codings(condition.get("verificationStatus"))}
    icd_10 = [one.code.upper() for one in codes.codings(condition.get("code")) if one.system in ICD_10]
    return not (verification - {"confirmed"}) and not any(one.startswith(_NOT_STAGED) for one in icd_10)


def _with_its_day(name: str, conditions: Sequence[Mapping[str, Any]], moment: ChartMoment) -> str | None:
    """The latest such condition in words, with its own day: one of years ago that nobody has ended must be seen to be that."""
    own = [one for one in conditions if value_set(name).holds_any(codes.codings(one.get("code")))]
    stated = (text(one.get("onsetDateTime")) or text(one.get("recordedDate")) for one in own)
    dated = [(site_day(when, moment.now.tzinfo), one) for when, one in zip(stated, own, strict=True)]
    day, latest = max(dated, key=lambda one: one[0] or date.min, default=(None, {}))
    words = _condition(name, [latest])
    return f"{words} (of {day})" if words and day else words


def _kidney_risks(conditions: Sequence[Mapping[str, Any]], policy: OrderPolicy) -> tuple[str, ...]:
    names = ["chronic-kidney-disease", "single-kidney", "kidney-transplant"]
    names += ["diabetes"] if policy.diabetes_is_a_kidney_risk else []
    return tuple(words for words in (_condition(name, conditions) for name in names) if words)


def _encounter_classes(encounters: Sequence[Mapping[str, Any]], encounter_id: str | None) -> frozenset[str]:
    """Class codes of the encounter that is meant. R5 has a list of concepts."""
    found: set[str] = set()
    for encounter in _meant(encounters, encounter_id):
        stated = [as_dict(encounter.get("class")), *dicts(encounter.get("class"))]
        found |= {code.code for one in stated for code in codes.codings(one)}
    return frozenset(found)


def _meant(encounters: Sequence[Mapping[str, Any]], encounter_id: str | None) -> list[Mapping[str, Any]]:
    """The hook's encounter; every current one where the hook names none."""
    return [one for one in encounters if encounter_id is None or text(one.get("id")) == encounter_id]


def _is_on_serial_ward(encounter: Mapping[str, Any]) -> bool:
    """Whether the encounter's present location is intensive care or trauma, by its type or, where that is missing, by name."""
    here = [one for one in dicts(encounter.get("location")) if text(one.get("status")) in (None, "active")]
    names = [text(as_dict(one.get("location")).get("display")) or "" for one in here]
    kinds = {
        code.code
        for place in dicts(encounter.get("contained"))
        if any(text(as_dict(one.get("location")).get("reference")) == f"#{text(place.get('id'))}" for one in here)
        for kind in dicts(place.get("type"))
        for code in codes.codings(kind)
    }
    return bool(kinds & _SERIAL_WARDS) or any(_SERIAL_WARD.search(name) for name in names)
