"""The AI's structured report of the demo becomes the cards that hand-written FHIR would give (clinical rules, section 6)."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from ehr_sandbox.demo_derived import AI_RESULT
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_study import SITE_ZONE, DemoCalendar, nodule_mark
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

CALENDAR = DemoCalendar(demo_day=date(2026, 11, 21))
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=SITE_ZONE)
STUDY = study_uid(alma.CURRENT.study_instance_uid)
BASE = "https://imaging-cds.example/fhir/CodeSystem"
SCHEMES = {"99IMAGINGCDS": f"{BASE}/lung-rads|2022", "99IMAGINGNODULE": f"{BASE}/nodule"}
_BY_TYPE = {
    "Patient": "patient",
    "Observation": "findings",
    "DiagnosticReport": "reports",
    "ImagingStudy": "studies",
}
Resource = dict[str, Any]


@pytest.fixture(scope="module", params=[FhirVersion.R4, FhirVersion.R5], ids=str)
def ai_result(request: pytest.FixtureRequest) -> list[Resource]:
    """What is brought over of the AI's report, as a FHIR server gives it back."""
    report = derived_object(AI_RESULT, alma.CURRENT, CALENDAR, alma.AI_CLAIM)
    started = CALENDAR.at(alma.CURRENT.days_ago, alma.CURRENT.clock).isoformat()
    context = ResultContext(subject="Patient/demo-a", study=STUDY, started=started, schemes=SCHEMES)
    found = results_of([read_report(report.to_json_dict())], context, request.param)
    assert found.left_out == ()
    return as_stored(found.resources, f"ImagingStudy/{alma.CURRENT.key}")


def as_stored(resources: tuple[Resource, ...], study: str) -> list[Resource]:
    """With the ids that a server gives, and references to them."""
    ids = {key_of(one): f"made-{number}" for number, one in enumerate(resources)}
    addresses = {study_key(STUDY): study} | {key: f"{key.kind}/{given}" for key, given in ids.items()}
    return [{"id": ids[key_of(one)], **resolved(one, addresses)} for one in resources]


def chart(*left_out: str) -> list[Resource]:
    """Her chart without any AI result, and without what is named."""
    resources = alma.alma_resources(CALENDAR, alma.PRIOR, alma.CURRENT)
    return [one for one in resources if "-ai-" not in one["id"] and one["id"] not in left_out]


def cards(resources: list[Resource]) -> tuple[Facts, tuple[Guidance, ...]]:
    found: dict[str, list[Resource]] = defaultdict(list)
    for one in resources:
        if (key := _BY_TYPE.get(one["resourceType"])) and not one["id"].endswith("smoking"):
            found[key].append(one)
    facts = read_facts(found, "demo-a")
    assert facts.problems == ()
    return facts, judge(facts, bundled_packs(), NOW).guidance


def test_the_reader_s_card_shows_the_disagreeing_ai_beside_it(ai_result: list[Resource]) -> None:
    facts, guidance = cards([*chart(), *ai_result])
    (card,) = guidance

    assert (card.finding.category, card.finding.author, card.urgency) == ("4B", Author.PERSON, Urgency.WARNING)
    assert (card.order, card.ai_agrees) == (None, False)
    assert summary_of(card) == (
        "Lung-RADS 4B (LDCT 2026-11-18): refer for further clinical evaluation; AI (unsigned) says 4A – radiologist"
    )
    assert "**AI (unsigned):** Lung-RADS 4A, 9 mm" in detail_of(card, facts)
    assert "by Demo Nodule AI 1.0; nobody has signed it. It differs from the reader." in detail_of(card, facts)


def test_t8_the_ai_alone_gives_a_card_that_says_so_without_interval_or_order(ai_result: list[Resource]) -> None:
    reader = (f"{alma.CURRENT.key}-lung-rads", f"{alma.CURRENT.key}-report")
    facts, guidance = cards([*chart(*reader), *ai_result])
    card = next(one for one in guidance if one.finding.author is Author.AI)

    assert card.urgency is not Urgency.CRITICAL
    assert (card.order, card.next_step) == (None, None)
    assert summary_of(card) == "AI (unsigned): Lung-RADS 4A (LDCT 2026-11-18): nobody has signed it – AI result"
    assert "right upper lobe" in detail_of(card, facts), "45653009 alone is unsided"


def test_the_card_opens_the_slice_of_the_report(ai_result: list[Resource]) -> None:
    facts, _ = cards([*chart(), *ai_result])
    (finding,) = (one for one in facts.findings if one.author is Author.AI)
    mark = nodule_mark(alma.CURRENT)

    assert finding.selection is not None
    assert (finding.selection.study, finding.selection.series, finding.selection.instance) == (
        mark.study_instance_uid,
        mark.series_instance_uid,
        mark.sop_instance_uid,
    )
    assert finding.study_reference == f"ImagingStudy/{alma.CURRENT.key}"
    assert finding.nodule.diameter_mm == alma.CURRENT.phantom.nodule.diameter_mm
