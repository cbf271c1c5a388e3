"""CAD-RADS (CID 3020, 3021) and recommended follow-up of breast imaging (CID 6028, 6029): the reader's word and no more."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings import codes
from imaging_findings.advice import Authority, Guidance, Suppressed
from imaging_findings.assessment_codes import CODED_CATEGORIES
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.intervals import DueWindow
from imaging_findings.packs import bundled_packs
from imaging_findings.reader_codes import echoed_guidance
from imaging_findings.rules import Urgency
from imaging_findings.tables.derive import ASSESSMENTS_HEADER, assessment_rows
from tests.cds_actors import DCM, NOW, SCT, a_patient, a_report, a_study, an_observation, concept
from tests.conftest import CHECKOUT

OWN = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
TODAY = date(2026, 11, 21)
SHORT, NORMAL, BIOPSY = "111142", "111140", "111148"


def said(*findings: dict[str, Any], today: date = TODAY, **others: Any) -> list[Guidance | Suppressed]:
    whole: dict[str, Any] = {key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")}
    stated = {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]}
    return echoed_guidance(read_facts(whole | stated | others, "p"), bundled_packs(), today)


def the_guidance(*findings: dict[str, Any], **others: Any) -> Guidance:
    (one,) = said(*findings, **others)
    assert isinstance(one, Guidance)
    return one


def the_silence(*findings: dict[str, Any], **others: Any) -> str:
    (one,) = said(*findings, **others)
    assert isinstance(one, Suppressed)
    return one.reason


def a_cad_rads(code: str, **members: Any) -> dict[str, Any]:
    return an_observation(code=concept(OWN, "cad-rads"), valueCodeableConcept=concept(DCM, code), **members)


def a_recommendation(code: str, **members: Any) -> dict[str, Any]:
    return an_observation(code=concept(DCM, "111053"), valueCodeableConcept=concept(DCM, code), **members)


def a_bi_rads(category: str, *recommended: str, **members: Any) -> dict[str, Any]:
    value = concept("https://imaging-cds.example/fhir/CodeSystem/bi-rads", category, "5")
    parts = [{"code": concept(DCM, "111053"), "valueCodeableConcept": concept(DCM, code)} for code in recommended]
    return an_observation(code=concept(OWN, "bi-rads"), valueCodeableConcept=value, component=parts, **members)


def test_t1_the_table_is_what_pydicom_ships() -> None:
    written = (CHECKOUT / "imaging_findings" / "tables" / "dicom_assessments.csv").read_text(encoding="utf-8")

    assert written.startswith(ASSESSMENTS_HEADER)
    assert {(row[0], row[1]): row[3].split() for row in assessment_rows()} == {
        key: [str(cid) for cid in (3020, 3021, 6028, 6029) if key in codes.codes_of_cid(cid)]
        for cid in (3020, 3021, 6028, 6029)
        for key in codes.codes_of_cid(cid)
    }


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("130723", "0"),
        ("130724", "1"),
        ("130725", "2"),
        ("130726", "3"),
        ("130727", "4"),
        ("130728", "4A"),
        ("130729", "4B"),
        ("130730", "5"),
        ("130731", "N"),
    ],
)
def test_cad_rads_codes_of_the_specification(code: str, category: str) -> None:
    assert CODED_CATEGORIES[codes.DCM, code] == ("cad-rads", category)


@pytest.mark.parametrize("code", ["130726", "130727", "130729", "130730", "130731"])
def test_cad_rads_is_echoed_without_interval_or_order(code: str) -> None:
    guidance = the_guidance(a_cad_rads(code))

    assert (guidance.rule_id, guidance.urgency) == ("reader/cad-rads", Urgency.INFO)
    assert (guidance.next_step, guidance.order) == (None, None)
    assert [one.authority for one in guidance.statements] == [Authority.READER]


@pytest.mark.parametrize("code", ["130723", "130724", "130725"])
def test_cad_rads_without_obstruction_is_no_card(code: str) -> None:
    assert "asks for nothing" in the_silence(a_cad_rads(code))


def test_cad_rads_of_a_reports_conclusion_code_is_read_once() -> None:
    report = a_report("", conclusionCode=[concept(DCM, "130727")])

    assert the_guidance(reports=[report]).finding.reference == "DiagnosticReport/report"
    assert the_guidance(a_cad_rads("130727"), reports=[report]).finding.reference == "Observation/finding"


@pytest.mark.parametrize(("day", "told"), [("2024-11-21", True), ("2024-11-20", False)])
def test_an_old_result_is_history(day: str, told: bool) -> None:
    (one,) = said(a_cad_rads("130727", effectiveDateTime=day), studies=[a_study(started=day)])

    assert isinstance(one, Guidance) is told


def test_a_short_interval_is_the_interval_that_its_code_names() -> None:
    guidance = the_guidance(a_recommendation(SHORT))

    assert guidance.next_step is not None
    assert guidance.next_step.due == DueWindow(date(2026, 11, 1), date(2027, 9, 1))
    assert guidance.statements[0].words == "“Follow-up at short interval (1-11 months)”, as the reader coded it."
    assert guidance.order is None


def test_the_interval_that_is_coded_beside_it_counts_alone() -> None:
    six = {"value": 6, "code": "mo", "system": "http://unitsofmeasure.org"}
    part = {"code": concept(DCM, "111055"), "valueQuantity": six}
    guidance = the_guidance(
        an_observation(
            code=concept(DCM, "111053"),
            valueCodeableConcept=concept(DCM, SHORT),
            component=[part, {"code": concept(DCM, "111053"), "valueCodeableConcept": concept(DCM, SHORT)}],
        )
    )

    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-04-01"


@pytest.mark.parametrize("code", [BIOPSY, "111143", "111144", "111145", "111138", "111141"])
def test_biopsy_and_the_like_are_echoed_with_no_interval(code: str) -> None:
    guidance = the_guidance(a_recommendation(code))

    assert (guidance.next_step, guidance.order, guidance.urgency) == (None, None, Urgency.INFO)
    assert guidance.statements[0].words == f"“{codes.concept(codes.DCM, code).display}”, as the reader coded it."


def test_a_normal_interval_asks_for_nothing_of_its_own() -> None:
    assert "asks for nothing" in the_silence(a_recommendation(NORMAL))
    assert "asks for nothing" in the_silence(reports=[a_report("", conclusionCode=[concept(DCM, NORMAL)])])


def test_contradicting_recommendations_are_none() -> None:
    both = {"coding": [{"system": DCM, "code": NORMAL}, {"system": DCM, "code": BIOPSY}]}

    assert "asks for nothing" in the_silence(a_recommendation(NORMAL) | {"valueCodeableConcept": both})


def test_a_procedure_is_a_recommendation_only_where_it_is_said_to_be_one() -> None:
    ultrasound = concept(SCT, "16310003")

    assert (
        the_guidance(a_recommendation(BIOPSY) | {"valueCodeableConcept": ultrasound})
        .statements[0]
        .words.startswith("“Diagnostic")
    )
    assert said(reports=[a_report("", conclusionCode=[ultrasound])]) == []


def test_nothing_is_said_twice_where_the_category_is_coded_too() -> None:
    both = said(a_bi_rads("4"), a_recommendation(BIOPSY, id="other"))

    assert [one.reason for one in both if isinstance(one, Suppressed)] == [
        "the BI-RADS category of the same study says what follows"
    ]


def test_an_unsigned_ai_result_is_not_echoed() -> None:
    machine = {"status": "preliminary", "device": {"display": "Synthetic AI"}, "performer": []}

    assert said(a_cad_rads("130730", **machine), a_recommendation(BIOPSY, id="other", **machine)) == []


def test_a_later_examination_ends_it() -> None:
    later = a_study(
        id="later",
        started="2026-11-10",
        modality=[{"code": "MG"}],
        identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}],
    )
    later["series"] = [{"uid": "2.25.9.1", "modality": {"code": "MG"}, "bodySite": {"system": SCT, "code": "76752008"}}]

    assert "later breast examination" in the_silence(a_recommendation(SHORT), studies=[a_study(), later])


def test_the_card_says_that_it_is_the_readers_word() -> None:
    whole: dict[str, Any] = {key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")}
    stated = {"patient": [a_patient()], "findings": [a_cad_rads("130726")], "studies": [a_study()]}
    facts = read_facts(whole | stated, "p")
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert summary_of(guidance) == "CAD-RADS 3 (CT 2026-10-01): moderate stenosis, as the reader coded it – radiologist"
    assert "none is computed" in detail_of(guidance, facts)


def test_a_breast_recommendation_makes_one_card_with_its_window() -> None:
    whole: dict[str, Any] = {key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")}
    stated = {"patient": [a_patient()], "findings": [a_recommendation(SHORT)], "studies": [a_study()]}
    (guidance,) = judge(read_facts(whole | stated, "p"), bundled_packs(), NOW).guidance

    assert summary_of(guidance) == (
        "Breast imaging (CT 2026-10-01): follow-up imaging due 2026-11-01 to 2027-09-01 – radiologist"
    )
