"""Clinical rules 3.4: actionable findings, what is on record about their communication, and who may be critical (T8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib import resources
from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings.actionable_policy import parse_actionable_policy
from imaging_findings.advice import Guidance, Judgement
from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import ACTIONABLE_FILE, bundled_packs
from imaging_findings.rules import Urgency
from imaging_findings.toml_tables import PackError
from tests.cds_actors import DCM, LOINC, NOW, SCT, a_patient, a_report, a_study, an_observation, concept

RADLEX = "http://radlex.org"
PE = "59282003"
Resource = Mapping[str, Any]


def hours_ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def an_embolism(hours: float = 2, **members: Any) -> dict[str, Any]:
    return an_observation(**{"code": concept(SCT, PE), "issued": hours_ago(hours)} | members)


def a_communication(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": "told",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "about": [{"reference": "DiagnosticReport/report"}],
        "sent": "2026-11-21T07:10:00+00:00",
        "recipient": [{"display": "Dr Synthetic Ward"}],
    } | members


def a_section(words: str, **members: Any) -> dict[str, Any]:
    """A signed section "Communication of Critical Results" of the study."""
    stated = {"id": "section", "code": concept(LOINC, "73568-8"), "valueString": words, "issued": hours_ago(1)}
    return an_observation(**stated | members)


def facts_with(*findings: Resource, **others: list[Resource] | None) -> Facts:
    whole: dict[str, list[Resource] | None] = {
        key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")
    }
    return read_facts(whole | {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]} | others, "p")


def judged(*findings: Resource, **others: list[Resource] | None) -> Judgement:
    return judge(facts_with(*findings, **others), bundled_packs(), NOW)


def the_guidance(*findings: Resource, **others: list[Resource] | None) -> Guidance:
    judgement = judged(*findings, **others)
    assert len(judgement.guidance) == 1, judgement
    return judgement.guidance[0]


def test_patient_e_embolism_two_hours_ago_and_nobody_on_record_is_critical() -> None:
    guidance = the_guidance(an_embolism(2))

    assert guidance.urgency is Urgency.CRITICAL
    expected = "Pulmonary embolism (CT 2026-10-01): ACR category 1, no documented communication found – radiologist"
    assert summary_of(guidance) == expected


def test_the_card_is_supplementary_and_names_the_policy_row() -> None:
    facts = facts_with(an_embolism(2))
    detail = detail_of(judge(facts, bundled_packs(), NOW).guidance[0], facts)

    assert "it has told nobody" in detail
    assert "row pulmonary-embolism" in detail
    assert "still needs a clinician's check" in detail


@pytest.mark.parametrize(
    ("hours", "urgency"),
    [(0, "critical"), (23.9, "critical"), (24, "warning"), (72, "warning"), (-0.5, "critical"), (-2, "warning")],
)
def test_only_a_young_result_is_critical(hours: float, urgency: str) -> None:
    assert the_guidance(an_embolism(hours)).urgency.value == urgency


def test_after_the_policys_days_nothing_is_said() -> None:
    judgement = judged(an_embolism(31 * 24))

    assert judgement.guidance == ()
    assert judgement.suppressed[0].reason == "it was reported more than 30 days ago"


def test_without_the_time_of_signing_nothing_is_critical() -> None:
    guidance = the_guidance(an_embolism(issued=None))

    assert guidance.urgency is Urgency.WARNING
    assert any("time of signing is not known" in note for note in guidance.notes)


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_signed_states_are_critical(status: str) -> None:
    assert the_guidance(an_embolism(status=status)).urgency is Urgency.CRITICAL


@pytest.mark.parametrize("status", ["preliminary", "registered", "cancelled", "entered-in-error", "unknown"])
def test_unsigned_states_say_nothing(status: str) -> None:
    assert judged(an_embolism(status=status)).guidance == ()


def test_t8_an_unsigned_ai_result_is_never_critical() -> None:
    ai = an_embolism(status="preliminary", device={"display": "Synthetic PE AI 1.0"}, performer=[])
    guidance = the_guidance(ai)

    assert guidance.urgency is Urgency.WARNING
    assert guidance.headline == "nobody has signed it"


@pytest.mark.parametrize(
    ("code", "urgency"), [("RID49480", "critical"), ("RID49481", "warning"), ("RID49482", "info")], ids=["Cat1", "Cat2", "Cat3"]
)
@pytest.mark.parametrize("system", [RADLEX, "http://www.radlex.org", "http://radlex.org/"])
@pytest.mark.parametrize("carrier", ["interpretation", "component", "conclusionCode"])
def test_the_readers_coded_category_decides(code: str, urgency: str, system: str, carrier: str) -> None:
    """CID 7035; both spellings of RadLex; the policy's own category 1 for this finding steps back."""
    coded = concept(system, code)
    if carrier == "conclusionCode":
        guidance = the_guidance(reports=[a_report("", issued=hours_ago(2), conclusionCode=[coded, concept(SCT, PE)])])
    else:
        value = [{"code": concept(DCM, "121071"), "valueCodeableConcept": coded}] if carrier == "component" else [coded]
        guidance = the_guidance(an_embolism(2, **{carrier: value}))

    assert guidance.urgency.value == urgency
    assert guidance.title == "Pulmonary embolism"


def test_reader_and_policy_that_part_are_both_shown() -> None:
    guidance = the_guidance(an_embolism(2, interpretation=[concept(RADLEX, "RID49481")]))

    assert "The reader coded category 2; the site's policy says category 1." in guidance.notes


@pytest.mark.parametrize("code", ["59282003", "36118008", "1386000"])
def test_each_finding_of_the_policy_is_read_as_code_and_as_value_of_finding(code: str) -> None:
    as_value = an_embolism(2, code=concept(DCM, "121071"), valueCodeableConcept=concept(SCT, code))

    assert the_guidance(an_embolism(2, code=concept(SCT, code))).urgency is Urgency.CRITICAL
    assert the_guidance(as_value).urgency is Urgency.CRITICAL


@pytest.mark.parametrize(
    "value",
    [
        {"valueBoolean": False},
        {"valueString": "no embolism"},
        {"valueCodeableConcept": concept(SCT, "272519000")},
        {"valueCodeableConcept": concept(SCT, "260385009")},
        {"dataAbsentReason": {"text": "not evaluated"}},
    ],
)
def test_t9_a_finding_that_is_not_there_says_nothing(value: dict[str, Any]) -> None:
    assert judged(an_embolism(2, **value)).guidance == ()


HL7 = "http://terminology.hl7.org/CodeSystem/"


@pytest.mark.parametrize(
    "denied",
    [
        {"interpretation": [concept(f"{HL7}v3-ObservationInterpretation", "NEG")]},
        {"interpretation": [concept(f"{HL7}v3-ObservationInterpretation", "ND")]},
        {"interpretation": [concept(f"{HL7}v2-0078", "NEG")]},
        {"interpretation": [concept(RADLEX, "RID49480"), concept(SCT, "2667000")]},
        {"interpretation": [concept(RADLEX, "RID49480")], "valueBoolean": False},
        {"interpretation": [concept(RADLEX, "RID49480")], "dataAbsentReason": {"text": "not evaluated"}},
        {"interpretation": [concept(RADLEX, "RID49480")], "valueCodeableConcept": concept(SCT, "260415000")},
        {
            "code": concept(DCM, "121071"),
            "valueCodeableConcept": concept(SCT, PE),
            "interpretation": [concept(SCT, "260385009")],
        },
        {"verificationStatus": concept(f"{HL7}condition-ver-status", "refuted")},
    ],
)
def test_t9_a_finding_denied_in_code_says_nothing_whatever_its_category(denied: dict[str, Any]) -> None:
    """Clinical rules 3.4: only what is there is communicated."""
    assert judged(an_embolism(2, **denied)).guidance == ()


def test_a_value_of_present_outweighs_an_interpretation_that_denies_it() -> None:
    denied = concept(f"{HL7}v3-ObservationInterpretation", "NEG")

    assert the_guidance(an_embolism(2, valueBoolean=True, interpretation=[denied])).urgency is Urgency.CRITICAL


@pytest.mark.parametrize("value", [{"valueBoolean": True}, {"valueCodeableConcept": concept(SCT, "52101004")}])
def test_a_finding_that_is_said_to_be_there_counts(value: dict[str, Any]) -> None:
    assert the_guidance(an_embolism(2, **value)).urgency is Urgency.CRITICAL


@pytest.mark.parametrize(
    "about",
    ["DiagnosticReport/report", "Observation/finding", "ImagingStudy/study", "https://ehr.example.org/fhir/ImagingStudy/study"],
)
def test_a_communication_on_record_is_told_and_ends_the_alarm(about: str) -> None:
    report = a_report("Embolism.", issued=hours_ago(2))
    told = a_communication(about=[{"reference": about}])
    guidance = the_guidance(an_embolism(2), reports=[report], communications=[told])

    assert guidance.urgency is Urgency.INFO
    assert guidance.headline == "ACR category 1, communicated to Dr Synthetic Ward at 2026-11-21 07:10 UTC"


@pytest.mark.parametrize(
    "members",
    [{"status": "preparation"}, {"status": "not-done"}, {"about": [{"reference": "ImagingStudy/other"}]}, {"about": []}],
)
def test_what_is_no_communication_of_this_result_does_not_count(members: dict[str, Any]) -> None:
    guidance = the_guidance(an_embolism(2), communications=[a_communication(**members)])

    assert guidance.urgency is Urgency.CRITICAL


def test_a_coded_section_of_the_report_counts_as_communication() -> None:
    section = a_section("Dr Ward by phone")
    guidance = the_guidance(an_embolism(2), section)

    assert (guidance.urgency, guidance.headline) == (Urgency.INFO, "ACR category 1, documented: “Dr Ward by phone”")


def test_the_reports_words_about_a_call_are_quoted_and_do_not_count() -> None:
    report = a_report("Acute embolism. Findings were discussed with Dr Ward at 07:10.", issued=hours_ago(2))
    guidance = the_guidance(an_embolism(2), reports=[report])

    assert guidance.urgency is Urgency.CRITICAL
    assert guidance.headline == "ACR category 1, only the report's text tells of a communication"
    assert [quote.sentence for quote in guidance.quotes] == ["Findings were discussed with Dr Ward at 07:10."]


@pytest.mark.parametrize("words", ["Dr Ward could not be called.", "To be discussed with the ward.", "Not yet communicated."])
def test_t9_words_of_a_call_that_did_not_happen_are_not_quoted(words: str) -> None:
    guidance = the_guidance(an_embolism(2), reports=[a_report(words, issued=hours_ago(2))])

    assert guidance.headline == "ACR category 1, no documented communication found"


def test_silence_of_a_store_is_not_taken_for_an_answer() -> None:
    guidance = the_guidance(an_embolism(2), communications=None)

    assert guidance.headline == "ACR category 1, whether it was communicated could not be looked up"


def test_report_and_observation_of_one_study_make_one_card() -> None:
    report = a_report("Embolism.", issued=hours_ago(2), conclusionCode=[concept(SCT, PE)])

    assert the_guidance(an_embolism(2), reports=[report]).others == ()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("critical_below_hours = 24", "critical_below_hours = 12", "is not 24 to 72"),
        ("critical_below_hours = 24", "critical_below_hours = 73", "is not 24 to 72"),
        ('code = "59282003"', 'code = "168731009"', "in no checked code table"),
        ('code = "3"\nstatement', 'code = "2"\nstatement', "for each of 1, 2 and 3"),
        ('id = "pneumothorax"', 'id = "pulmonary-embolism"', "twice"),
    ],
)
def test_a_faulty_policy_is_refused(old: str, new: str, fault: str) -> None:
    toml = (resources.files("imaging_findings") / "packs" / ACTIONABLE_FILE).read_text(encoding="utf-8")
    assert old in toml

    with pytest.raises(PackError, match=fault):
        parse_actionable_policy(toml.replace(old, new, 1), "bad.toml")
