"""The AI's structured report of the demo becomes the cards that hand-written FHIR would give (clinical rules, section 6)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from highdicom.sr import CodedConcept

from cds_service.wording import detail_of, summary_of
from ehr_sandbox.demo_derived import AI_RESULT
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_sr import ALGORITHM_NAME, ALGORITHM_VERSION, LUNG_RADS_SCHEME, NODULE_SCHEME
from ehr_sandbox.demo_study import DemoCalendar, nodule_mark
from ehr_sandbox.patients import alma
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import study_uid
from imaging_findings.advice import Guidance
from imaging_findings.facts import Facts, read_facts
from imaging_findings.findings import Author
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from pacs_sync.result_mapping import ResultContext, results_of
from pacs_sync.result_steps import key_of, resolved, study_key
from pacs_sync.structured_report import read_report
from smart_app.study_reports import report_row
from tests.cds_actors import (
    LUNG_RADS,
    NODULE,
    NOW,
    a_lung_rads,
    a_patient,
    a_report,
    a_study,
    an_ai_lung_rads,
    nodule_components,
)
from tests.sr_actors import AReport, a_nodule, evaluated, mapped

CALENDAR = DemoCalendar(demo_day=date(2026, 11, 21))
STUDY = study_uid(alma.CURRENT.study_instance_uid)
STARTED = CALENDAR.at(alma.CURRENT.days_ago, alma.CURRENT.clock).isoformat()
SCHEMES = {LUNG_RADS_SCHEME: LUNG_RADS, NODULE_SCHEME: NODULE}
Resource = dict[str, Any]


@pytest.fixture(scope="module", params=[FhirVersion.R4, FhirVersion.R5], ids=str)
def ai_result(request: pytest.FixtureRequest) -> list[Resource]:
    """What is brought over of the AI's report, as a FHIR server gives it back."""
    report = derived_object(AI_RESULT, alma.CURRENT, CALENDAR, alma.AI_CLAIM)
    context = ResultContext(subject="Patient/p", study=STUDY, started=STARTED, schemes=SCHEMES)
    found = results_of([read_report(json.loads(json.dumps(report.to_json_dict(), default=str)))], context, request.param)
    assert found.left_out == ()
    ids = {key_of(one): f"made-{number}" for number, one in enumerate(found.resources)}
    addresses = {study_key(STUDY): "ImagingStudy/study"} | {key: f"{key.kind}/{given}" for key, given in ids.items()}
    return [{"id": ids[key_of(one)], **resolved(one, addresses)} for one in found.resources]


def by_hand() -> Resource:
    """The same claim as somebody would have written it."""
    nodule = alma.CURRENT.phantom.nodule
    return an_ai_lung_rads(
        alma.AI_CLAIM,
        effectiveDateTime=STARTED,
        device={"reference": "Device/ai", "display": f"{ALGORITHM_NAME} {ALGORITHM_VERSION}"},
        component=nodule_components(nodule.diameter_mm, "solid", change="baseline"),
    )


def of_reader() -> Resource:
    return a_lung_rads("4B", effectiveDateTime=STARTED, component=nodule_components(9.0, "solid", change="growing"))


def cards(*resources: Resource) -> tuple[Facts, tuple[Guidance, ...]]:
    whole: dict[str, list[Resource]] = {key: [] for key in ("orders", "conditions", "smoking", "communications")}
    whole["patient"] = [a_patient()]
    whole["studies"] = [a_study(started=STARTED, identifier=[{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}])]
    whole["findings"] = [one for one in resources if one["resourceType"] == "Observation"]
    whole["reports"] = [one for one in resources if one["resourceType"] == "DiagnosticReport"]
    facts = read_facts(whole, "p")
    assert facts.problems == ()
    return facts, judge(facts, bundled_packs(), NOW).guidance


def said(*resources: Resource) -> list[tuple[str, str]]:
    facts, guidance = cards(*resources)
    return [(summary_of(one), detail_of(one, facts).replace(", right upper lobe of lung", "")) for one in guidance]


def test_cards_are_word_for_word_those_of_a_hand_written_result_but_for_the_site(ai_result: list[Resource]) -> None:
    report = a_report("Solid nodule in the right upper lobe, 9.0 mm, growing.", issued=STARTED)

    assert said(*ai_result) == said(by_hand())
    assert said(of_reader(), *ai_result) == said(of_reader(), by_hand())
    assert said(report, *ai_result) == said(report, by_hand())


def test_the_reader_s_card_shows_the_disagreeing_ai_beside_it(ai_result: list[Resource]) -> None:
    facts, (card,) = cards(of_reader(), *ai_result)

    assert (card.finding.category, card.finding.author, card.urgency) == ("4B", Author.PERSON, Urgency.WARNING)
    assert (card.order, card.ai_agrees) == (None, False)
    assert "**AI (unsigned):** Lung-RADS 4A, 9 mm, solid, baseline, right upper lobe" in detail_of(card, facts)
    assert "by Demo Nodule AI 1.0; nobody has signed it. It differs from the reader." in detail_of(card, facts)


def test_t8_the_ai_alone_gives_a_card_that_says_so_without_interval_or_order(ai_result: list[Resource]) -> None:
    facts, (card,) = cards(*ai_result)

    assert (card.finding.author, card.urgency) == (Author.AI, Urgency.WARNING)
    assert (card.order, card.next_step) == (None, None)
    assert summary_of(card).startswith("AI (unsigned): Lung-RADS 4A")
    assert "right upper lobe" in detail_of(card, facts), "45653009 alone is unsided"


def test_the_card_opens_the_slice_of_the_report(ai_result: list[Resource]) -> None:
    facts, _ = cards(of_reader(), *ai_result)
    (finding,) = (one for one in facts.findings if one.author is Author.AI)
    mark = nodule_mark(alma.CURRENT)

    assert finding.selection is not None
    assert (finding.selection.study, finding.selection.series, finding.selection.instance) == (
        mark.study_instance_uid,
        mark.series_instance_uid,
        mark.sop_instance_uid,
    )
    assert finding.study_reference == "ImagingStudy/study"
    assert finding.nodule.diameter_mm == alma.CURRENT.phantom.nodule.diameter_mm


def test_the_list_calls_the_report_an_ai_report_that_nobody_signed(ai_result: list[Resource]) -> None:
    (report,) = (one for one in ai_result if one["resourceType"] == "DiagnosticReport")
    row = report_row(report)

    assert (row.state, row.title, row.is_by_ai, row.is_signed) == ("AI report", "Imaging Measurement Report", True, False)
    assert row.text is None
    assert row.conclusion is not None
    label, *lines = row.conclusion.split("\n")
    assert label == "AI results, preliminary, not signed."
    assert any("9" in line and "mm" in line for line in lines), lines


def test_t8_an_ai_s_emergency_is_not_critical_until_a_person_signs_it() -> None:
    emergency = CodedConcept("59282003", "SCT", "Pulmonary embolism")
    urgent = evaluated(
        CodedConcept("111012", "DCM", "Certainty of Finding"), CodedConcept("RID49480", "RADLEX", "ACR Category 1")
    )
    found = {
        signed: mapped(AReport(groups=[a_nodule(urgent, finding=emergency)], verified_by=signed)).resources
        for signed in (None, "Reader^Ruth^^Dr")
    }
    now = datetime(2026, 11, 18, 11, 30, tzinfo=UTC)
    loud = {signed: critical_cards(resources, now) for signed, resources in found.items()}

    assert loud == {None: 0, "Reader^Ruth^^Dr": 1}


def critical_cards(resources: tuple[Resource, ...], now: datetime) -> int:
    every: dict[str, list[Resource]] = {key: [] for key in ("orders", "conditions", "smoking", "communications", "reports")}
    every |= {"patient": [a_patient()], "studies": [a_study(started=STARTED)]}
    every["findings"] = [
        {"id": "o", **one, "derivedFrom": [{"reference": "ImagingStudy/study"}]}
        for one in resources
        if one["resourceType"] == "Observation"
    ]
    return sum(one.urgency is Urgency.CRITICAL for one in judge(read_facts(every, "p"), bundled_packs(), now).guidance)
