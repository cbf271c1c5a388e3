"""The same finding stays the same resource from one report to the next, and every result is valid FHIR (T3)."""

from __future__ import annotations

import json

from fhir.resources import get_fhir_model_class
from fhir.resources.R4B import get_fhir_model_class as get_r4b_model_class
from fhirclient.models import fhirelementfactory

from fhir_imaging.fhir_versions import FhirVersion
from imaging_findings.facts import read_facts
from imaging_findings.findings import Author
from pacs_sync.result_mapping import OtherStudy
from tests.cds_actors import a_patient, a_study
from tests.sr_actors import (
    ABSENT,
    CENTIMETRE,
    DIAMETER,
    LONG_AXIS,
    MEAN,
    OTHER_STUDY,
    PULMONARY_EMBOLISM,
    SHORT_AXIS,
    STUDY,
    AReport,
    Json,
    a_nodule,
    an_image,
    change_number,
    component,
    evaluated,
    identity,
    later,
    lung_rads,
    mapped,
    observation,
    of_type,
    size,
    unregioned,
)


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
    assert [one["status"] for one in after.resources if one["resourceType"] != "Device"] == ["final", "partial"]


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
