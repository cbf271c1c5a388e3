"""Chest CAD reports (TID 4100): single findings with size and probability become unsigned AI results."""

from __future__ import annotations

from typing import Any

from pydicom.sr._concepts_dict import concepts

from imaging_findings import codes
from pacs_sync.report_document import Document
from pacs_sync.structured_report import read_report
from tests.sr_actors import STUDY, Json, component, mapped, of_type

NODULE = ("27925004", "SCT", "Nodule")
MILLIMETRE = ("mm", "UCUM", "millimeter")
Coded = tuple[str, str, str]


def sequence(*items: Json) -> Json:
    return {"vr": "SQ", "Value": list(items)}


def coded(value: str, scheme: str, meaning: str) -> Json:
    parts = {"00080100": value, "00080102": scheme, "00080104": meaning}
    return sequence({tag: {"vr": "SH", "Value": [part]} for tag, part in parts.items()})


def item(kind: str, name: Coded, *children: Json, relationship: str = "HAS PROPERTIES", **more: Any) -> Json:
    stated = {"0040A010": relationship, "0040A040": kind}
    made: Json = {tag: {"vr": "CS", "Value": [one]} for tag, one in stated.items()}
    made |= {"0040A043": coded(*name)} | more
    return made | ({"0040A730": sequence(*children)} if children else {})


def code(name: Coded, value: Coded, *children: Json, relationship: str = "HAS PROPERTIES") -> Json:
    return item("CODE", name, *children, relationship=relationship, **{"0040A168": coded(*value)})


def number(name: Coded, value: str, unit: Coded) -> Json:
    measured = {"0040A30A": {"vr": "DS", "Value": [value]}, "004008EA": coded(*unit)}
    return item("NUM", name, **{"0040A300": sequence(measured)})


def outline() -> Json:
    instance = {
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00081155": {"vr": "UI", "Value": ["2.25.600.1.7"]},
    }
    image = item("IMAGE", ("260753009", "SCT", "Source"), relationship="SELECTED FROM", **{"00081199": sequence(instance)})
    return item("SCOORD", ("111041", "DCM", "Outline"), image)


def detection(*more: Json, intent: Coded = ("111150", "DCM", "Presentation Required")) -> Json:
    return code(
        ("111059", "DCM", "Single Image Finding"),
        NODULE,
        code(("111056", "DCM", "Rendering Intent"), intent, relationship="HAS CONCEPT MOD"),
        item("TEXT", ("112039", "DCM", "Tracking Identifier"), **{"0040A160": {"vr": "UT", "Value": ["Mark 1"]}}),
        code(("363698007", "SCT", "Finding Site"), ("39607008", "SCT", "Lung")),
        number(("81827009", "SCT", "Diameter"), "8.5", MILLIMETRE),
        number(("111047", "DCM", "Probability of cancer"), "37", ("%", "UCUM", "percent")),
        outline(),
        *more,
        relationship="CONTAINS",
    )


def a_cad_report(*findings: Json) -> Json:
    impression = item(
        "CONTAINER", ("111034", "DCM", "Individual Impression/Recommendation"), *findings, relationship="CONTAINS"
    )
    succeeded = ("111242", "DCM", "All algorithms succeeded; with findings")
    summary = code(("111017", "DCM", "CAD Processing and Findings Summary"), succeeded, impression, relationship="CONTAINS")
    evidence = {
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "00081115": sequence(
            {
                "0020000E": {"vr": "UI", "Value": ["2.25.600.1"]},
                "00081199": sequence({"00081155": {"vr": "UI", "Value": ["2.25.600.1.7"]}}),
            }
        ),
    }
    report = item("CONTAINER", ("112000", "DCM", "Chest CAD Report"), summary)
    identified = {"00080018": "2.25.6200.9", "0020000D": STUDY, "00100020": "SYN-1", "00081090": "Chest CAD", "00181020": "4.2"}
    report |= {tag: {"vr": "UI", "Value": [one]} for tag, one in identified.items()}
    return report | {
        "0040A491": {"vr": "CS", "Value": ["COMPLETE"]},
        "0040A493": {"vr": "CS", "Value": ["UNVERIFIED"]},
        "0040A375": sequence(evidence),
    }


def test_a_detection_has_size_probability_site_slice_and_the_equipment_as_its_program() -> None:
    results = mapped(a_cad_report(detection()))
    (found,), (device,) = of_type(results, "Observation"), of_type(results, "Device")

    assert results.left_out == ()
    assert (found["status"], found["device"]["display"]) == ("preliminary", "Chest CAD 4.2")
    assert device["version"] == [{"value": "4.2"}]
    assert found["code"]["coding"][0]["code"] == codes.NODULE_FINDING.code
    assert found["bodySite"]["coding"][0]["code"] == "39607008"
    assert component(found, "81827009")["valueQuantity"]["value"] == 8.5
    assert component(found, "111047")["valueQuantity"] == {"value": 37, "unit": "percent", "system": codes.UCUM, "code": "%"}
    assert {one["url"]: one["valueOid"] for one in found["extension"][0]["extension"]}["instance"] == "urn:oid:2.25.600.1.7"


def test_an_algorithm_that_the_detection_names_comes_before_the_equipment() -> None:
    name = item("TEXT", ("111001", "DCM", "Algorithm Name"), **{"0040A160": {"vr": "UT", "Value": ["Lung marks"]}})
    (found,) = of_type(mapped(a_cad_report(detection(name))), "Observation")

    assert found["device"]["display"] == "Lung marks"


def test_what_is_not_for_presentation_is_not_brought_over() -> None:
    hidden = detection(intent=("111152", "DCM", "Not for Presentation: Rendering device expected not to present"))
    read = read_report(a_cad_report(detection(), hidden))

    assert isinstance(read, Document)
    assert len(read.groups) == 1
    assert mapped(a_cad_report(hidden)).resources == ()


def test_two_marks_without_tracking_uid_are_two_findings_and_stay_the_same_ones() -> None:
    first, again = (mapped(a_cad_report(detection(), detection())) for _ in range(2))

    assert len(of_type(first, "Observation")) == 2
    assert first == again


def test_t1_the_codes_of_this_test_are_dicom_s() -> None:
    known = {(scheme, one) for scheme, names in concepts.items() for found in names.values() for one in found}
    stated = {
        ("DCM", value) for value in ("111017", "111034", "111041", "111047", "111056", "111059", "111150", "111152", "112000")
    }

    assert stated | {("DCM", "111242"), ("SCT", "39607008"), ("SCT", "27925004")} <= known
