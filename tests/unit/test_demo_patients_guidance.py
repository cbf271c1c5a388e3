"""What the rules say of the demo's patients (clinical.md §10.1 "must show"): the writers and the readers of findings agree."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts

from ehr_sandbox.demo_derived import AI_RESULT
from ehr_sandbox.demo_sr import LUNG_RADS_SCHEME, NODULE_SCHEME, ai_report
from ehr_sandbox.demo_study import SITE_ZONE, DemoCalendar, DemoCt
from ehr_sandbox.patients import alma, bruno, build_demo, clara
from ehr_sandbox.patients.elements import Json
from imaging_findings.facts import Facts, read_facts
from imaging_findings.findings import Author
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from tests.synced_studies import synced_demo

DEMO_DAY = date(2026, 11, 21)
CALENDAR = DemoCalendar(demo_day=DEMO_DAY)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=SITE_ZONE)

PATIENTS = ("demo-a", "demo-b", "demo-c")
Charts = Mapping[str, list[Json]]
_KEYS = {
    "Patient": "patient",
    "DiagnosticReport": "reports",
    "ServiceRequest": "orders",
    "ImagingStudy": "studies",
    "Condition": "conditions",
    "Communication": "communications",
}


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Charts:
    """What each record holds once the archive's studies are in it."""
    directory = tmp_path_factory.mktemp("demo")
    demo = build_demo(directory, demo_day=DEMO_DAY, fhir_base="http://ehr", only=frozenset(PATIENTS), slices=1)
    resources = synced_demo(demo, directory).resources
    return {patient: [one for one in resources if _is_of(one, patient)] for patient in PATIENTS}


def _is_of(resource: Json, patient: str) -> bool:
    return resource["id"] == patient or resource.get("subject", {}).get("reference") == f"Patient/{patient}"


def facts_of(charts: Charts, patient: str) -> Facts:
    """The facts as a CDS service would gather them from the chart."""
    found: dict[str, list[Json]] = defaultdict(list)
    for resource in charts[patient]:
        key = _KEYS.get(resource["resourceType"])
        if resource["resourceType"] == "Observation":
            key = "smoking" if resource["id"].endswith("smoking") else "findings"
        if key:
            found[key].append(resource)
    found["conditions"] = found["communications"] = []
    return read_facts(found, patient)


@pytest.mark.parametrize("patient", PATIENTS)
def test_every_finding_is_read_without_a_problem(charts: Charts, patient: str) -> None:
    facts = facts_of(charts, patient)

    assert facts.problems == ()
    assert facts.unavailable == frozenset()
    assert facts.findings
    assert all(finding.study_reference and finding.study_date for finding in facts.findings)
    assert facts.smoking


def test_patient_a_gets_a_warning_for_4b_beside_the_disagreeing_ai_and_no_order(charts: Charts) -> None:
    judgement = judge(facts_of(charts, "demo-a"), bundled_packs(), NOW)
    loudest = judgement.guidance[0]

    assert loudest.finding.category == "4B"
    assert loudest.finding.author is Author.PERSON
    assert loudest.urgency is Urgency.WARNING
    assert loudest.order is None
    assert loudest.ai is not None
    assert loudest.ai.category == "4A"
    assert loudest.ai_agrees is False
    assert [one.finding.category for one in judgement.guidance] == ["4B"]  # the prior's follow-up has been done


def test_patient_b_needs_no_routine_follow_up(charts: Charts) -> None:
    (guidance,) = judge(facts_of(charts, "demo-b"), bundled_packs(), NOW).guidance

    assert (guidance.rule_id, guidance.urgency) == ("fleischner-2017/F1-lt6", Urgency.INFO)
    assert (guidance.next_step, guidance.order) == (None, None)


def test_patient_c_is_due_for_the_ct_of_6_to_12_months(charts: Charts) -> None:
    (guidance,) = judge(facts_of(charts, "demo-c"), bundled_packs(), NOW).guidance
    step = guidance.next_step

    assert step is not None
    assert step.due is not None
    assert step.due.earliest <= DEMO_DAY <= step.due.latest
    assert guidance.order is not None


def test_slice_of_the_ai_is_the_one_of_its_structured_report(charts: Charts) -> None:
    (ai,) = (finding for finding in facts_of(charts, "demo-a").findings if finding.author is Author.AI)
    report = ai_report(AI_RESULT, alma.CURRENT, CALENDAR, alma.AI_CLAIM)
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    series = evidence.ReferencedSeriesSequence[0]

    assert ai.selection is not None
    assert ai.selection.study == evidence.StudyInstanceUID
    assert ai.selection.series == series.SeriesInstanceUID
    assert ai.selection.instance == series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID


@pytest.mark.parametrize("ct", [alma.PRIOR, alma.CURRENT, bruno.CURRENT, clara.CURRENT], ids=lambda ct: ct.key)
def test_full_series_has_at_least_100_slices_of_2_5_mm_through_the_nodule(ct: DemoCt) -> None:
    grid, nodule = ct.phantom.grid, ct.phantom.nodule

    assert grid.slices >= 100
    assert (grid.slice_spacing, grid.rows, grid.columns) == (2.5, 512, 512)
    assert grid.z(ct.nodule_slice) == nodule.z
    assert (nodule.long_axis_mm + nodule.short_axis_mm) / 2 == pytest.approx(nodule.diameter_mm)
    assert ct.shortened(6).sop_instance_uid(ct.shortened(6).nodule_slice) == ct.sop_instance_uid(ct.nodule_slice)


def test_concepts_of_the_report_are_those_of_the_dicom_dictionary() -> None:
    """T1: no code out of memory in the DICOM that we write."""
    report = ai_report(AI_RESULT, alma.CURRENT, CALENDAR, alma.AI_CLAIM)
    known = {(scheme, code) for scheme, names in concepts.items() for codes in names.values() for code in codes}
    others = ("UCUM", "LN", "RFC5646", LUNG_RADS_SCHEME, NODULE_SCHEME)
    unknown = {pair for pair in _codes(report) if pair not in known and pair[0] not in others}

    assert unknown == {("SCT", "1362105002")}  # Lung-RADS is not in PS3.16


def _codes(item: Dataset) -> set[tuple[str, str]]:
    found = {(item.CodingSchemeDesignator, item.CodeValue)} if "CodeValue" in item and "CodeMeaning" in item else set()
    for element in item:
        if element.VR == "SQ":
            for inner in element.value:
                found |= _codes(inner)
    return found


def test_day_of_birth_gives_the_age_on_any_demo_day() -> None:
    for day, born in ((date(2026, 3, 13), "1963-03-14"), (date(2026, 3, 14), "1964-03-14"), (date(2028, 2, 29), "1965-03-14")):
        patient: dict[str, Any] = alma.alma_resources(DemoCalendar(demo_day=day), alma.ON_TAPE, alma.PRIOR, alma.CURRENT)[0]

        assert patient["birthDate"] == born
