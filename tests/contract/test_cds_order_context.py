"""What an order request must hold (R15), and orders that are no imaging: answered without a look into the chart (R19, R22)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, request

from cds_service.evaluate import SERVICES
from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_bundle, a_cds_service, a_store
from tests.order_actors import a_metformin
from tests.order_cases import a_draft, selecting, signing

# The public sandbox's imaging screen at load, before anything is chosen.
UNCHOSEN = a_draft(code={"coding": [{}]}, reasonCode=[])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"))


def without(body: dict[str, Any], member: str, **others: Any) -> dict[str, Any]:
    return body | {"context": {name: value for name, value in body["context"].items() if name != member} | others}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "signing without orders": (without(signing(a_draft()), "draftOrders"), "context.draftOrders"),
    "a misspelt member": (without(signing(a_draft()), "draftOrders", draftorders=a_bundle(a_draft())), "context.draftOrders"),
    "orders that are words": (signing(draftOrders="ServiceRequest/new"), "context.draftOrders"),
    "orders that are null": (signing(draftOrders=None), "context.draftOrders"),
    "choosing without orders": (without(selecting(a_draft()), "draftOrders"), "context.draftOrders"),
    "choosing without selections": (without(selecting(a_draft()), "selections"), "context.selections"),
    "a selection that is no array": (selecting(a_draft(), selections="ServiceRequest/new"), "context.selections"),
    "selections that are an object": (selecting(a_draft(), selections={"reference": "x"}), "context.selections"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_r15_what_the_order_hooks_require_is_named_where_it_is_missing(cds: CdsActor, case: str) -> None:
    body, member = REFUSED[case]

    response = cds.call(body, f"imaging-{body['hook']}")

    assert response.status_code == 400
    assert member in response.get_json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("orders", [{}, {"resourceType": "Bundle"}, {"entry": []}, [], [{"resource": a_draft()}]])
@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_r15_r23_odd_bundles_are_understood(cds: CdsActor, hook: str, orders: Any) -> None:
    body = selecting() | {"hook": hook}
    body["context"]["draftOrders"] = orders

    assert cds.call(body, f"imaging-{hook}").status_code == 200


def test_r15_order_sign_has_no_selections(cds: CdsActor) -> None:
    assert cds.call(signing(a_draft()), "imaging-order-sign").status_code == 200


def test_r15_discovery_says_what_the_context_must_hold() -> None:
    assert "userId, patientId, draftOrders, selections (otherwise 400)" in SERVICES["imaging-order-select"].usage_requirements
    assert "userId, patientId, draftOrders (otherwise 400)" in SERVICES["imaging-order-sign"].usage_requirements


NOTHING_TO_JUDGE: dict[str, dict[str, Any]] = {
    "a medication alone": signing(a_metformin(id="drug", status="draft")),
    "a medication chosen": selecting(a_metformin(id="drug", status="draft"), selections=["MedicationRequest/drug"]),
    "nothing chosen yet": selecting(a_draft(), selections=[]),
    "an examination not chosen yet": selecting(UNCHOSEN),
    "another patient's order": signing(a_draft(subject={"reference": "Patient/other"})),
    "no order": signing(),
}


@pytest.mark.parametrize("case", NOTHING_TO_JUDGE)
def test_r19_r22_orders_that_are_no_imaging_need_no_data(cds: CdsActor, case: str) -> None:
    """No prefetch and no way to fetch any: an imaging order would be a 412."""
    body = {name: value for name, value in NOTHING_TO_JUDGE[case].items() if name != "prefetch"}

    response = cds.call(body, f"imaging-{body['hook']}")

    assert (response.status_code, response.get_json()) == (200, {"cards": []})


def test_r19_r22_orders_that_are_no_imaging_fetch_nothing(
    store: Store, tmp_path_factory: pytest.TempPathFactory, serve: Callable[[Flask, int], str], free_port: int
) -> None:
    asked: list[str] = []
    ehr = Flask("fhir")

    @ehr.get("/fhir/<path:path>")
    def answer(path: str) -> Response:
        asked.append(request.full_path)
        return Response(status=404)

    base = f"{serve(ehr, free_port)}/fhir"
    cds = a_cds_service(store, tmp_path_factory.mktemp("keys"), trust={"fhir_servers": (base,)})
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "x"}
    access = {"fhirServer": base, "fhirAuthorization": grant | {"patient": "p"}, "prefetch": None}

    statuses = [cds.call(body | access, f"imaging-{body['hook']}").status_code for body in NOTHING_TO_JUDGE.values()]

    assert statuses == [200] * len(NOTHING_TO_JUDGE)
    assert asked == []
    assert cds.call(signing(a_draft()) | access, "imaging-order-sign").status_code == 412
    assert asked, "an imaging order asks for the chart"
