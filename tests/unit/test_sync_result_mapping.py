"""Structured reports as FHIR results: each trap of clinical rules, section 6, and T3 (valid R4, R4B and R5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from fhir.resources import get_fhir_model_class
from fhir.resources.R4B import get_fhir_model_class as get_r4b_model_class
from fhirclient.models import fhirelementfactory
from highdicom.sr import (
    CodedConcept,
    ReferencedSegment,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.uid import UID, SegmentationStorage

from fhir_imaging.fhir_versions import FhirVersion
from imaging_findings import codes
from imaging_findings.facts import read_facts
from imaging_findings.findings import Author
from pacs_sync.result_elements import RESULT_SYSTEM
from pacs_sync.result_mapping import LeftOut, OtherStudy, Results, studies_beside
from pacs_sync.structured_report import read_report
from tests.cds_actors import a_patient, a_study
from tests.sr_actors import (
    CATEGORY,
    CENTIMETRE,
    DIAMETER,
    LONG_AXIS,
    MAXIMUM,
    MEAN,
    MILLIMETRE,
    NODULE,
    OTHER_STUDY,
    SHORT_AXIS,
    STARTED,
    STUDY,
    AReport,
    Json,
    a_nodule,
    an_image,
    component,
    evaluated,
    lung_rads,
    mapped,
    of_type,
    size,
    unregioned,
)

STUDY_REFERENCE = "ImagingStudy?identifier=urn:dicom:uid|urn:oid:2.25.600"
AI_LABEL = ("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "AIAST")
PULMONARY_EMBOLISM = CodedConcept("59282003", "SCT", "Pulmonary embolism")
ABSENT = CodedConcept("2667000", "SCT", "Absent")


def observation(results: Results) -> Json:
    (found,) = of_type(results, "Observation")
    return found


def identity(resource: Json) -> str:
    return str(resource["identifier"][0]["value"])


def is_labelled(resource: Json) -> bool:
    return any((one["system"], one["code"]) == AI_LABEL for one in resource.get("meta", {}).get("security", []))


# Who stands behind it


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


def test_x7_x23_the_report_s_performer_is_an_organisation_and_it_has_no_conclusion() -> None:
    (report,) = of_type(mapped(AReport()), "DiagnosticReport")

    assert report["performer"] == [{"type": "Organization", "display": "Synthetic Hospital"}]
    assert not {"conclusion", "conclusionCode", "presentedForm", "resultsInterpreter"} & report.keys()
    assert report["category"][0]["coding"][0]["code"] == "RAD"
    assert report["imagingStudy"] == [{"reference": STUDY_REFERENCE}]


def test_a_verified_report_is_final_and_says_who_signed_it_when() -> None:
    results = mapped(AReport(verified_by="Reader^Ruth^^Dr"))
    found, (report,) = observation(results), of_type(results, "DiagnosticReport")

    assert (found["status"], report["status"]) == ("final", "final")
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


# What it says


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


# Measurements


@pytest.mark.parametrize(("value", "unit"), [(9.0, MILLIMETRE), (0.9, CENTIMETRE)], ids=["mm", "cm"])
def test_trap_lengths_are_in_millimetres(value: float, unit: CodedConcept) -> None:
    found = observation(mapped(AReport(groups=[unregioned(size(DIAMETER, value, unit))])))

    assert component(found, "81827009")["valueQuantity"] == {"value": 9.0, "unit": "mm", "system": codes.UCUM, "code": "mm"}


def test_what_is_no_length_keeps_its_value_and_unit() -> None:
    volume = size(CodedConcept("118565006", "SCT", "Volume"), 0.38, CodedConcept("cm3", "UCUM", "cubic centimeter"))
    found = observation(mapped(AReport(groups=[unregioned(volume)])))

    assert component(found, "118565006")["valueQuantity"] == {
        "value": 0.38,
        "unit": "cubic centimeter",
        "system": codes.UCUM,
        "code": "cm3",
    }


def test_a_unit_of_another_system_is_words() -> None:
    volume = size(CodedConcept("118565006", "SCT", "Volume"), 3, CodedConcept("vox", "99SITE9", "voxels"))
    found = observation(mapped(AReport(groups=[unregioned(volume)])))

    assert component(found, "118565006")["valueQuantity"] == {"value": 3.0, "unit": "voxels"}


def test_trap_long_and_short_axis_both_come_over_and_readers_take_their_mean() -> None:
    axes = [size(LONG_AXIS, 9.6), size(SHORT_AXIS, 8.4)]
    found = observation(mapped(AReport(groups=[a_nodule(lung_rads(), measurements=axes)])))
    facts = read_facts({"patient": [a_patient()], "findings": [found], "studies": [a_study()]}, "p")

    assert facts.findings[0].nodule.diameter_mm == 9.0


@pytest.mark.parametrize(
    "measurements",
    [
        [size(DIAMETER, 12.0, derivation=MAXIMUM), size(LONG_AXIS, 9.6), size(SHORT_AXIS, 8.4)],
        [size(DIAMETER, 12.0), size(LONG_AXIS, 9.6), size(SHORT_AXIS, 8.4)],
        [size(DIAMETER, 12.0, derivation=MAXIMUM), size(DIAMETER, 9.0, derivation=MEAN)],
    ],
    ids=["a maximum beside axes", "unsaid beside axes", "a maximum beside the mean"],
)
def test_trap_a_diameter_that_is_not_the_mean_is_not_taken_for_it(measurements: Sequence[Any]) -> None:
    found = observation(mapped(AReport(groups=[a_nodule(lung_rads(), measurements=measurements)])))
    facts = read_facts({"patient": [a_patient()], "findings": [found], "studies": [a_study()]}, "p")

    assert facts.findings[0].nodule.diameter_mm == 9.0
    assert 12.0 in [one["valueQuantity"]["value"] for one in found["component"] if "valueQuantity" in one]


@pytest.mark.parametrize(
    ("qualifier", "reason"),
    [("114000", "not-a-number"), ("114001", "negative-infinity"), ("114007", "not-performed"), ("114006", "error")],
)
def test_trap_a_qualifier_without_value_is_an_absent_value_with_its_reason(qualifier: str, reason: str) -> None:
    report = AReport(groups=[unregioned(size(DIAMETER, 7.0))]).json()
    change_number(report, value=None, qualifier=qualifier)
    diameter = component(observation(mapped(report)), "81827009")

    assert diameter["dataAbsentReason"]["coding"][0]["code"] == reason
    assert "valueQuantity" not in diameter


def test_trap_a_qualified_number_is_no_plain_number() -> None:
    report = AReport(groups=[unregioned(size(DIAMETER, 7.0))]).json()
    change_number(report, value=7.0, qualifier="114009")

    assert "valueQuantity" not in component(observation(mapped(report)), "81827009")


# Where it was seen


def test_trap_the_slice_of_a_region_is_selected_and_one_in_space_selects_none() -> None:
    flat, in_space = (observation(mapped(AReport(groups=[a_nodule(lung_rads(), in_space=one)]))) for one in (False, True))
    selected = {one["url"]: one["valueOid"] for one in flat["extension"][0]["extension"]}

    assert selected == {"study": "urn:oid:2.25.600", "series": "urn:oid:2.25.600.1", "instance": "urn:oid:2.25.600.1.1"}
    assert "extension" not in in_space
    assert flat["derivedFrom"][0] == in_space["derivedFrom"][0] == {"reference": STUDY_REFERENCE}


def test_a_segmented_volume_selects_the_middle_of_its_source_images_and_not_the_segmentation() -> None:
    """TID 1411."""
    slices = [an_image(number=one) for one in (1, 2, 3)]
    segmentation = an_image(number=9)
    segmentation.SOPClassUID = SegmentationStorage
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=UID("2.25.6001"), identifier="Nodule 1"),
        referenced_segment=ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=1,
            source_images=[SourceImageForSegmentation.from_source_image(one) for one in slices],
        ),
        finding_type=NODULE,
        qualitative_evaluations=[lung_rads()],
    )
    found = observation(mapped(AReport(groups=[group], images=[*slices, segmentation])))

    assert {one["url"]: one["valueOid"] for one in found["extension"][0]["extension"]}["instance"] == "urn:oid:2.25.600.1.2"
    assert found["device"]["display"] == "Nodule Finder"


def test_a_uid_that_fhir_takes_for_no_oid_is_told_as_words_that_readers_know() -> None:
    report = json.loads(json.dumps(AReport().json()).replace("2.25.600.1.1", "2.25.600.01.1"))
    found = observation(mapped(report, version=FhirVersion.R5))
    facts = read_facts({"patient": [a_patient()], "findings": [found], "studies": [a_study()]}, "p")

    get_fhir_model_class("Observation").model_validate_json(json.dumps(found))
    assert facts.findings[0].selection is not None
    assert facts.findings[0].selection.instance == "2.25.600.01.1"


def test_the_report_that_it_comes_from_is_named() -> None:
    source = observation(mapped(AReport()))["derivedFrom"][1]

    assert source["identifier"] == {"system": "urn:dicom:uid", "value": "urn:oid:2.25.6200.1"}


def test_trap_images_in_another_study_make_it_that_study_s_finding_where_fhir_has_it() -> None:
    image = an_image(OTHER_STUDY)
    report = AReport(groups=[a_nodule(lung_rads(), image=image)], images=[image], lies_in=STUDY).json()
    beside = OtherStudy("ImagingStudy/77", "2026-11-02T08:00:00+01:00")
    results = mapped(report, others={OTHER_STUDY: beside})
    found, (summary,) = observation(results), of_type(results, "DiagnosticReport")

    assert studies_beside([read_report(report)], STUDY) == {OTHER_STUDY}
    assert found["derivedFrom"][0] == {"reference": "ImagingStudy/77"}
    assert found["partOf"] == [{"reference": STUDY_REFERENCE}]
    assert found["effectiveDateTime"] == summary["effectiveDateTime"] == "2026-11-02T08:00:00+01:00"
    assert [one["reference"] for one in summary["imagingStudy"]] == ["ImagingStudy/77", STUDY_REFERENCE]


def test_trap_images_in_a_study_that_fhir_does_not_have_are_left_out() -> None:
    image = an_image(OTHER_STUDY)
    results = mapped(AReport(groups=[a_nodule(lung_rads(), image=image)], images=[image], lies_in=STUDY))

    assert results.resources == ()
    assert [one.reason for one in results.left_out] == ["the study of its images is not in FHIR, or of another patient"]


def test_a_report_that_names_another_patient_than_its_study_is_left_out() -> None:
    results = mapped(AReport(), patient="SYN-2")

    assert results == Results(
        resources=(), left_out=(LeftOut(results.left_out[0].uid, "it names another patient than its study"),)
    )


# Which finding it is


def test_trap_a_successor_updates_the_same_resources() -> None:
    first = AReport(number=1)
    second = AReport(number=2, replaces=[first.dataset()], groups=[a_nodule(lung_rads("3"))], at=later())
    before, both, after = mapped(first), mapped(first, second), mapped(second)

    assert both == after, "also once the archive has the first no more"
    assert [identity(one) for one in both.resources] == [identity(one) for one in before.resources]
    assert observation(both)["valueCodeableConcept"]["coding"][0]["code"] == "3"


def test_trap_a_successor_that_a_person_signs_makes_the_same_resources_final() -> None:
    first = AReport(number=1)
    second = AReport(number=2, replaces=[first.dataset()], verified_by="Reader^Ruth^^Dr", at=later())
    before, after = mapped(first), mapped(first, second)

    assert identity(observation(before)) == identity(observation(after))
    assert [one["status"] for one in after.resources if one["resourceType"] != "Device"] == ["final", "final"]


def test_trap_what_the_successor_says_no_more_is_gone_even_if_it_cannot_be_read() -> None:
    first = AReport(number=1, groups=[a_nodule(lung_rads()), a_nodule(lung_rads("2"), lesion="2.25.6002")])
    second = AReport(number=2, replaces=[first.dataset()])
    unreadable = second.json()
    unreadable["0040A730"]["Value"] = []

    assert len(of_type(mapped(first), "Observation")) == 2
    assert len(of_type(mapped(first, second), "Observation")) == 1
    assert mapped(first, unreadable).resources == ()


def test_reports_in_a_circle_leave_the_newest() -> None:
    first, second = AReport(number=1).json(), AReport(number=2, replaces=[AReport(number=1).dataset()], at=later()).json()
    circle = json.loads(json.dumps(second["0040A360"]).replace("2.25.6200.1", "2.25.6200.2"))
    first["0040A360"] = circle

    (report,) = of_type(mapped(first, second), "DiagnosticReport")
    assert report["identifier"][1]["value"] == "urn:oid:2.25.6200.2"


def test_trap_the_same_lesion_in_another_examination_is_another_finding_with_the_same_tracking_uid() -> None:
    image = an_image(OTHER_STUDY)
    beside = {OTHER_STUDY: OtherStudy("ImagingStudy/77", None)}
    now = observation(mapped(AReport()))
    before = observation(
        mapped(AReport(groups=[a_nodule(lung_rads(), image=image)], images=[image], lies_in=STUDY), others=beside)
    )

    assert identity(now) != identity(before)
    assert now["identifier"][1] == before["identifier"][1]
    assert component(now, "112040")["valueString"] == "urn:oid:2.25.6001"


def test_a_program_and_a_person_who_describe_one_lesion_are_two_findings() -> None:
    by_person = AReport(number=2, person="Reader^Ruth", device=None, groups=[a_nodule(lung_rads("4B"), algorithm=None)])
    found = of_type(mapped(AReport(number=1), by_person), "Observation")

    assert sorted(one["valueCodeableConcept"]["coding"][0]["code"] for one in found) == ["4A", "4B"]


def test_of_two_unrelated_reports_of_one_finding_the_signed_one_counts_then_the_newer() -> None:
    old, new = (
        AReport(number=1, groups=[a_nodule(lung_rads("2"))]),
        AReport(number=2, groups=[a_nodule(lung_rads("3"))], at=later()),
    )
    signed = AReport(number=3, groups=[a_nodule(lung_rads("4A"))], verified_by="Reader^Ruth")

    assert observation(mapped(new, old))["valueCodeableConcept"]["coding"][0]["code"] == "3"
    assert observation(mapped(signed, new, old))["valueCodeableConcept"]["coding"][0]["code"] == "4A"


def test_the_newer_report_is_told_by_the_moment_and_not_by_its_digits() -> None:
    """At the end of summer time a clock shows an earlier hour later."""
    old, new = (AReport(number=one, groups=[a_nodule(lung_rads(str(one + 1)))]).json() for one in (1, 2))
    for report, clock, zone in ((old, "023000", "+0200"), (new, "020500", "+0100")):
        report |= {"00080023": {"Value": ["20261025"]}, "00080033": {"Value": [clock]}, "00080201": {"Value": [zone]}}

    assert observation(mapped(new, old))["valueCodeableConcept"]["coding"][0]["code"] == "3"


def test_results_do_not_depend_on_the_order_of_the_reports() -> None:
    every = [AReport(number=one, groups=[a_nodule(lung_rads(), lesion=f"2.25.600{one}")]) for one in (1, 2, 3)]

    assert mapped(*every) == mapped(*reversed(every))


# How readers take it, and whether it is valid


def test_t8_the_readers_of_findings_take_it_for_an_unsigned_ai_result() -> None:
    found = observation(mapped(AReport()))
    facts = read_facts({"patient": [a_patient()], "findings": [found], "studies": [a_study()]}, "p")
    (finding,) = facts.findings

    assert facts.problems == ()
    assert (finding.author, finding.category, finding.signed_by) == (Author.AI, "4A", "Nodule Finder 2.1")
    assert finding.site == "right upper lobe of lung"
    assert finding.selection is not None


def every_kind(version: FhirVersion) -> list[Json]:
    absent = evaluated(PULMONARY_EMBOLISM, ABSENT)
    groups = [
        a_nodule(lung_rads(), measurements=[size(DIAMETER, 9.0, derivation=MEAN)]),
        a_nodule(absent, lesion="2.25.6002", finding=PULMONARY_EMBOLISM, in_space=True),
        unregioned(size(DIAMETER, 0.9, CENTIMETRE), size(LONG_AXIS, 9.6)),
    ]
    qualified = AReport(number=3, groups=[unregioned(size(SHORT_AXIS, 7.0))], at=later()).json()
    change_number(qualified, value=None, qualifier="114006")
    by_person = AReport(
        number=2, person="Reader^Ruth", device=None, verified_by="Reader^Ruth^^Dr", groups=[a_nodule(algorithm=None)]
    )
    resources = mapped(AReport(groups=groups), by_person, qualified, version=version).resources
    assert {one["resourceType"] for one in resources} == {"Device", "Observation", "DiagnosticReport"}
    return list(resources)


def test_t3_everything_is_valid_r4_and_r4b() -> None:
    for one in every_kind(FhirVersion.R4):
        assert fhirelementfactory.FHIRElementFactory.instantiate(one["resourceType"], one).as_json() == one
        get_r4b_model_class(one["resourceType"]).model_validate_json(json.dumps(one))


def test_t3_everything_is_valid_r5() -> None:
    for one in every_kind(FhirVersion.R5):
        get_fhir_model_class(one["resourceType"]).model_validate_json(json.dumps(one))


def change_number(report: Json, *, value: float | None, qualifier: str) -> None:
    """Makes the report's numbers qualified ones."""
    for one in report.get("0040A730", {}).get("Value", []):
        if one["0040A040"]["Value"] == ["NUM"]:
            if value is None:
                one["0040A300"] = {"vr": "SQ"}
            stated = {"00080100": {"Value": [qualifier]}, "00080102": {"Value": ["DCM"]}, "00080104": {"Value": ["Qualified"]}}
            one["0040A301"] = {"vr": "SQ", "Value": [stated]}
        change_number(one, value=value, qualifier=qualifier)


def later() -> datetime:
    return datetime(2026, 11, 18, 10, 0)  # noqa: DTZ001 - DICOM's times stand beside their zone
