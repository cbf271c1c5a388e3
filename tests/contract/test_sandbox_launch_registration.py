"""The launch registration that CDS Hooks clients call (``_services/smart/Launch``): who may ask, and what the launch holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.sandbox_client import APP, EHR_SCOPE, SandboxClient, a_sandbox, redirected


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr")) as client:
        yield client


def test_the_launch_registration_call_of_hook_clients(ehr: SandboxClient) -> None:
    body = {
        "launchUrl": f"{APP}/launch",
        "parameters": {"patient": "demo-a", "appContext": "2.25.7", "smart_messaging_origin": ehr.base},
    }
    token = ehr.a_token("user/Patient.r")
    answer = ehr.fhir("POST", "_services/smart/Launch", token, json=body, headers={"Origin": APP})
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    handle = answer.json()["launch_id"]
    tokens = ehr.exchange(redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE))["code"]).json()

    assert tokens["patient"] == "demo-a"
    assert tokens["appContext"] == "2.25.7"


def test_the_launch_registration_refuses_whoever_may_not_see_the_patient(ehr: SandboxClient) -> None:
    body = {"launchUrl": f"{APP}/launch", "parameters": {"patient": "demo-a"}}
    path = "_services/smart/Launch"

    assert ehr.fhir("POST", path, json=body).status_code == 401
    assert ehr.fhir("POST", path, ehr.a_token("patient/Patient.r", "demo-b"), json=body).status_code == 403
    assert ehr.fhir("POST", path, ehr.a_token("user/Observation.rs"), json=body).status_code == 403
    unknown_app = body | {"launchUrl": "https://evil.example/launch"}
    assert ehr.fhir("POST", path, ehr.a_token("user/*.rs"), json=unknown_app).status_code == 403
    assert ehr.fhir("POST", path, ehr.a_token("user/*.rs"), json={"parameters": {}}).status_code == 400


def test_the_launch_registration_answers_a_preflight_and_the_own_chart(ehr: SandboxClient) -> None:
    headers = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    preflight = ehr.fhir("OPTIONS", "_services/smart/Launch", headers=headers)
    own = {"Origin": ehr.base, "Sec-Fetch-Site": "same-origin"}
    body = {"launchUrl": f"{APP}/launch", "parameters": {"patient": "demo-a"}}

    assert preflight.status_code == 204
    assert "Content-Type" in preflight.headers["Access-Control-Allow-Headers"]
    assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"
    assert ehr.fhir("POST", "_services/smart/Launch", json=body, headers=own).status_code == 200
