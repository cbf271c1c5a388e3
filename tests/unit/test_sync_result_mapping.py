"""Who stands behind a result of a structured report, and what it says (clinical rules, section 6, X7, X23)."""

from __future__ import annotations

import json

import pytest
from highdicom.sr import CodedConcept

from imaging_findings import codes
from imaging_findings.report_states import ReportState, read_any_report
from pacs_sync.result_elements import RESULT_SYSTEM
from tests.sr_actors import (
    ABSENT,
    CATEGORY,
    DIAMETER,
    PULMONARY_EMBOLISM,
    STARTED,
    STUDY_REFERENCE,
    AReport,
    a_nodule,
    component,
    evaluated,
    identity,
    is_labelled,
    lung_rads,
    mapped,
    observation,
    of_type,
    size,
    unregioned,
)


def test_a_program_s_unsigned_finding_is_preliminary_labelled_and_has_its_device() -> None:
    results = mapped(AReport())
    (device,), (report,) = of_type(results, "Device"), of_type(results, "DiagnosticReport")
    found = observation(results)

    assert (found["status"], report["status"]) == ("preliminary", "preliminary")
    assert is_labelled(found)
    assert is_labelled(report)
    assert found["device"] == {
        "reference": f"Device?identifier={RESULT_SYSTEM}|{identity(device)}",
        "display": "Nodule Finder 2.1",
    }
    assert (device["manufacturer"], device["deviceName"], device["version"]) == (
        "Synthetic Maker",
        [{"name": "Nodule Finder", "type": "user-friendly-name"}],
        [{"value": "2.1"}],
    )
    assert "performer" not in found


def test_x7_x23_the_report_s_performer_is_an_organisation_and_its_conclusion_is_labelled() -> None:
    (report,) = of_type(mapped(AReport()), "DiagnosticReport")

    assert report["performer"] == [{"type": "Organization", "display": "Synthetic Hospital"}]
    assert not {"conclusionCode", "presentedForm", "resultsInterpreter"} & report.keys()
    assert report["conclusion"].startswith("AI results, preliminary, not signed.\n")
    assert report["category"][0]["coding"][0]["code"] == "RAD"
    assert report["imagingStudy"] == [{"reference": STUDY_REFERENCE}]


def test_a_verified_finding_is_final_and_says_who_signed_it_when_but_nobody_has_read_the_study_for_it() -> None:
    results = mapped(AReport(verified_by="Reader^Ruth^^Dr"))
    found, (report,) = observation(results), of_type(results, "DiagnosticReport")

    assert (found["status"], report["status"]) == ("final", "partial")
    state = read_any_report(report)
    assert state is not None
    assert state.state is ReportState.UNSIGNED, "whether the study was read is still open"
    assert found["performer"] == report["resultsInterpreter"] == [{"display": "Dr Ruth Reader"}]
    assert found["issued"] == report["issued"] == "2026-11-18T11:00:00+01:00"
    assert not is_labelled(found)
    assert not is_labelled(report)


def test_a_partial_report_is_not_final_whoever_verified_it() -> None:
    results = mapped(AReport(verified_by="Reader^Ruth^^Dr", is_complete=False))

    assert observation(results)["status"] == "preliminary"
    assert of_type(results, "DiagnosticReport")[0]["status"] == "partial"


def test_a_program_that_verifies_itself_is_not_a_person() -> None:
    assert observation(mapped(AReport(verified_by="Nodule Finder^")))["status"] == "preliminary"


def test_what_a_person_measured_is_no_ai_result_and_no_report() -> None:
    results = mapped(AReport(person="Reader^Ruth^^Dr", device=None, groups=[a_nodule(lung_rads(), algorithm=None)]))
    found = observation(results)

    assert [one["resourceType"] for one in results.resources] == ["Observation"]
    assert (found["status"], found["performer"]) == ("preliminary", [{"display": "Dr Ruth Reader"}])
    assert "device" not in found
    assert not is_labelled(found)


def test_times_are_those_of_the_images_and_of_writing() -> None:
    found = observation(mapped(AReport()))

    assert (found["effectiveDateTime"], found["issued"]) == (STARTED, "2026-11-18T09:20:00+01:00")


def test_a_category_is_the_observation_in_the_site_s_scheme_with_the_version_of_the_report() -> None:
    found = observation(mapped(AReport()))

    assert found["code"]["coding"][0]["code"] == "1362105002"
    assert found["valueCodeableConcept"] == {
        "coding": [{"system": codes.LUNG_RADS, "version": "2022", "code": "4A", "display": "Lung-RADS 4A"}],
        "text": "Lung-RADS 4A (v2022)",
    }
    assert component(found, "121071")["valueCodeableConcept"]["coding"][0]["code"] == "27925004"


@pytest.mark.parametrize(("of_report", "written"), [(None, "2022"), ("1.1", "1.1")])
def test_the_site_says_which_version_its_scheme_is_where_the_report_does_not(of_report: str | None, written: str) -> None:
    report = AReport(groups=[a_nodule(lung_rads(version=of_report))])
    schemes = {"99SITE": f"{codes.LUNG_RADS}|2022"}
    value = observation(mapped(report, schemes=schemes))["valueCodeableConcept"]

    assert value["coding"][0]["system"] == codes.LUNG_RADS
    assert (value["coding"][0]["version"], value["text"]) == (written, f"Lung-RADS 4A (v{written})")


def test_a_category_in_an_unknown_scheme_is_words_and_never_a_wrong_code() -> None:
    unknown = evaluated(CATEGORY, CodedConcept("4A", "99UNKNOWN", "Lung-RADS 4A"))

    assert observation(mapped(AReport(groups=[a_nodule(unknown)])))["valueCodeableConcept"] == {"text": "Lung-RADS 4A"}


@pytest.mark.parametrize(
    ("meaning", "is_coded"),
    [
        ("Lung-RADS 4A", True),
        ("Lung-RADS 4", True),
        ("4B or 4A", True),
        ("Lung-RADS 4B", False),
        ("Lung-RADS category: 2", False),
    ],
)
def test_a_category_whose_words_name_another_one_is_words_alone(meaning: str, is_coded: bool) -> None:
    stated = evaluated(CATEGORY, CodedConcept("4A", "99SITE", meaning, scheme_version="2022"))
    value = observation(mapped(AReport(groups=[a_nodule(stated)])))["valueCodeableConcept"]

    assert ("coding" in value) is is_coded
    assert is_coded or value == {"text": f"{meaning} (code 4A)"}


def test_two_categories_in_one_group_are_both_told_and_neither_is_the_group_s() -> None:
    found = observation(mapped(AReport(groups=[a_nodule(lung_rads("3"), lung_rads("4A"))])))

    assert found["code"]["coding"][0]["code"] == "27925004"
    assert "valueCodeableConcept" not in found


def test_bi_rads_in_snomed_is_also_coded_so_that_it_is_searched_for() -> None:
    named = CodedConcept("111037", "DCM", "Mammography CAD Assessment")
    assessed = evaluated(named, CodedConcept("397143007", "SCT", "Category 3"))
    found = observation(mapped(AReport(groups=[a_nodule(assessed, finding=CodedConcept("4147007", "SCT", "Mass"), site=None)])))

    assert found["code"]["coding"][-1]["code"] == "bi-rads"
    assert found["valueCodeableConcept"]["coding"][0]["code"] == "397143007"


def test_a_nodule_is_an_observation_of_the_nodule_with_its_unsided_site_and_the_side_beside_it() -> None:
    found = observation(mapped(AReport(groups=[a_nodule(measurements=[size(DIAMETER, 7.5)])])))

    assert found["code"]["coding"][0]["code"] == "27925004"
    assert (found["bodySite"]["coding"][0]["code"], found["bodySite"]["text"]) == ("45653009", "Right upper lobe of lung")
    assert component(found, "272741003")["valueCodeableConcept"]["coding"][0]["code"] == "24028007"


@pytest.mark.parametrize(
    ("stated", "typed", "words"),
    [
        ('"00080104": {"vr": "LO", "Value": ["Right"]}', ("Right", "Left"), "Upper lobe of lung, Left, contradictory side"),
        ('["Upper lobe of lung"]', ("Upper", "Left upper"), "Left upper lobe of lung, Right, contradictory side"),
    ],
    ids=["the side's own words", "the site's words"],
)
def test_m4_a_side_whose_code_and_words_contradict_each_other_is_words_alone(
    stated: str, typed: tuple[str, str], words: str
) -> None:
    whole = json.dumps(AReport().json())
    assert whole.count(stated) == 1
    found = observation(mapped(json.loads(whole.replace(stated, stated.replace(*typed)))))

    assert found["bodySite"] == {"text": words}
    assert "272741003" not in json.dumps(found["component"])


def test_another_finding_is_the_value_of_finding() -> None:
    found = observation(mapped(AReport(groups=[a_nodule(finding=PULMONARY_EMBOLISM)])))

    assert found["code"]["coding"][0]["code"] == "121071"
    assert found["valueCodeableConcept"]["coding"][0]["code"] == "59282003"
    assert "interpretation" not in found


@pytest.mark.parametrize("name", [PULMONARY_EMBOLISM, CodedConcept("99PRES", "99SITE", "Presence")], ids=["itself", "presence"])
def test_a_finding_that_is_said_to_be_absent_is_denied(name: CodedConcept) -> None:
    found = observation(mapped(AReport(groups=[a_nodule(evaluated(name, ABSENT), finding=PULMONARY_EMBOLISM)])))

    assert found["interpretation"][0]["coding"][0]["code"] == "NEG"


def test_an_absent_feature_denies_nothing() -> None:
    calcified = evaluated(CodedConcept("99CALC", "99SITE", "Presence of calcification"), ABSENT)

    assert "interpretation" not in observation(mapped(AReport(groups=[a_nodule(calcified)])))


def test_a_group_without_finding_is_left_out_with_its_reason() -> None:
    results = mapped(AReport(groups=[unregioned(size(DIAMETER, 7.0), finding=None)]))

    assert results.resources == ()
    assert [one.reason for one in results.left_out] == ["a measurement group names no finding"]
