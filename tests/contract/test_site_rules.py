"""A site's rules reach the running application: one value for the cards and the study list, and no start on a fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from fhir_imaging.store.engine import Store
from imaging_cds.app import create_app
from imaging_cds.cli import main
from imaging_cds.settings import load
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.order_sources import NO_OWNER
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import SitePolicy, product_policy
from tests.cds_actors import (
    LOINC,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_store,
    a_study,
    an_observation,
    an_order,
    concept,
    nodule_components,
    whole_prefetch,
)
from tests.followed_actors import imaged


def a_config(folder: Path, packs: str) -> Path:
    """An installation of its own, with a file of packs beside its settings."""
    (folder / "packs.toml").write_text(packs)
    path = folder / "app.toml"
    path.write_text(
        tomli_w.dumps(
            {
                "public_base_url": "https://imaging.example",
                "state": {"state_dir": str(folder / "state")},
                "ehr": [{"name": "hospital", "fhir_base": "https://ehr.example/fhir"}],
                "rules": {"packs": "packs.toml"},
            }
        )
    )
    return path


@pytest.mark.parametrize("command", ["config", "serve"])
def test_a_fault_in_the_sites_rules_stops_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path = a_config(tmp_path, '[[pack]]\nid = "aaa-svs-2018"\n\n[[pack]]\nid = "aaa-acr-2013"\n')

    assert main([command, "--config", str(path)]) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert f"{tmp_path / 'packs.toml'}" in told.err
    assert "which contradict each other: choose one" in told.err
    assert "Traceback" not in told.err


def test_the_settings_are_printed_with_the_rules_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--config", str(a_config(tmp_path, ""))]) == 0

    printed = capsys.readouterr().out
    assert f'packs = "{tmp_path / "packs.toml"}"' in printed
    assert 'MG = "11 mo"' in printed


def test_the_application_hands_the_sites_rules_to_its_documentation(tmp_path: Path) -> None:
    path = a_config(tmp_path, '[[pack]]\nid = "bi-rads-5"\nclinical_owner = "Dr Synthetic Owner"\n')
    assert main(["migrate", "--config", str(path)]) == 0

    page = create_app(load(path, {})).test_client().get("/cds-documentation").get_data(as_text=True)

    assert "Dr Synthetic Owner" in page


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "cds")
    yield opened
    opened.close()


def cards(store: Store, directory: Path, policy: SitePolicy, body: object, service: str) -> list[dict[str, Any]]:
    """The cards of a service at a site with these rules."""
    answer = a_cds_service(store, directory, policy=policy).call(body, service)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: list[dict[str, Any]] = answer.get_json()["cards"]
    return found


def an_aorta(mm: float) -> dict[str, Any]:
    assessment = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
    size = {"value": mm, "code": "mm", "system": "http://unitsofmeasure.org"}
    diameter = {"code": concept(assessment, "max-diameter"), "valueQuantity": size}
    return an_observation(code=concept(assessment, "abdominal-aorta"), component=[diameter])


@pytest.mark.parametrize(
    ("toml", "said", "rule"),
    [
        ("", "no interval computed, missing: the site's choice between", "the site must choose"),
        ('[[pack]]\nid = "aaa-acr-2013"\n', "due 2027-10-01", "Abdominal aorta, ACR 2013"),
        ('[[pack]]\nid = "aaa-svs-2018"\n', "due 2027-10-01", "Abdominal aorta, SVS 2018"),
    ],
    ids=["undecided", "ACR", "SVS"],
)
def test_y10_y11_the_sites_choice_decides_on_an_aorta(store: Store, tmp_path: Path, toml: str, said: str, rule: str) -> None:
    """42 mm: 1 year by ACR 2013 and 12 months by SVS 2018."""
    policy = SitePolicy(packs=parse_site_packs(toml, "site.toml"))

    found = cards(store, tmp_path, policy, a_hook(whole_prefetch(an_aorta(42.0))), "imaging-findings")

    assert len(found) == 1
    assert said in found[0]["summary"]
    assert rule in found[0]["detail"] or "This site has not chosen a guideline" in found[0]["detail"]


@pytest.mark.parametrize(("choice", "due"), [("aaa-acr-2013", "2028-10-01"), ("aaa-svs-2018", "2029-10-01")])
def test_y10_y11_the_two_guidelines_part_at_37_mm(store: Store, tmp_path: Path, choice: str, due: str) -> None:
    policy = SitePolicy(packs=parse_site_packs(f'[[pack]]\nid = "{choice}"\n', "site.toml"))

    found = cards(store, tmp_path, policy, a_hook(whole_prefetch(an_aorta(37.0))), "imaging-findings")

    assert [f"due {due}" in card["summary"] for card in found] == [True]


@pytest.mark.parametrize(
    ("early_days", "is_early"), [(14, True), (16, True), (17, False), (21, False)], ids=lambda value: str(value)
)
def test_gf_an_order_17_days_early_is_the_same_to_the_chart_and_to_the_order_check(
    store: Store, tmp_path: Path, early_days: int, is_early: bool
) -> None:
    """Gf: Lung-RADS 3 of 2026-10-01, due 2027-04-01; the site's days hold wherever "early" is asked."""
    policy = SitePolicy(packs=product_policy().packs, orders=OrderPolicy(follow_up_early_days=early_days))
    order = an_order(occurrenceDateTime="2027-03-15", code=concept(LOINC, "29252-4"))
    sent = whole_prefetch(a_lung_rads("3"))

    opened = cards(store, tmp_path, policy, a_hook(sent | {"orders": a_bundle(order)}), "imaging-findings")
    context = {"userId": "Practitioner/gp", "patientId": "p", "draftOrders": a_bundle(order | {"status": "draft"})}
    signed = cards(store, tmp_path, policy, a_hook(sent, hook="order-sign", context=context), "imaging-order-sign")

    assert any("planned for 2027-03-15, earlier than due" in card["detail"] for card in opened) is is_early
    assert any("earlier than the follow-up due 2027-04-01" in card["summary"] for card in signed) is is_early
    assert any("fulfils the follow-up" in card["summary"] for card in signed) is not is_early
    assert (opened == []) is not is_early


@pytest.mark.parametrize(("early_days", "is_done"), [(14, False), (21, True)])
def test_f2_a_sites_days_before_the_time_hold_for_examinations_too(
    store: Store, tmp_path: Path, early_days: int, is_done: bool
) -> None:
    """F2, Gf: a CT 17 days before the step at 6 to 12 months does it where the site says three weeks."""
    policy = SitePolicy(packs=product_policy().packs, orders=OrderPolicy(follow_up_early_days=early_days))
    studies = a_bundle(a_study(started="2026-01-15"), imaged("later", "2026-06-28"))
    finding = a_nodule(component=nodule_components(7.0, "solid", risk="high"))

    (card,) = cards(store, tmp_path, policy, a_hook(whole_prefetch(finding) | {"studies": studies}), "imaging-findings")

    assert ("follow-up CT done 2026-06-28" in card["summary"]) is is_done
    assert ("came before the chest CT" in card["summary"]) is not is_done


def test_the_cards_of_an_order_name_who_answers_for_the_rules(store: Store, tmp_path: Path) -> None:
    draft = an_order(id="new", status="draft")
    context = {"userId": "Practitioner/gp", "patientId": "p", "draftOrders": a_bundle(draft)}
    prefetch = {"patient": a_patient(), "studies": a_bundle(a_study()), "orders": a_bundle(), "conditions": a_bundle()}
    body = a_hook(prefetch, hook="order-sign", context=context)

    owned, nobody = (
        cards(store, tmp_path, replace(product_policy(), rules_owner=owner), body, "imaging-order-sign")[0]["detail"]
        for owner in ("Dr Synthetic Owner", "")
    )

    assert "Clinical owner: Dr Synthetic Owner." in owned
    assert f"Clinical owner: {NO_OWNER}." in nobody
