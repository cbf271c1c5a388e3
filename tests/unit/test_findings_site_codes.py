"""A site's own examination codes count wherever a study or an order is read: facts, orders being placed, and the chart (O1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.order_chart import ChartMoment, read_order_chart
from imaging_findings.order_facts import read_draft_orders
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.orders import judge_orders
from imaging_findings.packs import bundled_packs
from imaging_findings.study_kinds import Basis
from imaging_findings.study_table import SiteStudies, read_site_studies
from imaging_findings.unread_imaging import StudyOfPatient, read_patient_study
from tests.cds_actors import NOW, a_bundle, a_lung_rads, a_nodule, a_patient, a_study, an_order, concept

OWN = "urn:oid:2.25.77"
SITE = read_site_studies(
    "system,codes,display,modality,regions,contrast,side,purpose\n"
    f"{OWN},RX17,Low dose CT of the lungs,CT,chest,without,,screening\n"
    f"{OWN},RX18 RX19,CT of the belly,CT,abdomen,with,,\n",
    "codes.csv",
)
HISTORY = ("orders", "reports", "conditions", "smoking", "communications")


def facts_of(site: SiteStudies | None, *findings: Any, **others: Any) -> Facts:
    whole: dict[str, Any] = {key: [] for key in HISTORY}
    whole |= {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]} | others
    return read_facts(whole, "p", site=site)


def a_study_of(code: str, **members: Any) -> dict[str, Any]:
    """A study that says nothing of its regions but by the site's code."""
    study = a_study(**members)
    return {key: value for key, value in study.items() if key not in ("series", "description")} | {
        "procedureCode": [concept(OWN, code)]
    }


def test_a_study_has_its_region_and_purpose_from_the_sites_code() -> None:
    known = facts_of(SITE, studies=[a_study_of("RX17")]).studies[0]
    unknown = facts_of(None, studies=[a_study_of("RX17")]).studies[0]

    assert (known.regions, known.is_screening) == (frozenset(["chest"]), True)
    assert (unknown.regions, unknown.is_screening) == (frozenset(), False)


def test_x4_a_nodule_on_a_study_that_the_site_calls_a_screening_is_not_incidental() -> None:
    nodule = a_nodule(7.0)

    rules = [
        judge(facts_of(site, nodule, studies=[a_study_of("RX17")]), bundled_packs(), NOW).guidance[0].rule_id
        for site in (SITE, None)
    ]

    assert rules == ["fleischner-2017/excluded", "fleischner-2017/F2-6-8"]


@pytest.mark.parametrize(("site", "open_cards"), [(SITE, 0), (None, 1)], ids=["known", "unknown"])
def test_gf_an_order_by_the_sites_code_ends_the_matter(site: SiteStudies | None, open_cards: int) -> None:
    order = an_order(code=concept(OWN, "RX17"))

    judgement = judge(facts_of(site, a_lung_rads("2"), orders=[order]), bundled_packs(), NOW)

    assert len(judgement.guidance) == open_cards
    assert [one.reason for one in judgement.suppressed] == ["Low dose CT of the lungs is already ordered"][open_cards:]


def test_gf_an_order_of_another_region_by_the_sites_code_does_not() -> None:
    order = an_order(code=concept(OWN, "RX18"))

    assert len(judge(facts_of(SITE, a_lung_rads("3"), orders=[order]), bundled_packs(), NOW).guidance) == 1


def repeats(site: SiteStudies | None, drafted: str, prior: dict[str, Any]) -> list[str]:
    """The examinations that an order by the site's code is told to repeat."""
    draft = an_order(id="new", status="draft", code=concept(OWN, drafted))
    moment = ChartMoment(patient_id="p", encounter_id=None, now=datetime(2026, 11, 21, 9, tzinfo=UTC), site=site)
    drafts = read_draft_orders({"draftOrders": a_bundle(draft)}, "p", by_selection=False, site=site)
    resources = {"patient": [a_patient()], "studies": [prior], "orders": []}
    chart = read_order_chart(resources, moment, OrderPolicy())
    judgement = judge_orders(drafts, chart, bundled_packs(), OrderPolicy(), NOW)
    return [one.rule_id for one in judgement.advice if one.rule_id == "orders/O1"]


def test_o1_an_order_and_a_study_by_the_sites_codes_overlap() -> None:
    assert len(repeats(SITE, "RX18", a_study_of("RX19", started="2026-11-20"))) == 1
    assert repeats(SITE, "RX18", a_study_of("RX17", started="2026-11-20")) == []
    assert repeats(None, "RX18", a_study_of("RX19", started="2026-11-20")) == []


def test_a_draft_by_the_sites_code_has_the_sites_name_and_kind() -> None:
    draft = an_order(id="new", status="draft", code=concept(OWN, "RX18"))

    order = read_draft_orders({"draftOrders": a_bundle(draft)}, "p", by_selection=False, site=SITE).judged[0]

    assert (order.name, order.kind.basis) == ("CT of the belly", Basis.CODE)
    assert (order.kind.families, order.kind.regions) == (frozenset(["CT"]), frozenset(["abdomen"]))


@pytest.mark.parametrize(("site", "regions"), [(SITE, frozenset(["abdomen"])), (None, frozenset())], ids=["known", "unknown"])
def test_a_study_at_discharge_is_placed_by_the_sites_code(site: SiteStudies | None, regions: frozenset[str]) -> None:
    read = read_patient_study(a_study_of("RX18"), {}, site)

    assert isinstance(read, StudyOfPatient)
    assert read.prior.kind.regions == regions
