"""Claims about codes and standards that circulate and are wrong (clinical rules X): here the right ones hold."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from cds_service.definitions import HOOK_VERSIONS
from cds_service.evaluate import SERVICES
from ehr_sandbox.demo_derived import derived_series
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import alma, bruno, clara
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.demo_plan import AI_SCHEMES
from imaging_findings.body_parts import body_parts_of
from imaging_findings.contrast import ContrastFacts, contrast_advice
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.packs import bundled_packs, bundled_tables
from imaging_findings.patient_facts import latest_egfr
from imaging_findings.study_kinds import Contrast
from pacs_sync.result_mapping import ResultContext, results_of
from pacs_sync.structured_report import read_report
from smart_app.ohif import OhifConfig, WadoRoot, viewer_path
from tests.cds_actors import NOW
from tests.order_actors import TODAY, a_kind, an_egfr, an_imaging_order

CALENDAR = DemoCalendar(demo_day=date(2026, 11, 21))
CHARTS: dict[str, list[dict[str, Any]]] = {
    "alma": alma.alma_resources(CALENDAR, alma.ON_TAPE, alma.PRIOR, alma.CURRENT),
    "bruno": bruno.bruno_resources(CALENDAR, bruno.CURRENT),
    "clara": clara.clara_resources(CALENDAR, clara.CURRENT),
}
REPORTS = [one for chart in CHARTS.values() for one in chart if one["resourceType"] == "DiagnosticReport"]
OBSERVATIONS = [one for chart in CHARTS.values() for one in chart if one["resourceType"] == "Observation"]


def _of_machines() -> list[dict[str, Any]]:
    """What the demo's AI found, as it comes out of its structured report."""
    made = next(one for one in derived_series(alma.CURRENT) if one.modality == "SR")
    report = read_report(derived_object(made, alma.CURRENT, CALENDAR, alma.AI_CLAIM).to_json_dict())
    study = StudyInstanceUID(alma.CURRENT.study_instance_uid)
    context = ResultContext(subject="Patient/demo-a", study=study, started=None, schemes=AI_SCHEMES)
    found = results_of([report], context, FhirVersion.R4).resources
    return [dict(one) for one in found if one["resourceType"] == "Observation"]


MACHINES = _of_machines()


def test_x7_a_report_is_performed_by_people_or_an_organization_and_never_by_a_device() -> None:
    performers = [actor["reference"].partition("/")[0] for report in REPORTS for actor in report.get("performer", [])]

    assert performers
    assert set(performers) <= {"Practitioner", "PractitionerRole", "Organization", "CareTeam"}
    assert all("device" in one for one in MACHINES)
    assert MACHINES


def test_x8_hooks_are_of_the_library_or_have_a_reverse_domain_name() -> None:
    of_our_own = [service.hook for service in SERVICES.values() if service.hook not in HOOK_VERSIONS]

    assert len(SERVICES) >= 3
    assert [hook for hook in of_our_own if not re.fullmatch(r"[a-z]+(\.[a-z0-9-]+){2,}", hook)] == []


def test_x9_the_viewer_is_opened_by_the_address_of_ohif_3() -> None:
    root = WadoRoot(name="demo", title="Demo PACS", root="https://pacs.example.org/dicom-web")
    config = OhifConfig(session_path="/s/abc", token_path="/s/abc/token", wado_roots=(root,))

    assert viewer_path(config, "2.25.1").endswith("/viewer?StudyInstanceUIDs=2.25.1")


@pytest.mark.parametrize("stated", ["CHEST", "Chest", "THORAX", "thorax "])
def test_x20_chest_is_the_chest_and_not_its_cavity(stated: str) -> None:
    assert [part.code.code for part in body_parts_of(stated)] == ["816094009"]


def test_x22_words_stand_in_the_report_and_findings_in_observations() -> None:
    assert all(report["conclusion"] and report.get("presentedForm") for report in REPORTS)
    assert [one["id"] for one in OBSERVATIONS if "valueString" in one] == []


def test_x23_what_the_machine_says_of_itself_is_coded_beside_its_finding() -> None:
    conclusions = " ".join(report["conclusion"] for report in REPORTS)

    assert not re.search(r"\b(AI|confidence|probability|algorithm)\b", conclusions)
    assert all(one["status"] == "preliminary" and not one.get("performer") for one in MACHINES)


@pytest.mark.parametrize("value", [30, 59, 90])
def test_x25_metformin_alone_holds_nothing_back(value: float) -> None:
    order = an_imaging_order(a_kind("CT", "abdomen", contrast=Contrast.WITH))
    facts = ContrastFacts(metformin="metformin 500 mg", egfr=latest_egfr([an_egfr(value)], NOW))

    rules = {one.rule_id for one in contrast_advice(order, facts, OrderPolicy(), TODAY)}

    assert "contrast/N4" not in rules


def test_x25_nobody_is_asked_for_an_egfr_without_a_risk_factor() -> None:
    """Neither age nor hypertension is one: nothing else is known of this patient."""
    order = an_imaging_order(a_kind("CT", "abdomen", contrast=Contrast.WITH))

    assert contrast_advice(order, ContrastFacts(), OrderPolicy(), TODAY) == ()


def test_y9_no_pack_computes_anything_for_a_cyst_of_the_pancreas() -> None:
    """Its table is a tree of age and size that was not opened: what the report says is all that is shown."""
    read = {pack.reads for pack in (*bundled_packs().tables, *bundled_tables())}

    assert len(read) > 5
    assert [name for name in read if "pancrea" in name] == []
