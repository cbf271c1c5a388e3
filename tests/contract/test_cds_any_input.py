"""Whatever a client sends, the answer is cards that are right or a refusal in words: never a 500, never a broken card."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.evaluate import SERVICES
from cds_service.settings import ClientAuthentication
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_condition,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_report,
    a_store,
    an_ai_lung_rads,
    an_order,
    whole_prefetch,
)
from tests.examples import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
QUIET = settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_rich_request() -> dict[str, Any]:
    """Every kind of resource that a rule reads, and the context of every hook."""
    prefetch = whole_prefetch(
        a_lung_rads("3", id="screened"),
        a_nodule(id="nodule", derivedFrom=[{"reference": "ImagingStudy/other"}]),
        an_ai_lung_rads("4A", id="machine"),
        reports=a_bundle(a_report("Follow-up CT in 6-12 months.")),
        orders=a_bundle(an_order(status="draft")),
        conditions=a_bundle(a_condition("http://snomed.info/sct", "363346000")),
    )
    drafts = {"resourceType": "Bundle", "entry": [{"resource": an_order(status="draft")}]}
    context = {"userId": "Practitioner/gp", "patientId": "p", "encounterId": "e", "draftOrders": drafts}
    context |= {"selections": ["ServiceRequest/order"], "study": "ImagingStudy/study", "studyInstanceUid": STUDY_UID}
    booked = {"resourceType": "Appointment", "id": "a", "status": "proposed", "start": "2028-01-10T09:00:00Z"}
    booked |= {"basedOn": [{"reference": "ServiceRequest/order"}], "participant": [{"actor": {"reference": "Patient/p"}}]}
    context["appointments"] = {"resourceType": "Bundle", "entry": [{"resource": booked}]}
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "x"}
    return a_hook(prefetch, context=context, fhirAuthorization=grant)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every member, however deep."""
    if isinstance(value, dict | list):
        for name, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, name)
            yield from places(member, (*path, name))


PLACES = sorted(places(a_rich_request()), key=repr)


def bent(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    request = copy.deepcopy(a_rich_request())
    place: Any = request
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return request


@pytest.fixture(scope="module")
def cds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CdsActor]:
    directory: Path = tmp_path_factory.mktemp("any")
    store: Store = a_store(directory / "state")
    yield a_cds_service(store, directory, client_authentication=ClientAuthentication.OFF)
    store.close()


def answered(cds: CdsActor, service_id: str, body: object) -> None:
    response = cds.client.post(f"/cds-services/{service_id}", data=json.dumps(body), content_type="application/json")

    assert response.status_code in (200, 400, 412), response.get_data(as_text=True)
    answer = json.loads(response.get_data())
    if response.status_code == 200:
        assert faults_of(answer) == ()
    else:
        assert answer["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("service_id", SERVICES)
def test_the_request_itself_is_answered_with_cards(cds: CdsActor, service_id: str) -> None:
    body = a_rich_request() | {"hook": SERVICES[service_id].hook}
    body["prefetch"] = dict.fromkeys(query.key for query in SERVICES[service_id].queries) | body["prefetch"]

    assert cds.client.post(f"/cds-services/{service_id}", json=body).status_code == 200


@QUIET
@given(st.sampled_from(sorted(SERVICES)), st.sampled_from(PLACES), JSON)
def test_r23_anything_at_any_place_is_never_our_fault(
    cds: CdsActor, service_id: str, path: tuple[str | int, ...], value: object
) -> None:
    body = bent(path, value)
    if path != ("hook",):
        body["hook"] = SERVICES[service_id].hook

    answered(cds, service_id, body)


@QUIET
@given(JSON)
def test_r15_any_json_at_all_is_never_our_fault(cds: CdsActor, body: object) -> None:
    answered(cds, "imaging-findings", body)


ENTRY = {
    "card": "c",
    "outcome": "accepted",
    "acceptedSuggestions": [{"id": "s"}],
    "outcomeTimestamp": "2026-11-21T09:05:00Z",
    "overrideReason": {"reason": {"code": "c", "system": "s", "display": "d"}, "userComment": "words"},
}


@QUIET
@given(st.sampled_from(sorted(places(ENTRY), key=repr)), JSON)
def test_r34_any_feedback_is_taken_or_refused_in_words(cds: CdsActor, path: tuple[str | int, ...], value: object) -> None:
    entry = copy.deepcopy(ENTRY)
    place: Any = entry
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    response = cds.client.post("/cds-services/imaging-findings/feedback", json={"feedback": [entry]})

    assert response.status_code in (200, 400), response.get_data(as_text=True)
