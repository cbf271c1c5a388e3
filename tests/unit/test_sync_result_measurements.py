"""Sizes, units, slices and studies of structured reports as FHIR has them (clinical rules, section 6, "SR traps")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources import get_fhir_model_class
from highdicom.sr import (
    CodedConcept,
    ReferencedSegment,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.uid import UID, SegmentationStorage

from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import SopInstanceUID
from imaging_findings import codes
from imaging_findings.facts import read_facts
from pacs_sync.result_mapping import LeftOut, OtherStudy, Results, studies_beside
from pacs_sync.result_places import study_of
from pacs_sync.structured_report import read_report
from tests.cds_actors import a_patient, a_study
from tests.sr_actors import (
    CENTIMETRE,
    DIAMETER,
    LONG_AXIS,
    MAXIMUM,
    MEAN,
    MILLIMETRE,
    NODULE,
    OTHER_STUDY,
    SHORT_AXIS,
    STUDY,
    STUDY_REFERENCE,
    AReport,
    a_nodule,
    an_image,
    change_number,
    component,
    document,
    lung_rads,
    mapped,
    observation,
    of_type,
    size,
    unregioned,
)


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


@pytest.mark.parametrize(("code", "words"), [("mm", "centimeters"), ("cm", "mm")])
def test_a_unit_whose_words_name_another_one_is_words(code: str, words: str) -> None:
    found = observation(mapped(AReport(groups=[unregioned(size(DIAMETER, 0.9, CodedConcept(code, "UCUM", words)))])))

    assert component(found, "81827009")["valueQuantity"] == {"value": 0.9, "unit": f"{words} (code {code})"}


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
    ("measurements", "diameter"),
    [
        ([size(DIAMETER, 5.0), size(DIAMETER, 12.0)], None),
        ([size(DIAMETER, 5.0, derivation=MEAN), size(DIAMETER, 12.0, derivation=MEAN)], None),
        ([size(LONG_AXIS, 12.0), size(LONG_AXIS, 5.0), size(SHORT_AXIS, 4.0)], None),
        ([size(DIAMETER, 12.0), size(DIAMETER, 5.0, derivation=MEAN)], 5.0),
        ([size(DIAMETER, 5.0), size(DIAMETER, 5.0)], 5.0),
    ],
    ids=["two", "two means", "two long axes", "one beside the mean", "one told twice"],
)
def test_trap_of_several_sizes_none_is_the_first(measurements: Sequence[Any], diameter: float | None) -> None:
    """Measured in two planes, or the lesion and something in it: nobody says which one rules ask for."""
    found = observation(mapped(AReport(groups=[a_nodule(lung_rads(), measurements=measurements)])))
    facts = read_facts({"patient": [a_patient()], "findings": [found], "studies": [a_study()]}, "p")

    assert facts.findings[0].nodule.diameter_mm == diameter
    assert [one["valueQuantity"]["value"] for one in found["component"] if "valueQuantity" in one] == [
        float(one.value) for one in measurements
    ]


@pytest.mark.parametrize("several", ["0040A300", "004008EA"])
def test_trap_a_number_with_two_values_or_two_units_is_no_size(several: str) -> None:
    report = AReport(groups=[a_nodule(lung_rads(), measurements=[size(DIAMETER, 9.0, CENTIMETRE)])]).json()

    def doubled(holder: dict[str, Any]) -> None:
        for item in holder.get("0040A730", {}).get("Value", []):
            doubled(item)
        for measured in holder.get("0040A300", {}).get("Value", []):
            doubled(measured)
        if several in holder:
            (first,) = holder[several]["Value"]
            second = json.loads(json.dumps(first).replace('"cm"', '"mm"').replace("9.0", "8.0"))
            holder[several] = {"Value": [first, second]}

    doubled(report)
    found = observation(mapped(report))
    facts = read_facts({"patient": [a_patient()], "findings": [found], "studies": [a_study()]}, "p")

    assert facts.findings[0].nodule.diameter_mm is None


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


def test_trap_the_slice_of_a_region_is_selected_and_one_in_space_selects_none() -> None:
    flat, in_space = (observation(mapped(AReport(groups=[a_nodule(lung_rads(), in_space=one)]))) for one in (False, True))
    selected = {one["url"]: one["valueOid"] for one in flat["extension"][0]["extension"]}

    assert selected == {"study": "urn:oid:2.25.600", "series": "urn:oid:2.25.600.1", "instance": "urn:oid:2.25.600.1.1"}
    assert "extension" not in in_space
    assert flat["derivedFrom"][0] == in_space["derivedFrom"][0] == {"reference": STUDY_REFERENCE}


def test_a_segmented_volume_selects_the_middle_of_its_source_images_and_not_the_segmentation() -> None:
    """TID 1411."""
    slices = [an_image(number=one) for one in (1, 2)]
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


def test_trap_coordinates_in_space_are_of_no_certain_study_where_several_were_looked_at() -> None:
    """A prior's lesion must not be shown as today's: coordinates name no image, and evidence tells no frame of reference."""
    both = [an_image(), an_image(OTHER_STUDY)]
    beside = {OTHER_STUDY: OtherStudy("ImagingStudy/77", None)}
    in_space = AReport(groups=[a_nodule(lung_rads(), in_space=True)], images=both, lies_in=STUDY)
    on_image = AReport(groups=[a_nodule(lung_rads())], images=both, lies_in=STUDY)

    assert [one.reason for one in mapped(in_space, others=beside).left_out] == [
        "it does not say on which study's images it found something"
    ]
    assert observation(mapped(on_image))["derivedFrom"][0]["reference"] == STUDY_REFERENCE


def test_trap_a_finding_is_of_its_images_study_wherever_its_segmentation_lies() -> None:
    image, segmentation = an_image(OTHER_STUDY), an_image(STUDY, number=2)
    segmentation.SOPClassUID = SegmentationStorage
    report = AReport(groups=[a_nodule(lung_rads(), image=image)], images=[image, segmentation], lies_in=STUDY)
    stated = document(report)
    group = replace(stated.groups[0], instances=(SopInstanceUID(segmentation.SOPInstanceUID), *stated.groups[0].instances))

    assert study_of(group, stated) == OTHER_STUDY


def left_out(*reports: AReport | dict[str, Any]) -> list[str]:
    results = mapped(*reports)
    assert results.resources == ()
    return [one.reason for one in results.left_out]


@pytest.mark.parametrize("changes", [{"00100021": ["OTHER"]}, {"00100020": ["SYN-1", "SYN-2"]}])
def test_a_report_of_the_same_number_elsewhere_or_of_two_numbers_is_another_patients(changes: dict[str, list[str]]) -> None:
    stated = AReport().json() | {tag: {"Value": value} for tag, value in changes.items()}

    assert left_out(stated) == ["it names another patient than its study"]


def test_a_report_that_names_another_study_than_the_one_it_was_found_in_is_left_out() -> None:
    astray = AReport().json() | {"0020000D": {"Value": [OTHER_STUDY]}}

    assert left_out(astray) == ["it names another study than the one that it was found in"]


def test_a_report_that_names_another_patient_than_its_study_is_left_out() -> None:
    results = mapped(AReport(), patient="SYN-2")

    assert results == Results(
        resources=(), left_out=(LeftOut(results.left_out[0].uid, "it names another patient than its study"),)
    )
