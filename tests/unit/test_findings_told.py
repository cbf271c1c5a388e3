"""Clinical rules 3.4: whether somebody was told is asked for each finding, and only a record that can mean it counts."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings.facts import Facts
from imaging_findings.findings import Author
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from tests.cds_actors import DCM, NOW, SCT, a_report, concept
from tests.unit.test_findings_critical import (
    RADLEX,
    a_communication,
    a_section,
    an_embolism,
    facts_with,
    hours_ago,
    judged,
    the_guidance,
)

UNTOLD = "ACR category 1, no documented communication found"


def a_pneumothorax(hours: float = 2, **members: Any) -> dict[str, Any]:
    return an_embolism(hours, **{"id": "air", "code": concept(SCT, "36118008")} | members)


def detail(facts: Facts) -> str:
    return detail_of(judge(facts, bundled_packs(), NOW).guidance[0], facts)


# --- sections of the report


@pytest.mark.parametrize(
    "words",
    [
        "Could not reach the ordering provider; not communicated.",
        "No answer at the ward, called twice.",
        "Left a message; Dr Ward will be called again.",
        "Dr Ward informed by voicemail.",
        "Dr Ward.",
    ],
)
def test_3_4_a_section_that_tells_of_nobody_reached_stays_critical_and_is_quoted(words: str) -> None:
    facts = facts_with(an_embolism(2), a_section(words))
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert guidance.urgency is Urgency.CRITICAL
    assert guidance.headline == f"ACR category 1, documented: “{words}”"
    assert "ommunicated to" not in summary_of(guidance) + detail_of(guidance, facts)


@pytest.mark.parametrize("words", ["Informed Dr Ward at 07:10.", "Discussed in person with Dr Ward."])
def test_3_4_a_section_that_tells_of_a_call_is_quoted_and_names_no_recipient(words: str) -> None:
    guidance = the_guidance(an_embolism(2), a_section(words))

    assert (guidance.urgency, guidance.headline) == (Urgency.INFO, f"ACR category 1, documented: “{words}”")


def test_3_4_a_section_of_before_the_addendum_is_told_in_the_detail_only() -> None:
    guidance = the_guidance(an_embolism(2), a_section("Informed Dr Ward of the pneumonia.", issued=hours_ago(50)))

    assert (guidance.urgency, guidance.headline) == (Urgency.CRITICAL, UNTOLD)
    assert any(
        "Informed Dr Ward of the pneumonia." in note and "before this finding was signed" in note for note in guidance.notes
    )


def test_3_4_a_section_without_its_time_does_not_count_and_is_quoted() -> None:
    guidance = the_guidance(an_embolism(2), a_section("Informed Dr Ward.", issued=None))

    assert (guidance.urgency, guidance.headline) == (Urgency.CRITICAL, "ACR category 1, documented: “Informed Dr Ward.”")


def test_a_long_section_is_cut_in_the_summary_and_whole_in_the_detail() -> None:
    words = "Could not reach the ordering provider " * 4 + "<b>today</b>."
    facts = facts_with(an_embolism(2), a_section(words))

    assert len(summary_of(judge(facts, bundled_packs(), NOW).guidance[0])) < 140
    assert "&lt;b&gt;today&lt;/b&gt;." in detail(facts)


def test_a_told_recipient_is_named_before_a_section_is_quoted() -> None:
    told = a_communication(about=[{"reference": "ImagingStudy/study"}])
    guidance = the_guidance(an_embolism(2), a_section("Not communicated."), communications=[told])

    assert guidance.headline == "ACR category 1, communicated to Dr Synthetic Ward at 2026-11-21 07:10 UTC"


# --- for each finding


def test_3_4_one_findings_communication_says_nothing_of_another() -> None:
    told = a_communication(about=[{"reference": "Observation/finding"}])
    facts = facts_with(an_embolism(2), a_pneumothorax(2), communications=[told])
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert (guidance.urgency, guidance.title, guidance.headline) == (Urgency.CRITICAL, "Pneumothorax", UNTOLD)
    assert "**Also on this study:** Pulmonary embolism: ACR category 1, communicated to Dr Synthetic Ward" in detail(facts)


def test_3_4_each_finding_carries_its_own_name() -> None:
    assert "**Also on this study:** Pneumothorax: ACR category 1, no documented" in detail(
        facts_with(an_embolism(2), a_pneumothorax(2))
    )


@pytest.mark.parametrize("about", ["DiagnosticReport/report", "ImagingStudy/study"])
def test_3_4_a_communication_about_all_counts_only_for_what_was_signed_before_it(about: str) -> None:
    report = a_report("Embolism.", issued=hours_ago(2))
    told = a_communication(about=[{"reference": about}])
    guidance = the_guidance(an_embolism(2), a_pneumothorax(0.5), reports=[report], communications=[told])

    assert (guidance.urgency, guidance.title, guidance.headline) == (Urgency.CRITICAL, "Pneumothorax", UNTOLD)
    assert any("it was before this finding was signed" in note for note in guidance.notes)
    assert [(one.title, one.urgency) for one in guidance.beside] == [("Pulmonary embolism", Urgency.INFO)]


def test_a_communication_without_its_time_counts_only_for_the_finding_that_it_names() -> None:
    of_study, of_finding = (
        a_communication(about=[{"reference": about}], sent=None) for about in ("ImagingStudy/study", "Observation/finding")
    )

    assert the_guidance(an_embolism(2), communications=[of_study]).urgency is Urgency.CRITICAL
    assert the_guidance(an_embolism(2), communications=[of_finding]).urgency is Urgency.INFO


def test_the_reports_bare_category_is_that_of_its_coded_finding() -> None:
    report = a_report("Embolism.", issued=hours_ago(2), conclusionCode=[concept(RADLEX, "RID49480")])
    told = a_communication(about=[{"reference": "Observation/finding"}])
    guidance = the_guidance(an_embolism(2), reports=[report], communications=[told])

    assert (guidance.urgency, guidance.others) == (Urgency.INFO, ())


# --- to whom and when


@pytest.mark.parametrize("about", ["Observation/finding", "ImagingStudy/study"])
@pytest.mark.parametrize(
    "members",
    [
        {"sent": "2026-11-21T04:59:00Z"},
        {"sent": "2026-11-19T08:00:00Z"},
        {"recipient": [{"reference": "Patient/p", "display": "The patient"}]},
        {"recipient": [{"type": "RelatedPerson", "display": "Her son"}, {"reference": "https://e.example/fhir/Patient/p"}]},
    ],
)
@pytest.mark.parametrize("category", ["RID49480", "RID49481"])
def test_3_4_neither_scheduling_nor_the_patient_meets_category_1_or_2(
    about: str, members: dict[str, Any], category: str
) -> None:
    found = an_embolism(2, effectiveDateTime="2026-11-21T05:00:00Z", interpretation=[concept(RADLEX, category)])
    told = a_communication(**{"about": [{"reference": about}]} | members)
    guidance = the_guidance(found, communications=[told])

    assert guidance.urgency is not Urgency.INFO
    assert guidance.headline is not None
    assert guidance.headline.endswith("no documented communication found")


def test_a_professional_among_the_recipients_meets_it() -> None:
    whom = [{"reference": "Patient/p"}, {"reference": "Practitioner/ward", "display": "Dr Ward"}]
    told = a_communication(about=[{"reference": "Observation/finding"}], recipient=whom)

    assert the_guidance(an_embolism(2), communications=[told]).urgency is Urgency.INFO


def test_without_a_moment_the_days_of_the_study_and_the_communication_are_compared() -> None:
    """The study of 2026-10-01 has no moment here."""
    before, on_the_day = (
        a_communication(about=[{"reference": "Observation/finding"}], sent=f"2026-{day}T08:00:00Z")
        for day in ("09-30", "10-01")
    )

    assert the_guidance(an_embolism(2), communications=[before]).urgency is Urgency.CRITICAL
    assert the_guidance(an_embolism(2), communications=[on_the_day]).urgency is Urgency.INFO


# --- late addenda


@pytest.mark.parametrize("days", [4, 47])
def test_3_4_a_late_addendum_counts_from_its_own_signature(days: int) -> None:
    report = a_report("No embolism. Addendum: embolism.", status="amended", issued=hours_ago(days * 24))

    assert the_guidance(an_embolism(2), reports=[report]).urgency is Urgency.CRITICAL


def test_an_older_finding_of_the_study_does_not_silence_a_new_one() -> None:
    guidance = the_guidance(an_embolism(2), a_pneumothorax(40 * 24))

    assert (guidance.urgency, guidance.title) == (Urgency.CRITICAL, "Pulmonary embolism")
    assert [one.stated for one in guidance.others] == ["Pneumothorax"]


def test_a_finding_without_its_own_time_has_that_of_its_report() -> None:
    old = a_report("Embolism.", issued=hours_ago(40 * 24))
    young = a_report("Embolism.", id="addendum", issued=hours_ago(2), result=[{"reference": "Observation/finding"}])

    assert judged(an_embolism(issued=None), reports=[old]).guidance == ()
    assert the_guidance(an_embolism(issued=None), reports=[old, young]).urgency is Urgency.CRITICAL


# --- by whom


def test_6_an_ais_category_is_coded_by_the_ai() -> None:
    ai = {"status": "preliminary", "device": {"display": "Synthetic PE AI 1.0"}, "performer": []}
    found = an_embolism(2, interpretation=[concept(RADLEX, "RID49480")], **ai)
    facts = facts_with(found)

    assert facts.actionable[0].author is Author.AI
    assert "Pulmonary embolism, coded as ACR category 1 by the AI" in detail(facts)


def test_a_finding_outside_the_policy_keeps_its_own_name() -> None:
    nodule = an_embolism(
        code=concept(DCM, "121071"),
        valueCodeableConcept={"coding": [{"system": SCT, "code": "427359005", "display": "Solitary nodule of lung"}]},
        interpretation=[concept(RADLEX, "RID49480")],
    )

    assert the_guidance(nodule).title == "Solitary nodule of lung"
