"""A server behind the sandbox that misbehaves: nothing of it gets past the checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from tests.conftest import free_port_number, serving
from tests.contract.sandbox_client import SandboxClient, a_sandbox


class FakeServer:
    """Answers every request with what the test put in."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = {}
        self.asked: list[str] = []
        self.written: list[tuple[str, str]] = []

    def app(self) -> Flask:
        app = Flask("behind")

        @app.route("/base/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
        def answer(path: str) -> Response:
            self.asked.append(request.full_path)
            if request.method != "GET":
                self.written.append((request.method, path))
                if path.startswith("ServiceRequest"):
                    return Response(status=500, response="{}", content_type="application/json")
                return jsonify(request.get_json(silent=True) or {})
            response = jsonify(self.body)
            response.status_code = self.status
            return response

        return app


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[FakeServer, str]]:
    fake, port = FakeServer(), free_port_number()
    with serving(fake.app(), port) as base:
        yield fake, f"{base}/base"


@pytest.fixture
def world(behind: tuple[FakeServer, str], tmp_path: Path) -> Iterator[tuple[FakeServer, SandboxClient]]:
    fake, base = behind
    fake.status, fake.body, fake.asked, fake.written = 200, {}, [], []
    with a_sandbox(tmp_path, seed=False, upstream_fhir=base) as ehr:
        yield fake, ehr


def _bundle(*resources: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    links = [{"relation": "next", "url": following}] if following else []
    entries = [{"resource": resource, "search": {"mode": "match"}} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "total": 99, "entry": entries}


def _patient(patient_id: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": patient_id}


def test_resources_of_other_patients_are_filtered_and_the_total_is_not_believed(
    world: tuple[FakeServer, SandboxClient],
) -> None:
    fake, ehr = world
    fake.body = _bundle(_patient("demo-a"), _patient("demo-b"))
    found = ehr.fhir("GET", "Patient?name=x", ehr.a_token("patient/*.rs", "demo-a")).json()

    assert [entry["resource"]["id"] for entry in found["entry"]] == ["demo-a"]
    assert found["total"] == 1
    assert "_id=demo-a" in fake.asked[-1]


def test_a_foreign_resource_read_by_id_is_refused(world: tuple[FakeServer, SandboxClient]) -> None:
    fake, ehr = world
    fake.body = {
        "resourceType": "Observation",
        "id": "o",
        "subject": {"reference": f"{ehr.settings.upstream_fhir}/Patient/demo-b"},
    }

    assert ehr.fhir("GET", "Observation/o", ehr.a_token("patient/*.rs", "demo-a")).status_code == 403
    read = ehr.fhir("GET", "Observation/o", ehr.a_token("patient/*.rs", "demo-b"))
    assert read.json()["subject"]["reference"] == "Patient/demo-b"


def test_a_paging_link_that_leads_elsewhere_is_not_followed(world: tuple[FakeServer, SandboxClient]) -> None:
    fake, ehr = world
    for url in ("https://evil.example/base?page=2", f"{ehr.settings.upstream_fhir}.evil.example/x"):
        fake.body = _bundle(_patient("demo-a"), following=url)

        assert ehr.fhir("GET", "Patient", ehr.a_token("user/*.rs")).status_code == 502


def test_a_paging_link_is_hidden_behind_our_own(world: tuple[FakeServer, SandboxClient]) -> None:
    fake, ehr = world
    token = ehr.a_token("user/*.rs")
    fake.body = _bundle(_patient("demo-a"), following=f"{ehr.settings.upstream_fhir}?_getpages=1")
    page = ehr.fhir("GET", "Patient", token).json()
    assert "total" not in page
    url = next(link["url"] for link in page["link"] if link["relation"] == "next")
    assert url.startswith(f"{ehr.fhir_base}/Patient?_cursor=")


@pytest.mark.parametrize("query", ["Patient?_count=1", "Patient?_count=1&_total=none"])
def test_a_server_without_pages_is_not_taken_to_have_said_all(world: tuple[FakeServer, SandboxClient], query: str) -> None:
    """As Medplum's router does: a total, as many as were asked for, and no link to the rest."""
    fake, ehr = world
    token = ehr.a_token("user/*.rs")
    fake.body = _bundle(_patient("demo-a"))

    refused = ehr.fhir("GET", query, token)
    whole = ehr.fhir("GET", "Patient?_count=2", token)

    assert refused.status_code == 502
    assert "_count" in refused.json()["issue"][0]["diagnostics"]
    assert "99" not in refused.text
    assert (whole.status_code, whole.json()["total"]) == (200, 1)


@pytest.mark.parametrize(("status", "expected"), [(500, 502), (401, 502), (400, 400), (404, 404)])
def test_refusals_of_the_server_behind_are_outcomes(
    world: tuple[FakeServer, SandboxClient], status: int, expected: int
) -> None:
    fake, ehr = world
    fake.status, fake.body = status, {"issue": [{"diagnostics": "because"}]}
    answer = ehr.fhir("GET", "Patient/demo-a", ehr.a_token("user/*.rs"))

    assert answer.status_code == expected
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_server_that_cannot_be_reached_is_502(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port_number()}/base"
    with a_sandbox(tmp_path, seed=False, upstream_fhir=nowhere) as ehr:
        assert ehr.fhir("GET", "Patient", ehr.a_token("user/*.rs")).status_code == 502


def test_a_failed_transaction_is_taken_back(world: tuple[FakeServer, SandboxClient]) -> None:
    fake, ehr = world
    fake.status, fake.body = 404, {}
    order = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/p-1"},
    }
    entries = [
        {"resource": _patient("p-1"), "request": {"method": "PUT", "url": "Patient/p-1"}},
        {"resource": order | {"id": "s-1"}, "request": {"method": "PUT", "url": "ServiceRequest/s-1"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = ehr.fhir("POST", "", ehr.a_token("user/*.cruds"), json=bundle)

    assert answer.status_code == 502
    assert fake.written == [("PUT", "Patient/p-1"), ("PUT", "ServiceRequest/s-1"), ("DELETE", "Patient/p-1")]
