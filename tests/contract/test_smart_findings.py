"""Findings beside the studies of the list: the cards' own judgement, for clinicians only (rules G of the findings)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import SitePolicy
from tests.contract.smart_actors import World, a_world

SCT = "http://snomed.info/sct"
LUNG_RADS = "https://imaging-cds.example/fhir/CodeSystem/lung-rads"


def lung_rads(category: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"lung-rads-{category}",
        "status": "final",
        "code": {"coding": [{"system": SCT, "code": "1362105002"}]},
        "subject": {"reference": "Patient/demo-a"},
        "effectiveDateTime": "2026-11-14T09:30:00+07:00",
        "derivedFrom": [{"reference": "ImagingStudy/study-a"}],
        "performer": [{"display": "Dr R."}],
        "valueCodeableConcept": {"coding": [{"system": LUNG_RADS, "version": "2022", "code": category}]},
        **more,
    }


def of_an_ai(category: str) -> dict[str, Any]:
    observation = lung_rads(category, status="preliminary", device={"reference": "Device/ai", "display": "Nodule AI 1.0"})
    del observation["performer"]
    uids = {"study": "2.25.1001", "series": "2.25.1001.1", "instance": "2.25.1001.1.7"}
    parts = [{"url": name, "valueOid": f"urn:oid:{uid}"} for name, uid in uids.items()]
    url = "https://imaging-cds.example/fhir/StructureDefinition/imaging-selection"
    return {**observation, "extension": [{"url": url, "extension": parts}]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.ehr.fhir["Observation"] = [lung_rads("3")]
        yield made


def test_an_open_follow_up_stands_beside_its_study(world: World) -> None:
    page = world.clinician.launches(world.ehr)

    assert "Lung-RADS 3" in page.text
    assert "due 2027-05-14" in page.text
    assert "no follow-up found" in page.text


def test_without_orders_nothing_is_claimed_about_follow_up(world: World) -> None:
    world.ehr.token_changes = {"scope": "launch patient/ImagingStudy.rs patient/Observation.rs patient/Patient.r"}
    page = world.clinician.launches(world.ehr)

    assert "Lung-RADS 3" in page.text
    assert "no follow-up found" not in page.text
    assert "open orders could not be looked at" in page.text


def test_an_unsigned_ai_result_is_labelled_and_leads_to_its_slice(world: World) -> None:
    world.ehr.fhir["Observation"] = [of_an_ai("4A")]
    page = world.clinician.launches(world.ehr)

    assert "AI, unsigned" in page.text
    assert "nobody has signed it" in page.text
    assert "/viewer/2.25.1001?series=2.25.1001.1&amp;instance=2.25.1001.1.7" in page.text


def test_an_ai_result_beside_the_readers_is_shown_as_such(world: World) -> None:
    world.ehr.fhir["Observation"] = [lung_rads("4B"), {**of_an_ai("4A"), "id": "of-ai"}]
    page = world.clinician.launches(world.ehr)

    assert "Lung-RADS 4B" in page.text
    assert "Lung-RADS 4A" in page.text
    assert "differs from the reader; nobody has signed it" in page.text


@pytest.mark.parametrize("user", ["Patient/demo-a", "RelatedPerson/r1"])
def test_a_user_who_is_the_patient_sees_no_clinicians_line_and_no_unsigned_ai(world: World, user: str) -> None:
    world.ehr.fhir["Observation"] = [of_an_ai("4A"), lung_rads("3")]
    world.ehr.id_token_changes = {"fhirUser": f"{world.ehr.fhir_base}/{user}"}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert "Lung-RADS" not in page.text
    assert "AI, unsigned" not in page.text


def test_findings_of_another_patient_are_never_shown(world: World) -> None:
    world.ehr.fhir["Observation"] = [lung_rads("4X", subject={"reference": "Patient/demo-b"})]

    assert "Lung-RADS" not in world.clinician.launches(world.ehr).text


OWN_ROW = """
[[pack]]
id = "lung-rads-2022"
[[pack.category]]
code = "3"
statement = "LDCT at 4 months."
step = { examination = "LDCT", low = 4, high = 4, unit = "mo" }
urgency = "info"
evidence = "C"
"""


def the_list_of_a_site(directory: Path, packs: str, *observations: dict[str, Any]) -> str:
    policy = SitePolicy(packs=parse_site_packs(packs, "site.toml"))
    with a_world(directory, app={"policy": policy}) as world:
        world.ehr.fhir["Observation"] = list(observations)
        return world.clinician.launches(world.ehr).text


def test_the_list_judges_by_the_sites_rules_as_the_cards_do(tmp_path: Path) -> None:
    page = the_list_of_a_site(tmp_path, OWN_ROW, lung_rads("3"))

    assert "due 2027-03-14" in page


def test_a_pack_that_is_off_says_nothing_and_the_ai_beside_the_reader_stays(tmp_path: Path) -> None:
    off = '[[pack]]\nid = "lung-rads-2022"\nenabled = false\n'
    (tmp_path / "alone").mkdir()
    (tmp_path / "both").mkdir()

    alone = the_list_of_a_site(tmp_path / "alone", off, lung_rads("3"))
    both = the_list_of_a_site(tmp_path / "both", off, lung_rads("3"), {**of_an_ai("4A"), "id": "of-ai"})

    assert "Lung-RADS" not in alone
    assert "no guideline is in force for Lung-RADS" in both
    assert "differs from the reader; nobody has signed it" in both


@pytest.mark.parametrize(("zone", "due"), [(UTC, "2027-05-13"), (timezone(timedelta(hours=7)), "2027-05-14")])
def test_ge_the_list_counts_from_the_sites_day_as_the_cards_do(tmp_path: Path, zone: timezone, due: str) -> None:
    """Half past one in the morning of the 14th where the study was made is still the 13th in UTC."""
    by_night = "2026-11-14T01:30:00+07:00"
    with a_world(tmp_path) as world:
        world.clock.moment = world.clock.moment.astimezone(zone)
        world.ehr.fhir["Observation"] = [lung_rads("3", effectiveDateTime=by_night)]
        world.ehr.fhir["ImagingStudy"] = [{**one, "started": by_night} for one in world.ehr.fhir["ImagingStudy"]]
        page = world.clinician.launches(world.ehr).text

    assert f"due {due}" in page
