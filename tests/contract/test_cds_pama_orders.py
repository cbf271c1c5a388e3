"""The public sandbox's imaging screen (PAMA): CPT-coded drafts through order-select, from load to each choice (section 8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_imaging.store.engine import Store
from imaging_findings.study_table import CPT, cpt_studies
from tests.cds_actors import LOINC, SCT, CdsActor, a_bundle, a_cds_service, a_hook, a_report, a_store, a_study, concept
from tests.order_actors import a_metformin, an_egfr
from tests.order_cases import a_chart, cards_of, topics


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"))


def a_screen(code: Any, reason: Any = None, **chart: Any) -> dict[str, Any]:
    """What the screen sends: a Bundle without type, one ServiceRequest, ids with and without their type."""
    draft = {
        "resourceType": "ServiceRequest",
        "id": "example-request-id",
        "status": "draft",
        "intent": "plan",
        "code": code,
        "subject": {"reference": "Patient/p"},
        "reasonCode": [] if reason is None else [reason],
    }
    context = {
        "userId": "Practitioner/COREPRACTITIONER1",
        "patientId": "Patient/p",
        "selections": ["example-request-id"],
        "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": draft}]},
    }
    return a_hook(a_chart(**chart), hook="order-select", context=context)


def cpt(number: str) -> dict[str, Any]:
    return {"coding": [{"system": CPT, "code": number}]}


RICH = {
    "studies": a_bundle(a_study(started="2026-11-01T10:00:00+01:00")),
    "reports": a_bundle(a_report("No nodule.")),
    "labs": a_bundle(an_egfr(27)),
    "medications": a_bundle(a_metformin()),
}


@pytest.mark.parametrize("code", [{"coding": [{}]}, {"coding": []}, {}, {"coding": [{"system": CPT}]}, {"text": ""}, None])
def test_r23_the_screen_at_load_says_nothing(cds: CdsActor, code: Any) -> None:
    assert cards_of(cds, a_screen(code, **RICH)) == []


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        ("71250", "CT of chest without contrast", ["order-duplicate"]),
        ("71260", "CT of chest with contrast", ["order-duplicate", "order-kidney"]),
        ("71270", "CT of chest without and with contrast", ["order-duplicate", "order-kidney"]),
        ("71275", "CT of chest with contrast", ["order-duplicate", "order-kidney"]),
        ("71271", "CT of chest without contrast", ["order-duplicate"]),
        ("74177", "CT of abdomen and pelvis with contrast", ["order-kidney"]),
        ("70553", "MR of head without and with contrast", ["order-kidney"]),
        ("70551", "MR of head without contrast", []),
        ("71046", "XR of chest", []),
        ("99213", None, []),
    ],
)
def test_cpt_coded_orders_are_judged(cds: CdsActor, number: str, name: str | None, expected: list[str]) -> None:
    cards = cards_of(cds, a_screen(cpt(number), concept(SCT, "29857009"), **RICH))

    assert sorted(topics(cards)) == expected
    for card in cards:
        assert name is not None
        assert card["summary"].startswith(f"{name}: ")
        assert "suggestions" not in card, "no CPT-coded order is changed, since its descriptors are licensed"


@pytest.mark.parametrize("system", ["urn:oid:2.16.840.1.113883.6.12", "http://www.ama-assn.org/go/cpt/"])
@pytest.mark.parametrize("number", ["71260", "71260-26", " 71260 "])
def test_cpt_however_it_is_written(cds: CdsActor, system: str, number: str) -> None:
    assert "order-kidney" in topics(cards_of(cds, a_screen({"coding": [{"system": system, "code": number}]}, **RICH)))


def test_the_same_examination_by_cpt_and_by_loinc_is_the_same_twice(cds: CdsActor) -> None:
    body = a_screen(cpt("71250"))
    second = body["context"]["draftOrders"]["entry"][0]["resource"] | {"id": "other", "code": concept(LOINC, "29252-4")}
    body["context"]["draftOrders"]["entry"].append({"resource": second})

    (card,) = cards_of(cds, body)

    assert "in these drafts twice" in card["summary"]
    assert "suggestions" not in card, "only of two drafts with the very same code is one certainly too many"


@pytest.mark.parametrize("number", sorted(cpt_studies())[::9])
def test_no_cpt_number_breaks_the_screen(cds: CdsActor, number: str) -> None:
    for card in cards_of(cds, a_screen(cpt(number), **RICH)):
        assert card["indicator"] in ("info", "warning")
