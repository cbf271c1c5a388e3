"""The RESTful interactions of the sandbox's FHIR API, as R4 describes them."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome

from tests.contract.sandbox_client import STORES, SandboxClient, a_sandbox_storing, an_observation

FHIR_JSON = "application/fhir+json; charset=utf-8"


@pytest.fixture(scope="module", params=STORES)
def ehr(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox_storing(request.param, tmp_path_factory.mktemp("ehr")) as client:
        yield client


@pytest.fixture(scope="module")
def token(ehr: SandboxClient) -> str:
    return ehr.a_token("user/*.cruds")


def _order(**changes: Any) -> dict[str, Any]:
    order = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/demo-a"},
        **changes,
    }
    return {name: value for name, value in order.items() if value is not None}


def _fault(answer: Any, status: int, code: str | None = None) -> str:
    assert answer.status_code == status, answer.text
    OperationOutcome.model_validate(answer.json())
    issue = answer.json()["issue"][0]
    assert code is None or issue["code"] == code
    return str(issue["diagnostics"])


def test_create_answers_201_with_location_etag_and_the_resource(ehr: SandboxClient, token: str) -> None:
    created = ehr.fhir("POST", "ServiceRequest", token, json=_order(id="ignored"))

    assert created.status_code == 201
    assert created.headers["Content-Type"] == FHIR_JSON
    assert created.headers["ETag"] == 'W/"1"'
    body = created.json()
    assert body["id"] != "ignored"
    assert body["meta"]["versionId"] == "1"
    assert created.headers["Location"] == f"{ehr.fhir_base}/ServiceRequest/{body['id']}/_history/1"
    assert parsedate_to_datetime(created.headers["Last-Modified"]).tzinfo is not None
    read = ehr.http.get(created.headers["Location"], headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert read.json() == body


@pytest.mark.parametrize(("preference", "length"), [("return=minimal", 0), ("return=OperationOutcome", 1)])
def test_prefer_return(ehr: SandboxClient, token: str, preference: str, length: int) -> None:
    answer = ehr.fhir("POST", "ServiceRequest", token, json=_order(), headers={"Prefer": preference})

    assert answer.status_code == 201
    assert min(len(answer.content), 1) == length


def test_update_makes_versions_that_vread_and_history_show(ehr: SandboxClient, token: str) -> None:
    order_id = ehr.fhir("POST", "ServiceRequest", token, json=_order()).json()["id"]
    address = f"ServiceRequest/{order_id}"
    updated = ehr.fhir("PUT", address, token, json=_order(id=order_id, status="active"))
    assert (updated.status_code, updated.headers["ETag"]) == (200, 'W/"2"')

    assert ehr.fhir("GET", f"{address}/_history/1", token).json()["status"] == "draft"
    assert ehr.fhir("DELETE", address, token).status_code == 204
    history = ehr.fhir("GET", f"{address}/_history", token).json()
    Bundle.model_validate(history)
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "PUT", "POST"]
    assert history["total"] == 3


def test_delete_is_410_on_read_repeatable_and_undone_by_update(ehr: SandboxClient, token: str) -> None:
    order_id = ehr.fhir("POST", "ServiceRequest", token, json=_order()).json()["id"]
    address = f"ServiceRequest/{order_id}"

    assert ehr.fhir("DELETE", address, token).status_code == 204
    assert ehr.fhir("DELETE", address, token).status_code == 204
    _fault(ehr.fhir("GET", address, token), 410, "deleted")
    _fault(ehr.fhir("GET", f"{address}/_history/2", token), 410)
    assert ehr.fhir("GET", f"ServiceRequest?_id={order_id}", token).json()["total"] == 0
    revived = ehr.fhir("PUT", address, token, json=_order(id=order_id))
    assert (revived.status_code, revived.headers["ETag"]) == (201, 'W/"3"')


def test_if_match_guards_against_lost_updates(ehr: SandboxClient, token: str) -> None:
    order = ehr.fhir("POST", "ServiceRequest", token, json=_order()).json()
    address = f"ServiceRequest/{order['id']}"

    def put(if_match: str, at: str = address, **changes: Any) -> Any:
        return ehr.fhir("PUT", at, token, json=order | changes, headers={"If-Match": if_match})

    assert put('W/"1"').status_code == 200
    _fault(put('W/"1"'), 412, "conflict")
    _fault(put("anything"), 400)
    _fault(put('W/"1"', at="ServiceRequest/absent", id="absent"), 412)
    _fault(ehr.fhir("DELETE", address, token, headers={"If-Match": 'W/"1"'}), 412)
    assert ehr.fhir("DELETE", address, token, headers={"If-Match": 'W/"2"'}).status_code == 204


def test_if_none_match_answers_304(ehr: SandboxClient, token: str) -> None:
    first = ehr.fhir("GET", "Patient/demo-a", token)
    again = ehr.fhir("GET", "Patient/demo-a", token, headers={"If-None-Match": first.headers["ETag"]})

    assert again.status_code == 304
    assert again.content == b""


def test_conditional_create(ehr: SandboxClient, token: str) -> None:
    order = _order(identifier=[{"system": "urn:orders", "value": "cc-1"}])
    condition = {"If-None-Exist": "identifier=urn:orders|cc-1"}

    first = ehr.fhir("POST", "ServiceRequest", token, json=order, headers=condition)
    second = ehr.fhir("POST", "ServiceRequest", token, json=order, headers=condition)
    ehr.fhir("POST", "ServiceRequest", token, json=order)
    third = ehr.fhir("POST", "ServiceRequest", token, json=order, headers=condition)

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["id"] == first.json()["id"]
    _fault(third, 412, "multiple-matches")
    unknown = {"If-None-Exist": "nosuch=1"}
    _fault(ehr.fhir("POST", "ServiceRequest", token, json=order, headers=unknown), 400, "not-supported")


def test_conditional_update_and_delete(ehr: SandboxClient, token: str) -> None:
    order = _order(identifier=[{"system": "urn:orders", "value": "cu-1"}])
    address = "ServiceRequest?identifier=urn:orders|cu-1"

    created = ehr.fhir("PUT", address, token, json=order)
    updated = ehr.fhir("PUT", address, token, json=order | {"status": "active"})
    _fault(ehr.fhir("PUT", address, token, json=order | {"id": "another"}), 400)

    assert (created.status_code, updated.status_code) == (201, 200)
    assert updated.json()["id"] == created.json()["id"]
    assert ehr.fhir("DELETE", address, token).status_code == 204
    assert ehr.fhir("GET", address, token).json()["total"] == 0
    _fault(ehr.fhir("PUT", "ServiceRequest", token, json=order), 412)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"resourceType": "ServiceRequest", "status": "draft", "intent": "order"}, "structure", "subject"),
        (_order(status=None), "structure", "status"),
        (_order(status="drafty"), "code-invalid", "ServiceRequest.status"),
        (_order(nonsense=1), "structure", "nonsense"),
        (_order(subject="Patient/demo-a"), "structure", "subject"),
        (_order(authoredOn="yesterday"), "structure", "authoredOn"),
        (_order(resourceType="Patient"), "invalid", "Patient"),
        ({"status": "draft"}, "invalid", "resourceType"),
        ([], "invalid", "resourceType"),
    ],
)
def test_what_is_not_valid_r4_is_refused_with_the_reason(
    ehr: SandboxClient, token: str, body: Any, code: str, words: str
) -> None:
    diagnostics = _fault(ehr.fhir("POST", "ServiceRequest", token, json=body), 400, code)

    assert words in diagnostics
    assert "0x" not in diagnostics


def test_malformed_requests_get_their_own_status(ehr: SandboxClient, token: str) -> None:
    def post(body: bytes, content_type: str) -> Any:
        return ehr.fhir("POST", "Patient", token, data=body, headers={"Content-Type": content_type})

    _fault(post(b"{", "application/fhir+json"), 400)
    _fault(post(b'{"resourceType": NaN}', "application/fhir+json"), 400)
    _fault(post(b"<Patient/>", "application/fhir+xml"), 415)
    _fault(ehr.fhir("PUT", "Patient/x", token, json={"resourceType": "Patient", "id": "y"}), 400)
    _fault(ehr.fhir("PUT", "Patient/bad_id", token, json={"resourceType": "Patient", "id": "bad_id"}), 400, "value")
    _fault(ehr.fhir("GET", "Patient/none", token), 404, "not-found")
    _fault(ehr.fhir("GET", "Dragon/1", token), 404, "not-supported")
    _fault(ehr.fhir("POST", "Dragon", token, json={"resourceType": "Dragon"}), 404, "not-supported")
    _fault(ehr.fhir("GET", "Patient/1/2/3/4/5", token), 404)
    _fault(ehr.fhir("PATCH", "Patient/demo-a", token, json=[]), 400, "not-supported")
    _fault(ehr.fhir("GET", "Patient/_history", token), 400, "not-supported")
    refused = ehr.fhir("DELETE", "metadata", token)
    assert refused.status_code in (204, 404, 405)


@pytest.mark.parametrize(
    "accept",
    ["application/fhir+json", "application/json", "application/json+fhir", "*/*", None, "text/html, */*;q=0.1"],
)
def test_every_json_accept_is_served(ehr: SandboxClient, token: str, accept: str | None) -> None:
    answer = ehr.fhir("GET", "Patient/demo-a", token, headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == FHIR_JSON


def test_xml_is_406_with_an_outcome(ehr: SandboxClient, token: str) -> None:
    _fault(ehr.fhir("GET", "Patient/demo-a", token, headers={"Accept": "application/fhir+xml"}), 406)
    _fault(ehr.fhir("GET", "Patient/demo-a?_format=xml", token), 406)
    assert ehr.fhir("GET", "Patient/demo-a?_format=application/fhir+json", token).status_code == 200


def test_clinical_answers_are_not_cached(ehr: SandboxClient, token: str) -> None:
    assert ehr.fhir("GET", "Patient/demo-a", token).headers["Cache-Control"] == "no-store"


def test_a_transaction_resolves_urns_and_conditional_references(ehr: SandboxClient, token: str) -> None:
    patient, order = "urn:uuid:11111111-1111-4111-8111-111111111111", "urn:uuid:22222222-2222-4222-8222-222222222222"
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": order,
                "resource": _order(subject={"reference": patient}, requester={"reference": "Practitioner?family=Practice"}),
                "request": {"method": "POST", "url": "ServiceRequest"},
            },
            {
                "fullUrl": patient,
                "resource": {"resourceType": "Patient", "name": [{"family": "New"}]},
                "request": {"method": "POST", "url": "Patient", "ifNoneExist": "family=New"},
            },
            {"request": {"method": "GET", "url": "Patient?family=New"}},
        ],
    }
    answer = ehr.fhir("POST", "", token, json=bundle)

    assert answer.status_code == 200, answer.text
    Bundle.model_validate(answer.json())
    order_entry, patient_entry, found = answer.json()["entry"]
    patient_address = patient_entry["response"]["location"].partition("/_history")[0]
    stored = ehr.fhir("GET", order_entry["response"]["location"], token).json()
    assert stored["subject"]["reference"] == patient_address
    assert stored["requester"]["reference"] == "Practitioner/demo-gp"
    assert found["resource"]["total"] == 1
    again = ehr.fhir("POST", "", token, json=bundle | {"entry": bundle["entry"][1:2]}).json()
    assert again["entry"][0]["response"]["status"] == "200 OK"
    assert again["entry"][0]["response"]["location"].startswith(patient_address)


def test_a_transaction_happens_wholly_or_not_at_all(ehr: SandboxClient, token: str) -> None:
    lost = an_observation("lost", "demo-a", category="laboratory", when="2026-01-01")
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": lost, "request": {"method": "PUT", "url": "Observation/lost"}},
            {"resource": _order(status="drafty"), "request": {"method": "POST", "url": "ServiceRequest"}},
        ],
    }

    diagnostics = _fault(ehr.fhir("POST", "", token, json=bundle), 400, "code-invalid")

    assert diagnostics.startswith("Bundle.entry[1]")
    assert ehr.fhir("GET", "Observation/lost", token).status_code == 404


def test_a_transaction_updates_and_deletes_by_criteria_and_reads_versions(ehr: SandboxClient, token: str) -> None:
    order, patient = "urn:uuid:44444444-4444-4444-8444-444444444444", "urn:uuid:55555555-5555-4555-8555-555555555555"
    identifier = [{"system": "urn:orders", "value": "tx-1"}]
    entries = [
        {
            "fullUrl": order,
            "resource": _order(identifier=identifier, subject={"reference": patient}),
            "request": {"method": "PUT", "url": "ServiceRequest?identifier=urn:orders|tx-1"},
        },
        {
            "fullUrl": patient,
            "resource": {"resourceType": "Patient", "id": "tx-patient"},
            "request": {"method": "PUT", "url": "Patient/tx-patient"},
        },
        {"request": {"method": "GET", "url": f"{ehr.fhir_base}/Patient/demo-a/_history/1"}},
        {"request": {"method": "DELETE", "url": "ServiceRequest?identifier=urn:orders|absent"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    first = ehr.fhir("POST", "", token, json=bundle).json()["entry"]
    second = ehr.fhir("POST", "", token, json=bundle).json()["entry"]
    last = {"request": {"method": "DELETE", "url": "ServiceRequest?identifier=urn:orders|tx-1"}}
    removed = ehr.fhir("POST", "", token, json=bundle | {"entry": [last]}).json()["entry"]

    statuses = [[entry["response"]["status"] for entry in answer] for answer in (first, second, removed)]
    assert statuses[0] == ["201 Created", "201 Created", "200 OK", "204 No Content"]
    assert statuses[1] == ["200 OK", "200 OK", "200 OK", "204 No Content"]
    assert statuses[2] == ["204 No Content"]
    assert first[0]["response"]["location"].split("/")[:2] == second[0]["response"]["location"].split("/")[:2]
    stored = ehr.fhir("GET", second[0]["response"]["location"], token).json()
    assert stored["subject"]["reference"] == "Patient/tx-patient"


@pytest.mark.parametrize("reference", ["Patient?family=Nobody", "Patient?gender=female,male", "Dragon?x=1"])
def test_a_conditional_reference_must_find_exactly_one(ehr: SandboxClient, token: str, reference: str) -> None:
    entry = {
        "resource": _order(subject={"reference": reference}),
        "request": {"method": "POST", "url": "ServiceRequest"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}

    assert ehr.fhir("POST", "", token, json=bundle).status_code in (404, 412)


def test_a_batch_does_what_it_can(ehr: SandboxClient, token: str) -> None:
    kept = an_observation("kept", "demo-a", category="laboratory", when="2026-01-01")
    entries = [
        {"resource": kept, "request": {"method": "PUT", "url": "Observation/kept"}},
        {"request": {"method": "GET", "url": "Observation/absent"}},
        {"request": {"method": "PATCH", "url": "Observation/kept"}},
        {"request": {"method": "GET", "url": "https://elsewhere.example/Patient/1"}},
    ]
    answer = ehr.fhir("POST", "", token, json={"resourceType": "Bundle", "type": "batch", "entry": entries}).json()

    Bundle.model_validate(answer)
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201 Created", "404", "400", "400"]
    assert answer["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    "bundle",
    [
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "transaction", "entry": {}},
        {"resourceType": "Bundle", "type": "transaction", "entry": [{}]},
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {"request": {"method": "DELETE", "url": "Patient/twice"}},
                {"request": {"method": "DELETE", "url": "Patient/twice"}},
            ],
        },
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "resource": _order(subject={"reference": "urn:uuid:33333333-3333-4333-8333-333333333333"}),
                    "request": {"method": "POST", "url": "ServiceRequest"},
                }
            ],
        },
    ],
)
def test_a_bundle_that_cannot_be_done_is_refused(ehr: SandboxClient, token: str, bundle: dict[str, Any]) -> None:
    _fault(ehr.fhir("POST", "", token, json=bundle), 400)


def test_references_into_this_server_are_kept_relative(ehr: SandboxClient, token: str) -> None:
    order = _order(subject={"reference": f"{ehr.fhir_base}/Patient/demo-a"})

    assert ehr.fhir("POST", "ServiceRequest", token, json=order).json()["subject"]["reference"] == "Patient/demo-a"
