"""What a token opens on the FHIR API, and what it does not (SBX-S9)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from ehr_sandbox.authorization import TokenOptions
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.settings import Faults, RegisteredClient
from tests.contract.sandbox_client import (
    APP,
    REDIRECT_URI,
    STORES,
    SandboxClient,
    a_sandbox,
    a_sandbox_storing,
    an_observation,
    rs384_key,
)


@pytest.fixture(scope="module", params=STORES)
def ehr(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox_storing(request.param, tmp_path_factory.mktemp("ehr")) as client:
        yield client


def _status(ehr: SandboxClient, method: str, path: str, token: str | None, **more: Any) -> int:
    answer = ehr.fhir(method, path, token, **more)
    if answer.status_code >= 400:
        assert answer.json()["resourceType"] == "OperationOutcome"
    return answer.status_code


def _ids(answer: Any, mode: str = "match") -> set[str]:
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", [])
    return {entry["resource"]["id"] for entry in entries if entry["search"]["mode"] == mode}


def test_s9_no_token_is_401_with_a_challenge(ehr: SandboxClient) -> None:
    answer = ehr.fhir("GET", "Patient/demo-a")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert "error=" not in answer.headers["WWW-Authenticate"]
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_s9_expired_foreign_and_forged_tokens_are_401_invalid_token(ehr: SandboxClient) -> None:
    issue = ehr.services.authorization.issue_token
    context = LaunchContext(patient="demo-a")
    good = ehr.a_token("patient/*.rs", "demo-a")
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = ehr.services.authorization.signer.key.kid
    headers = {"kid": kid, "typ": "at+jwt"}
    refused = {
        "expired": issue("imaging-cds", "patient/*.rs", context, TokenOptions(lifetime_s=-1)).access_token,
        "other audience": issue(
            "imaging-cds", "patient/*.rs", context, TokenOptions(audiences=("http://localhost:8000",))
        ).access_token,
        "other key": jwt.encode(claims, rs384_key().signing.private_key, algorithm="RS256", headers=headers),
        "own key, never issued": ehr.services.authorization.signer.key.sign({**claims, "jti": "invented"}, typ="at+jwt"),
        "not typed as access token": ehr.services.authorization.signer.key.sign(claims),
        "HMAC with nothing": jwt.encode(claims, "k" * 64, algorithm="HS256", headers=headers),
        "no JWT": "abc",
    }

    for reason, token in refused.items():
        answer = ehr.fhir("GET", "Patient/demo-a", token)
        assert answer.status_code == 401, reason
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    basic = ehr.fhir("GET", "Patient/demo-a", headers={"Authorization": "Basic abc"})
    assert basic.status_code == 401
    in_url = ehr.fhir("GET", f"Patient/demo-a?access_token={good}")
    assert in_url.status_code == 401


def test_s9_a_patient_token_reads_its_patient_and_no_other(ehr: SandboxClient) -> None:
    token = ehr.a_token("patient/*.cruds", "demo-a")

    assert _status(ehr, "GET", "Patient/demo-a", token) == 200
    for path in ("Patient/demo-b", "ImagingStudy/demo-b-ct", "Observation/obs-b"):
        assert _status(ehr, "GET", path, token) == 403
        assert _status(ehr, "GET", f"{path}/_history", token) == 403
        assert _status(ehr, "GET", f"{path}/_history/1", token) == 403
        assert _status(ehr, "DELETE", path, token) == 403


@pytest.mark.parametrize(
    "query",
    [
        "Patient",
        "Patient?_id=demo-b",
        "ImagingStudy?patient=demo-b",
        "ImagingStudy?subject=Patient/demo-b",
        "ImagingStudy?patient=demo-a,demo-b",
        "ImagingStudy?identifier=urn:dicom:uid|urn:oid:2.25.5",
        "Observation?_id=obs-b,obs-lab",
        "Endpoint?_revinclude=ImagingStudy:endpoint",
    ],
)
def test_s9_no_search_shows_another_patients_records(ehr: SandboxClient, query: str) -> None:
    body = ehr.fhir("GET", query, ehr.a_token("patient/*.rs", "demo-a")).json()

    assert "demo-b" not in str([entry["resource"] for entry in body.get("entry", [])])


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [
        ("patient/ImagingStudy.r", "ImagingStudy/demo-a-ct", "ImagingStudy?patient=demo-a"),
        ("patient/ImagingStudy.s", "ImagingStudy?patient=demo-a", "ImagingStudy/demo-a-ct"),
        ("patient/ImagingStudy.rs", "ImagingStudy/demo-a-ct", "Patient/demo-a"),
        ("patient/ImagingStudy.read", "ImagingStudy?patient=demo-a", "Observation?patient=demo-a"),
        ("patient/*.r", "Endpoint/demo-wado", "Endpoint?status=active"),
        ("user/Patient.r", "Patient/demo-b", "Patient?_id=demo-b"),
        ("launch openid", "metadata", "Patient/demo-a"),
    ],
)
def test_s9_each_interaction_needs_its_letter(ehr: SandboxClient, scope: str, allowed: str, refused: str) -> None:
    token = ehr.a_token(scope, "demo-a")

    assert _status(ehr, "GET", allowed, token) == 200
    answer = ehr.fhir("GET", refused, token)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_s9_writing_needs_c_u_and_d(ehr: SandboxClient) -> None:
    resource = an_observation("w-1", "demo-a", category="laboratory", when="2026-01-01")
    body = {name: value for name, value in resource.items() if name != "id"}

    read_only = ehr.a_token("patient/*.rs", "demo-a")
    assert _status(ehr, "POST", "Observation", read_only, json=body) == 403
    assert _status(ehr, "PUT", "Observation/obs-lab", read_only, json=resource | {"id": "obs-lab"}) == 403
    assert _status(ehr, "DELETE", "Observation/obs-lab", read_only) == 403
    creator = ehr.a_token("patient/Observation.c", "demo-a")
    assert _status(ehr, "POST", "Observation", creator, json=body) == 201
    updater = ehr.a_token("patient/Observation.u", "demo-a")
    assert _status(ehr, "PUT", "Observation/obs-lab", updater, json=resource | {"id": "obs-lab"}) == 200
    assert _status(ehr, "PUT", "Observation/by-update", updater, json=resource | {"id": "by-update"}) == 403
    v1 = ehr.a_token("patient/Observation.write", "demo-a")
    assert _status(ehr, "PUT", "Observation/by-update", v1, json=resource | {"id": "by-update"}) == 201
    assert _status(ehr, "DELETE", "Observation/by-update", v1) == 204


def test_s9_nothing_is_written_into_or_pulled_out_of_another_compartment(ehr: SandboxClient) -> None:
    token = ehr.a_token("patient/*.cruds", "demo-a")
    theirs = an_observation("obs-b", "demo-b", category="laboratory", when="2026-03-01")
    mine = an_observation("obs-b", "demo-a", category="laboratory", when="2026-03-01")

    assert _status(ehr, "POST", "Observation", token, json=theirs) == 403
    assert _status(ehr, "PUT", "Observation/obs-b", token, json=mine) == 403
    assert _status(ehr, "PUT", "Observation/obs-imaging", token, json=theirs | {"id": "obs-imaging"}) == 403
    absolute = copy.deepcopy(theirs)
    absolute["subject"]["reference"] = f"{ehr.fhir_base}/Patient/demo-b"
    assert _status(ehr, "POST", "Observation", token, json=absolute) == 403


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_s9_a_bundle_opens_no_more_than_its_entries_would(ehr: SandboxClient, kind: str) -> None:
    token = ehr.a_token("patient/*.rs", "demo-a")
    entries = [
        {"request": {"method": "GET", "url": "Patient/demo-b"}},
        {"request": {"method": "GET", "url": "Observation?patient=demo-b"}},
        {"request": {"method": "DELETE", "url": "Observation/obs-b"}},
    ]
    answer = ehr.fhir("POST", "", token, json={"resourceType": "Bundle", "type": kind, "entry": entries})

    if kind == "transaction":
        assert answer.status_code == 403
    else:
        statuses = [entry["response"]["status"] for entry in answer.json()["entry"]]
        assert statuses == ["403", "200 OK", "403"]
        assert answer.json()["entry"][1]["resource"]["total"] == 0


def test_s9_granular_scopes_hold_for_search_read_create_and_includes(ehr: SandboxClient) -> None:
    lab = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    token = ehr.a_token(f"{lab} patient/Patient.r", "demo-a")

    assert "obs-imaging" not in _ids(ehr.fhir("GET", "Observation?patient=demo-a", token))
    assert "obs-lab" in _ids(ehr.fhir("GET", "Observation?patient=demo-a&_include=*", token))
    assert _status(ehr, "GET", "Observation/obs-lab", token) == 200
    assert _status(ehr, "GET", "Observation/obs-imaging", token) == 403
    writer = ehr.a_token(lab.replace(".rs?", ".cu?"), "demo-a")
    imaging = an_observation("x", "demo-a", category="imaging", when="2026-01-01")
    laboratory = an_observation("obs-lab", "demo-a", category="laboratory", when="2026-03-01")
    assert _status(ehr, "POST", "Observation", writer, json=imaging) == 403
    assert _status(ehr, "PUT", "Observation/obs-imaging", writer, json=laboratory | {"id": "obs-imaging"}) == 403
    assert _status(ehr, "PUT", "Observation/obs-lab", writer, json=laboratory) == 200


def test_s9_includes_need_the_right_to_the_included_type(ehr: SandboxClient) -> None:
    query = "ImagingStudy?patient=demo-a&_include=ImagingStudy:endpoint&_include=ImagingStudy:patient"
    without = ehr.fhir("GET", query, ehr.a_token("patient/ImagingStudy.rs", "demo-a"))
    with_endpoint = ehr.fhir("GET", query, ehr.a_token("patient/ImagingStudy.rs patient/Endpoint.r", "demo-a"))

    assert _ids(without, "include") == set()
    assert _ids(with_endpoint, "include") == {"demo-wado"}


def test_s9_a_patient_scope_without_patient_opens_nothing(ehr: SandboxClient) -> None:
    token = ehr.tokens("launch patient/*.rs", faults=Faults(missing_patient=True))["access_token"]

    assert _status(ehr, "GET", "Patient/demo-a", token) == 403
    assert _ids(ehr.fhir("GET", "Patient", token)) == set()
    assert _status(ehr, "GET", "Endpoint/demo-wado", token) == 403


def test_user_scopes_of_a_clinician_reach_all_and_of_a_patient_only_the_own_record(ehr: SandboxClient) -> None:
    clinician = ehr.a_token("user/Patient.rs")
    patient = ehr.a_token("user/Patient.rs", user="Patient/demo-b")
    relative = ehr.a_token("user/Patient.rs", "demo-a", user="RelatedPerson/r-1")

    assert _ids(ehr.fhir("GET", "Patient", clinician)) == {"demo-a", "demo-b"}
    assert _ids(ehr.fhir("GET", "Patient", patient)) == {"demo-b"}
    assert _ids(ehr.fhir("GET", "Patient", relative)) == {"demo-a"}


def test_a_paging_link_is_bound_to_the_caller(ehr: SandboxClient) -> None:
    page = ehr.fhir("GET", "Patient?_count=1", ehr.a_token("user/Patient.rs")).json()
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    path = following.removeprefix(f"{ehr.fhir_base}/")

    assert _ids(ehr.fhir("GET", path, ehr.a_token("user/Patient.rs"))) == {"demo-b"}
    assert _status(ehr, "GET", path, ehr.a_token("patient/*.rs", "demo-a")) == 410
    assert _status(ehr, "GET", path.replace("Patient?", "Observation?"), ehr.a_token("user/*.rs")) == 410


def test_a_deleted_resource_stays_closed_to_others(ehr: SandboxClient) -> None:
    ehr.services.store.put(an_observation("gone", "demo-b", category="laboratory", when="2026-01-01"))
    ehr.services.store.delete("Observation", "gone")

    assert _status(ehr, "GET", "Observation/gone", ehr.a_token("patient/*.rs", "demo-a")) == 403
    assert _status(ehr, "GET", "Observation/gone", ehr.a_token("patient/*.rs", "demo-b")) == 410


def test_s10_cors_of_fhir_is_for_registered_origins(ehr: SandboxClient) -> None:
    token = ehr.a_token("patient/*.rs", "demo-a")
    own = ehr.fhir("GET", "Patient/demo-a", token, headers={"Origin": APP})
    foreign = ehr.fhir("GET", "Patient/demo-a", token, headers={"Origin": "https://evil.example"})
    refused = ehr.fhir("GET", "Patient/demo-a", headers={"Origin": APP})
    preflight = ehr.fhir("OPTIONS", "Patient/demo-a", headers={"Origin": APP})

    assert own.headers["Access-Control-Allow-Origin"] == APP
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert refused.headers["Access-Control-Allow-Origin"] == APP
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


def test_open_mode_answers_without_token_on_its_own_host_name_only(tmp_path: Path) -> None:
    with a_sandbox(tmp_path, open_fhir=True) as ehr:
        assert _ids(ehr.fhir("GET", "Practitioner?_count=10&_summary=true&_sort=family")) == {"demo-gp"}
        assert _ids(ehr.fhir("GET", "Patient?_count=10&_sort=name&gender=male&birthdate=ge1980")) == {"demo-b"}
        assert _status(ehr, "GET", "Patient/demo-a", None, headers={"Host": "evil.example"}) == 421
        assert _status(ehr, "GET", "Patient/demo-a", "wrong-token") == 401


def test_open_mode_is_refused_beyond_loopback(tmp_path: Path) -> None:
    with a_sandbox(tmp_path, seed=False) as ehr, pytest.raises(ValueError, match="loopback"):
        replace(ehr.settings, base_url="http://ehr.example", open_fhir=True)


def test_binary_belongs_to_the_patient_of_its_security_context(ehr: SandboxClient) -> None:
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}
    ehr.services.store.put(binary | {"id": "of-a", "securityContext": {"reference": "Patient/demo-a"}})
    ehr.services.store.put(binary | {"id": "of-nobody"})
    token = ehr.a_token("patient/Binary.r", "demo-a")

    assert _status(ehr, "GET", "Binary/of-a", token) == 200
    assert _status(ehr, "GET", "Binary/of-nobody", token) == 403


def test_a_client_registered_for_little_gets_no_more_from_the_ehr_itself(tmp_path: Path) -> None:
    narrow = RegisteredClient(client_id="narrow", name="Narrow", redirect_uris=(REDIRECT_URI,), scopes=("patient/Patient.r",))
    with a_sandbox(tmp_path, clients=(narrow,), seed=False) as ehr:
        issued = ehr.services.authorization.issue_token("narrow", "patient/*.rs patient/Patient.r", LaunchContext())

    assert issued.scope == "patient/Patient.r"
