"""Structured reports are read whole or not at all, never with an exception (clinical rules, section 6, "SR traps")."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.sr._snomed_dict import mapping as old_codes

from fhir_imaging.uids import SopInstanceUID
from pacs_sync.content_items import MAX_DEPTH, MAX_ITEMS
from pacs_sync.dicom_codes import code_in
from pacs_sync.report_document import Algorithm, NothingToBring
from pacs_sync.structured_report import read_report
from tests.sr_actors import (
    CENTIMETRE,
    DIAMETER,
    LESION,
    MAXIMUM,
    MEAN,
    OTHER_STUDY,
    STUDY,
    AReport,
    Json,
    a_nodule,
    an_image,
    document,
    lung_rads,
    mapped,
    observation,
    size,
    unregioned,
)


def test_who_when_and_how_far_it_has_come() -> None:
    read = document(AReport(person="Reader^Ruth^^Dr", device=None))

    assert (read.uid, read.study) == ("2.25.6200.1", STUDY)
    assert (read.is_complete, read.is_verified, read.is_signed) == (True, False, False)
    assert read.observers.persons == ("Dr Ruth Reader",)
    assert read.written == "2026-11-18T09:20:00+01:00"
    assert read.institution == "Synthetic Hospital"
    assert read.patient is not None
    assert (read.patient.number, read.patient.issuer) == ("SYN-1", "DEMO")


def test_trap_predecessors_are_named() -> None:
    first = AReport(number=1).dataset()

    assert document(AReport(number=2, replaces=[first])).predecessors == ("2.25.6200.1",)


def test_a_group_has_its_lesion_site_algorithm_measurements_and_slice() -> None:
    measured = [size(DIAMETER, 9.0, derivation=MEAN)]
    (group,) = document(AReport(groups=[a_nodule(lung_rads(), measurements=measured)])).groups

    assert group.finding is not None
    assert (group.finding.key, group.tracking_uid, group.tracking_id) == (("SCT", "27925004"), LESION, "Nodule 1")
    assert [(one.code.value, one.side.value if one.side else None) for one in group.sites] == [("45653009", "24028007")]
    assert group.algorithm == Algorithm(name="Nodule Finder", version="2.1", manufacturer="Synthetic Maker")
    assert [(one.name.value, one.number.value, one.derivation and one.derivation.value) for one in group.measurements] == [
        ("81827009", Decimal("9.0"), "373098007")
    ]
    assert [(one.name.value, one.value and one.value.value) for one in group.evaluations] == [("1362105002", "4A")]
    assert group.instances == ("2.25.600.1.1",)
    assert not group.is_in_space


def test_words_in_place_of_the_lesions_uid_are_no_uid_and_stop_nothing() -> None:
    report = AReport().json()
    for one in items(report, "UIDREF"):
        one |= {"0040A040": {"vr": "CS", "Value": ["TEXT"]}, "0040A160": {"vr": "UT", "Value": ["no UID"]}}
    read = read_report(report)

    assert not isinstance(read, NothingToBring)
    assert read.groups[0].tracking_uid is None
    assert len(observation(mapped(report))["identifier"]) == 2


def test_trap_units_stay_as_they_are_stated() -> None:
    (group,) = document(AReport(groups=[unregioned(size(DIAMETER, 0.9, CENTIMETRE, derivation=MAXIMUM))])).groups
    (measurement,) = group.measurements

    assert (measurement.number.value, measurement.number.unit and measurement.number.unit.value) == (Decimal("0.9"), "cm")
    assert group.instances == ("2.25.600.1.1",), "the source image of a group without region"


def test_trap_a_number_with_a_qualifier_has_no_value() -> None:
    """PS3.3 §C.18.1: an empty Measured Value Sequence, and why it is empty."""
    report = AReport(groups=[unregioned(size(DIAMETER, 9.0))]).json()
    (number,) = items(report, "NUM")
    number["0040A300"] = {"vr": "SQ"}
    number["0040A301"] = {"vr": "SQ", "Value": [a_code("114006", "DCM", "Measurement failure")]}
    read = read_report(report)

    assert not isinstance(read, NothingToBring)
    stated = read.groups[0].measurements[0].number
    assert (stated.value, stated.qualifier and stated.qualifier.key) == (None, ("DCM", "114006"))


def test_trap_coordinates_in_space_name_no_slice() -> None:
    (group,) = document(AReport(groups=[a_nodule(lung_rads(), in_space=True)])).groups

    assert (group.is_in_space, group.instances) == (True, ())


def test_trap_images_may_lie_in_another_study_than_their_report() -> None:
    image = an_image(OTHER_STUDY)
    read = document(AReport(groups=[a_nodule(lung_rads(), image=image)], images=[image], lies_in=STUDY))

    assert read.study == STUDY
    assert [read.places[one].study for one in read.groups[0].instances] == [OTHER_STUDY]


@pytest.mark.parametrize(("person", "device", "is_program"), [(None, "AI", True), ("Reader^Ruth", "Workstation", False)])
def test_without_algorithm_a_device_observes_by_itself_only_where_no_person_does(
    person: str | None, device: str, is_program: bool
) -> None:
    (group,) = document(AReport(person=person, device=device, groups=[a_nodule(lung_rads(), algorithm=None)])).groups

    assert (group.algorithm is not None) is is_program


def test_evaluations_of_the_whole_examination_are_a_group_of_their_own() -> None:
    report = AReport().json()
    evaluation = next(
        one for one in items(report, "CODE") if one["0040A043"]["Value"][0]["00080100"]["Value"] == ["1362105002"]
    )
    container = {
        "0040A010": {"vr": "CS", "Value": ["CONTAINS"]},
        "0040A040": {"vr": "CS", "Value": ["CONTAINER"]},
        "0040A043": {"vr": "SQ", "Value": [a_code("C0034375", "UMLS", "Qualitative Evaluations")]},
        "0040A730": {"vr": "SQ", "Value": [evaluation]},
    }
    report["0040A730"]["Value"] = [one for one in report["0040A730"]["Value"] if "0040A730" not in one] + [container]
    read = read_report(report)

    assert not isinstance(read, NothingToBring)
    (group,) = read.groups
    assert (group.finding, [one.value and one.value.value for one in group.evaluations]) == (None, ["4A"])


def test_codes_of_before_2019_are_those_of_today() -> None:
    stated = {"0040A043": {"Value": [a_code("G-C0E3", "SRT", "Finding Site")]}}
    found = code_in(stated, "0040A043")

    assert found is not None
    assert found.key == ("SCT", old_codes["SRT"]["G-C0E3"])


def test_a_report_of_another_template_has_nothing_to_bring_over_and_says_why() -> None:
    report = AReport().json()
    report["0040A730"]["Value"] = [one for one in report["0040A730"]["Value"] if "0040A730" not in one]
    read = read_report(report)

    assert read == NothingToBring(
        reason="it is of a template that is not read, or measures and finds nothing", uid=SopInstanceUID("2.25.6200.1")
    )


def test_a_tree_without_end_is_refused_whole() -> None:
    deep = AReport().json()
    innermost = deep
    for _ in range(MAX_DEPTH + 2):
        innermost["0040A730"] = {"vr": "SQ", "Value": [{"0040A040": {"Value": ["CONTAINER"]}}]}
        innermost = innermost["0040A730"]["Value"][0]
    wide = AReport().json()
    wide["0040A730"]["Value"] += [{"0040A040": {"Value": ["TEXT"]}}] * (MAX_ITEMS + 1)

    for report in (deep, wide):
        read = read_report(report)
        assert isinstance(read, NothingToBring)
        assert read.reason == "its content is deeper or larger than is read"


@pytest.mark.parametrize("name", ["reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "test-SR.dcm"])
def test_reports_of_other_templates_that_pydicom_ships_bring_nothing_over(name: str) -> None:
    """Basic text reports, one of them with predecessors."""
    dataset = pydicom.dcmread(get_testdata_file(name))
    read = read_report(dataset.to_json_dict(suppress_invalid_tags=True))

    assert isinstance(read, NothingToBring)
    assert read.uid == dataset.SOPInstanceUID
    assert bool(read.predecessors) is ("PredecessorDocumentsSequence" in dataset)


def items(report: Json, kind: str) -> list[Json]:
    found: list[Json] = []
    for one in report.get("0040A730", {}).get("Value", []):
        found += [one] if one["0040A040"]["Value"] == [kind] else []
        found += items(one, kind)
    return found


def a_code(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    return {
        "00080100": {"vr": "SH", "Value": [value]},
        "00080102": {"vr": "SH", "Value": [scheme]},
        "00080104": {"vr": "LO", "Value": [meaning]},
    }
