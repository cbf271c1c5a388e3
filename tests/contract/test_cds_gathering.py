"""Filling what the prefetch left open, from a real FHIR server on a socket: budgets, paging, errors (R19, R21)."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request

from cds_service.gather import Budgets, Gathered, gather
from cds_service.protocol import parse_request
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import PrefetchUnavailable
from fhir_imaging.store.engine import Store
from imaging_findings.facts import ENCOUNTER_ID_TOKEN, FactQuery
from tests.cds_actors import (
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_patient,
    a_store,
    a_study,
    an_order,
    whole_prefetch,
)

TOKEN = "t0ken-of-one-request"


class FakeFhir:
    """A FHIR server with canned answers by resource type; notes what was asked, with which token, and can be slow."""

    def __init__(self) -> None:
        self.base = ""
        self.answers: dict[str, Any] = {
            "Patient/p": a_patient(),
            "Observation": a_bundle(a_lung_rads("3")),
            "ImagingStudy": a_bundle(a_study()),
        }
        self.slow: dict[str, float] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self._lock = threading.Lock()

    def app(self) -> Flask:
        app = Flask("fhir")

        @app.get("/fhir/<path:path>")
        def answer(path: str) -> Response:
            with self._lock:
                self.asked.append(request.full_path.removeprefix("/fhir/").rstrip("?"))
                self.tokens.add(request.headers.get("Authorization"))
            time.sleep(self.slow.get(path, 0.0))
            key = f"{path}?page={request.args['page']}" if "page" in request.args else path
            found = self.answers.get(key, a_bundle())
            if isinstance(found, int):
                return Response(status=found)
            return Response(json.dumps(found), mimetype="application/fhir+json")

        return app


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def fhir(serve: Callable[[Flask, int], str], free_port: int) -> FakeFhir:
    server = FakeFhir()
    server.base = f"{serve(server.app(), free_port)}/fhir"
    return server


@pytest.fixture
def cds(store: Store, tmp_path: Path, fhir: FakeFhir) -> CdsActor:
    return a_cds_service(store, tmp_path, trust={"fhir_servers": (fhir.base,)}, soft_budget_ms=1500)


def granted(fhir_server: str, prefetch: dict[str, Any] | None = None, scope: str = "patient/*.rs") -> dict[str, Any]:
    grant = {
        "access_token": TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": scope,
        "subject": "imaging-cds",
        "patient": "p",
    }
    return a_hook(prefetch, fhirServer=fhir_server, fhirAuthorization=grant)


def test_r21_everything_is_fetched_when_nothing_came(cds: CdsActor, fhir: FakeFhir) -> None:
    (card,) = cds.cards(granted(fhir.base))

    assert card["summary"].startswith("Lung-RADS 3")
    assert "Not available" not in card["detail"]
    assert fhir.tokens == {f"Bearer {TOKEN}"}
    assert len(fhir.asked) == 8


def test_r19_only_what_is_missing_is_fetched(cds: CdsActor, fhir: FakeFhir) -> None:
    prefetch = whole_prefetch(a_lung_rads("3"))
    del prefetch["orders"]
    fhir.answers["ServiceRequest"] = a_bundle(an_order())

    assert cds.cards(granted(fhir.base, prefetch)) == [], "the fetched order answers the finding"
    assert [one.partition("?")[0] for one in fhir.asked] == ["ServiceRequest"]


def test_null_means_no_data_and_is_not_fetched_again(cds: CdsActor, fhir: FakeFhir) -> None:
    cds.cards(granted(fhir.base, whole_prefetch(a_lung_rads("3"), studies=None)))

    assert fhir.asked == []


def test_a_failed_optional_key_is_not_repeated_blindly(cds: CdsActor, fhir: FakeFhir) -> None:
    failed = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}

    (card,) = cds.cards(granted(fhir.base, whole_prefetch(a_lung_rads("3"), orders=failed)))

    assert fhir.asked == []
    assert "**Not available:** open orders." in card["detail"]


def test_a_failed_required_key_is_tried_once_before_a_412(cds: CdsActor, fhir: FakeFhir) -> None:
    failed = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}

    assert len(cds.cards(granted(fhir.base, whole_prefetch() | {"findings": failed}))) == 1
    assert [one.partition("?")[0] for one in fhir.asked] == ["Observation"]


def test_next_pages_are_followed_with_the_token(cds: CdsActor, fhir: FakeFhir) -> None:
    fhir.answers["Observation?page=2"] = a_bundle(a_lung_rads("4A", id="second"), next_url=f"{fhir.base}/Observation?page=3")
    fhir.answers["Observation?page=3"] = a_bundle(a_lung_rads("2", id="third"))
    first = a_bundle(a_lung_rads("3"), next_url=f"{fhir.base}/Observation?page=2")

    (card,) = cds.cards(granted(fhir.base, whole_prefetch() | {"findings": first}))

    assert card["summary"].startswith("Lung-RADS 4A"), "the most suspicious category of the study, from the second page"
    assert "Only a part came" not in card["detail"]
    assert fhir.asked == ["Observation?page=2", "Observation?page=3"]


@pytest.mark.parametrize(
    "next_url", ["http://127.0.0.1:9/fhir?page=2", "https://evil.example.org/fhir?page=2", "file:///etc/passwd", "http://["]
)
def test_a_next_link_never_leaves_the_server(cds: CdsActor, fhir: FakeFhir, next_url: str) -> None:
    first = a_bundle(a_lung_rads("3"), next_url=next_url)

    (card,) = cds.cards(granted(fhir.base, whole_prefetch() | {"findings": first}))

    assert "**Only a part came:** coded imaging findings" in card["detail"]
    assert fhir.asked == []


def test_endless_paging_ends(cds: CdsActor, fhir: FakeFhir) -> None:
    fhir.answers["Observation?page=2"] = a_bundle(a_lung_rads("3"), next_url=f"{fhir.base}/Observation?page=2")
    first = a_bundle(a_lung_rads("3"), next_url=f"{fhir.base}/Observation?page=2")

    (card,) = cds.cards(granted(fhir.base, whole_prefetch() | {"findings": first}))

    assert len(fhir.asked) == cds.services.settings.max_pages
    assert "Only a part came" in card["detail"]


def test_r22_slow_optional_data_is_left_out_after_the_soft_budget(store: Store, tmp_path: Path, fhir: FakeFhir) -> None:
    hasty = a_cds_service(store, tmp_path, trust={"fhir_servers": (fhir.base,)}, soft_budget_ms=300)
    fhir.slow = {"ServiceRequest": 4.0}
    prefetch = whole_prefetch(a_lung_rads("3"))
    del prefetch["orders"]

    started = time.monotonic()
    (card,) = hasty.cards(granted(fhir.base, prefetch))

    assert time.monotonic() - started < 3.5
    assert "**Not available:** open orders." in card["detail"]


def test_r22_slow_required_data_is_waited_for_until_the_hard_budget(store: Store, tmp_path: Path, fhir: FakeFhir) -> None:
    patient = a_cds_service(store, tmp_path, trust={"fhir_servers": (fhir.base,)}, soft_budget_ms=100, hard_budget_ms=3000)
    fhir.slow = {"Observation": 0.6}

    assert len(patient.cards(granted(fhir.base))) == 1

    fhir.slow = {"Observation": 4.0}
    hasty = a_cds_service(store, tmp_path, trust={"fhir_servers": (fhir.base,)}, soft_budget_ms=100, hard_budget_ms=400)
    started = time.monotonic()
    response = hasty.call(granted(fhir.base))

    assert response.status_code == 412
    assert "findings: " in response.get_data(as_text=True)
    assert time.monotonic() - started < 3.5


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_refusal_for_required_data_is_412_and_says_no_more_than_the_key(cds: CdsActor, fhir: FakeFhir, status: int) -> None:
    fhir.answers["Observation"] = status

    response = cds.call(granted(fhir.base))

    assert response.status_code == 412
    told = response.get_data(as_text=True)
    assert "findings: " in told
    assert TOKEN not in told


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_refusal_for_optional_data_is_named(cds: CdsActor, fhir: FakeFhir, status: int) -> None:
    fhir.answers["ServiceRequest"] = status

    (card,) = cds.cards(granted(fhir.base))

    assert "**Not available:** open orders." in card["detail"]


@pytest.mark.parametrize("answer", [[], "text", {"resourceType": "Patient"}], ids=["array", "string", "no Bundle"])
def test_odd_answers_of_the_server_are_no_500(cds: CdsActor, fhir: FakeFhir, answer: object) -> None:
    fhir.answers |= {"ServiceRequest": answer, "ImagingStudy": answer, "DiagnosticReport": answer}

    assert cds.call(granted(fhir.base)).status_code == 200


@pytest.mark.parametrize(
    "fhir_server",
    [
        "http://169.254.169.254/latest",
        "http://localhost:8000/fhir",
        "file:///etc/passwd",
        "gopher://x",
        "https://ehr.example.org.evil.example/fhir",
        "not a url",
    ],
)
def test_an_unknown_fhir_server_is_never_contacted(cds: CdsActor, fhir: FakeFhir, fhir_server: str) -> None:
    """SSRF: the token goes to configured servers only, and a 412 says that this one is not among them."""
    response = cds.call(granted(fhir_server))

    assert response.status_code == 412
    said = response.get_data(as_text=True)
    assert "the request's fhirServer is not one that this site lists for this client" in said
    assert "or have the site list that server for this client" in said
    assert "fhirServer with a fhirAuthorization" not in said, "the client did send both"
    assert fhir.asked == []


def test_addresses_around_the_configured_one_are_unknown_too(cds: CdsActor, fhir: FakeFhir) -> None:
    for near in (
        f"{fhir.base}/../admin",
        f"{fhir.base}/Patient",
        fhir.base.replace("http://", "http://u:p@"),
        f"{fhir.base}?x=",
    ):
        assert cds.call(granted(near)).status_code == 412
    assert fhir.asked == []


def test_a_trailing_slash_is_the_same_server(cds: CdsActor, fhir: FakeFhir) -> None:
    assert len(cds.cards(granted(f"{fhir.base}/"))) == 1


def test_r21_no_token_no_fetching(cds: CdsActor, fhir: FakeFhir) -> None:
    without_token = cds.call(a_hook({}, fhirServer=fhir.base))
    without_server = cds.call({name: member for name, member in a_hook({}).items() if name != "fhirServer"})

    assert (without_token.status_code, without_server.status_code) == (412, 412)
    assert "the request has no fhirAuthorization for its fhirServer" in without_token.get_data(as_text=True)
    assert "the request names no fhirServer" in without_server.get_data(as_text=True)
    assert fhir.asked == []


def asked_types(fhir: FakeFhir) -> set[str]:
    return {asked.partition("?")[0] for asked in fhir.asked}


@pytest.mark.parametrize(
    "scope",
    [
        "patient/Observation.rs patient/Patient.r",
        "patient/Observation.read patient/Patient.read",
        "patient/Observation.s launch user/Patient.read openid",
        "patient/Observation.r patient/Observation.s patient/Patient.*",
    ],
)
def test_r16_scopes_of_both_versions_say_what_is_fetched(cds: CdsActor, fhir: FakeFhir, scope: str) -> None:
    """A key beyond the token is not asked for (the server would only refuse), and the card says that it is missing."""
    (card,) = cds.cards(granted(fhir.base, scope=scope))

    assert asked_types(fhir) == {"Patient/p", "Observation"}
    assert "**Not available:** radiology reports, open orders, imaging studies" in card["detail"]


@pytest.mark.parametrize("scope", ["patient/Patient.r patient/Observation.r", "patient/Patient.rs", "openid fhirUser launch"])
def test_r16_r20_a_required_key_beyond_the_scope_is_412_and_says_why(cds: CdsActor, fhir: FakeFhir, scope: str) -> None:
    response = cds.call(granted(fhir.base, scope=scope))

    assert response.status_code == 412
    diagnostics = json.loads(response.get_data(as_text=True))["issue"][0]["diagnostics"]
    assert "findings: the token's scope does not cover Observation" in diagnostics
    assert "Observation" not in asked_types(fhir)


def test_r16_a_granular_scope_may_have_hidden_something_and_the_card_says_so(cds: CdsActor, fhir: FakeFhir) -> None:
    scope = "patient/Patient.r patient/Observation.rs?category=imaging patient/ImagingStudy.rs"

    (card,) = cds.cards(granted(fhir.base, scope=scope))

    assert "Observation" in asked_types(fhir)
    assert "**Only a part came:** coded imaging findings" in card["detail"]


def test_r17_cds_r_2_the_warning_in_the_log_holds_no_patient_and_no_token(
    cds: CdsActor, fhir: FakeFhir, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = granted(fhir.base, whole_prefetch(a_lung_rads("3", subject={"reference": "Patient/demo-secret"})))
    del body["fhirAuthorization"]["patient"]

    assert cds.call(body).status_code == 200

    assert "cds-r-2: fhirAuthorization has a patient/ scope and no patient" in caplog.text
    assert TOKEN not in caplog.text
    assert "demo-secret" not in caplog.text


# --- an encounter that the request does not name (R19)


ENCOUNTER_QUERY = FactQuery("stay", "Encounter", f"Encounter/{ENCOUNTER_ID_TOKEN}", False, "the stay")
ENCOUNTER_SEARCH = FactQuery(
    "during", "DiagnosticReport", f"DiagnosticReport?encounter={ENCOUNTER_ID_TOKEN}", True, "reports of the stay"
)


def asked_of(fhir: FakeFhir, query: FactQuery, encounter: str | None) -> Gathered:
    context = {"userId": "Practitioner/gp", "patientId": "p"} | ({"encounterId": encounter} if encounter else {})
    request = parse_request(granted(fhir.base) | {"context": context}, hook="patient-view")
    client = FhirClient(fhir.base, OutboundSession([fhir.base], retries=0), access_token=TOKEN)
    return gather(request, (query,), client, Budgets(soft_ms=1500, hard_ms=3000, max_pages=2))


def test_r19_an_encounter_that_is_not_named_is_never_asked_for_with_an_empty_id(fhir: FakeFhir) -> None:
    """``DiagnosticReport?encounter=`` would be every report of the patient, and ``Encounter/`` a search."""
    gathered = asked_of(fhir, ENCOUNTER_QUERY, None)

    assert fhir.asked == []
    assert gathered.resources["stay"] is None
    assert gathered.reasons["stay"] == "the request names no encounter (context.encounterId)"
    with pytest.raises(PrefetchUnavailable, match=r"during: the request names no encounter"):
        asked_of(fhir, ENCOUNTER_SEARCH, None)
    assert fhir.asked == []


def test_r19_an_encounter_that_is_named_is_asked_for(fhir: FakeFhir) -> None:
    fhir.answers["Encounter/e"] = {"resourceType": "Encounter", "id": "e"}

    assert asked_of(fhir, ENCOUNTER_QUERY, "e").resources["stay"] == ({"resourceType": "Encounter", "id": "e"},)
    assert asked_of(fhir, ENCOUNTER_SEARCH, "Encounter/e").resources["during"] == ()
    assert fhir.asked == ["Encounter/e", "DiagnosticReport?encounter=e"]


def test_r20_the_412_says_for_each_key_how_to_supply_it(cds: CdsActor, fhir: FakeFhir) -> None:
    told = json.loads(cds.call(a_hook({}, fhirServer=fhir.base)).get_data())["issue"][0]["diagnostics"]

    for key, scope in (("patient", "patient/Patient.r"), ("findings", "patient/Observation.s")):
        assert f"send prefetch.{key} by the template that discovery lists, or fhirServer with a fhirAuthorization" in told
        assert f"whose scope has {scope}" in told


# --- the threads that ask


def test_the_threads_that_ask_are_kept_for_the_next_card(cds: CdsActor, fhir: FakeFhir) -> None:
    def asking() -> set[int | None]:
        return {one.ident for one in threading.enumerate() if one.name.startswith("gather")}

    # Whoever is done early may ask twice, so the number is only settled where all wait for each other.
    fhir.slow = dict.fromkeys(["Patient/p", "Observation", "ImagingStudy", "DiagnosticReport", "ServiceRequest"], 0.05)
    for _ in range(2):
        cds.cards(granted(fhir.base))
    kept = asking()
    for _ in range(3):
        cds.cards(granted(fhir.base))

    assert len(asking()) <= max(len(kept), 8)
    assert kept <= asking()


def test_a_silent_server_does_not_hold_up_the_next_card(cds: CdsActor, fhir: FakeFhir) -> None:
    fhir.slow["Condition"] = 4.0
    (card,) = cds.cards(granted(fhir.base))
    assert "conditions" in card["detail"]
    del fhir.slow["Condition"]

    began = time.monotonic()
    (card,) = cds.cards(granted(fhir.base))

    assert time.monotonic() - began < 1.5, "within the soft budget"
    assert "Not available" not in card["detail"]
