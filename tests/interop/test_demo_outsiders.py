"""Other people's launchers, CDS clients and browsers at the running demo (cds-hooks.md §8, smart-launch.md §10)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask, jsonify, request

from tests.conftest import free_port_number, serving
from tests.interop.foreign_parties import ForeignEhr, HandBrowser, HookPage, a_foreign_ehr
from tests.interop.outsiders import DemoProcess, a_demo, curl, demo_images, studies_of, study_uid, with_images

pytestmark = pytest.mark.xdist_group("outsiders")

SERVICE = "imaging-findings"


@dataclass(slots=True)
class World:
    """The demo with everybody whom it was told to trust."""

    demo: DemoProcess
    foreign: ForeignEhr
    page: HookPage
    by_url: HookPage


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, viewer_dir: Path) -> Iterator[World]:
    home = tmp_path_factory.mktemp("outsiders")
    page, by_url = HookPage(), HookPage(issuer="https://cds.client.example", kid="by-url")
    keys = home / "public-key.json"
    keys.write_text(json.dumps(page.public_key()))
    key_server = Flask("keys")
    key_server.add_url_rule("/jwks.json", view_func=lambda: jsonify(keys=[by_url.public_key(kid=by_url.kid)]))
    demo_ports = (free_port_number(), free_port_number(), free_port_number())
    images = demo_images(pytestconfig)
    with (
        serving(key_server, free_port_number()) as key_url,
        a_foreign_ehr(home / "foreign", demo_ports[0], images=images) as foreign,
        a_demo(
            with_images(home / "demo", images),
            viewer_dir,
            "--open-fhir",
            f"--trust-issuer={foreign.fhir}",
            f"--trust-cds-client={page.issuer}={keys}",
            f"--trust-cds-client={by_url.issuer}={key_url}/jwks.json",
            ports=demo_ports,
        ) as demo,
    ):
        by_url.jku = f"{key_url}/jwks.json"
        yield World(demo, foreign, page, by_url)


def session_of(browser: HandBrowser) -> str:
    """The address of the session that the app opened last."""
    found = [match for address in browser.addresses if (match := re.search(r"^http.*/s/[^/]+", address))]
    return found[-1].group()


def test_the_demo_says_whom_it_lets_in(world: World) -> None:
    assert f"May launch       {world.foreign.fhir}   (client id imaging-cds)" in world.demo.output
    assert f"{world.demo.app_url}/imaging/issuer-1/dicom-web/demo" in world.demo.output
    assert f"May ask          {world.page.issuer}" in world.demo.output


# --trust-issuer


def test_a_foreign_launcher_leads_to_the_study_list_of_its_patient(world: World) -> None:
    browser = HandBrowser()

    page = browser.opens(world.foreign.launch("demo-a", world.demo.app_url))

    assert page.status_code == 200
    assert page.url.endswith("/studies")
    assert "Alma" in page.text
    assert "CT CHEST LOW DOSE SCREENING" in page.text
    assert f"frame-ancestors 'self' {world.foreign.url}" in page.headers["Content-Security-Policy"]
    assert "Bruno" not in page.text


def test_its_endpoints_are_taken_to_its_own_gateway_path(world: World) -> None:
    """Endpoint addresses that the site cannot change are replaced by its settings (DESIGN §4)."""
    browser = HandBrowser()
    browser.opens(world.foreign.launch("demo-a", world.demo.app_url))
    session = session_of(browser)
    token = browser.posts_from_own_page(f"{session}/token").json()["access_token"]
    uid = study_uid(studies_of(world.foreign.fhir, token, "demo-a")[0])

    viewer = browser.opens(f"{session}/viewer/{uid}")
    told = browser.opens(f"{session}/ohif/app-config.js").text

    assert viewer.status_code == 200
    assert f"{world.demo.app_url}/imaging/issuer-1/dicom-web/demo" in told
    assert "/imaging/sandbox/" not in told
    images = curl("GET", f"{world.demo.app_url}/imaging/issuer-1/dicom-web/demo/studies/{uid}/metadata", token)
    assert images.status_code == 200, images.text
    assert len(images.json()) > 100


def test_tokens_of_one_issuer_open_nothing_of_another(world: World) -> None:
    """The EHR's name in the path decides whose tokens count (P4, DESIGN §4)."""
    of_foreign, of_sandbox = world.foreign.token("--patient", "demo-a"), world.demo.token("--patient", "demo-a")
    uid = study_uid(studies_of(world.foreign.fhir, of_foreign, "demo-a")[0])
    foreign_path, sandbox_path = (
        f"{world.demo.app_url}/imaging/{name}/dicom-web/demo/studies/{uid}/metadata" for name in ("issuer-1", "sandbox")
    )

    assert curl("GET", foreign_path, of_foreign).status_code == 200
    assert curl("GET", sandbox_path, of_sandbox).status_code == 200
    for path, token in ((sandbox_path, of_foreign), (foreign_path, of_sandbox)):
        refused = curl("GET", path, token)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def test_a_foreign_issuers_patient_a_does_not_open_patient_b(world: World) -> None:
    """Same archive, same patients, another issuer: ownership is asked of that issuer (W4)."""
    uid = study_uid(studies_of(world.foreign.fhir, world.foreign.token("--patient", "demo-b"), "demo-b")[0])
    refused = curl(
        "GET",
        f"{world.demo.app_url}/imaging/issuer-1/dicom-web/demo/studies/{uid}/metadata",
        world.foreign.token("--patient", "demo-a"),
    )

    assert refused.status_code == 403
    assert "application/problem+json" in refused.headers["Content-Type"]


def test_unknown_issuers_are_refused_before_any_request_leaves(world: World) -> None:
    """APP-A4: a counterfeit EHR is not even asked for its configuration."""
    asked: list[str] = []
    counterfeit = Flask("counterfeit")

    @counterfeit.before_request
    def _note() -> tuple[str, int]:
        asked.append(request.full_path)
        return "", 404

    with serving(counterfeit, free_port_number()) as url:
        for iss in (f"{url}/fhir", f"{world.foreign.fhir}/../../{url}", f"{world.foreign.url}", f"{world.foreign.fhir}@{url}"):
            browser = HandBrowser()
            page = browser.opens(f"{world.demo.app_url}/launch?iss={quote(iss, safe='')}&launch=x")
            assert page.status_code in (400, 403), iss
            assert all(address.startswith(world.demo.app_url) for address in browser.addresses)

    assert asked == []


# --trust-cds-client


def test_the_public_cds_client_may_ask_before_it_asks(world: World) -> None:
    """Preflights carry no JWT and are answered first, for the local network too (cds-hooks.md §8)."""
    services = f"{world.demo.app_url}/cds-services"
    for url, method, headers in (
        (services, "GET", "authorization"),
        (f"{services}/{SERVICE}", "POST", "authorization,content-type"),
        (f"{services}/{SERVICE}/feedback", "POST", "authorization,content-type"),
    ):
        answer = world.page.preflight(url, method, headers)
        assert answer.ok
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", world.page.issuer)
        assert method in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
        assert set(headers.split(",")) <= set(allowed)
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize("whose", ["page", "by_url"], ids=["key from a file", "keys from a URL"])
def test_a_trusted_cds_client_gets_cards_and_its_feedback_is_taken(world: World, whose: str) -> None:
    client: HookPage = getattr(world, whose)
    discovery = f"{world.demo.app_url}/cds-services"

    offered = client.get(discovery)
    (service,) = [one for one in offered.json()["services"] if one["hook"] == "patient-view"]
    prefetch = client.prefetched(world.demo.fhir, service["prefetch"], "demo-c")
    url = f"{discovery}/{service['id']}"
    answer = client.post(url, client.hook(world.demo.fhir, "demo-c", prefetch))
    card = answer.json()["cards"][0]
    accepted = [{"id": card["suggestions"][0]["uuid"]}]
    outcome = {"card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": "2026-11-21T10:00:00Z"}
    feedback = client.post(f"{url}/feedback", {"feedback": [outcome | {"acceptedSuggestions": accepted}]})

    assert set(prefetch) >= {"patient", "findings", "reports", "studies"}
    assert (offered.status_code, answer.status_code, feedback.status_code) == (200, 200, 200)
    assert "7 mm" in card["summary"]
    assert {link["type"] for link in card["links"]} == {"smart", "absolute"}
    for one in (offered, answer, feedback):
        assert one.headers["Access-Control-Allow-Origin"] in ("*", client.issuer)


def test_the_legacy_prefetch_shape_gives_the_same_card(world: World) -> None:
    """Older clients wrap each value as {response, resource}."""
    discovery = f"{world.demo.app_url}/cds-services"
    service = world.page.get(discovery).json()["services"][0]
    plain = world.page.prefetched(world.demo.fhir, service["prefetch"], "demo-a")
    wrapped = {key: {"response": {"status": "200 OK"}, "resource": value} for key, value in plain.items()}
    url = f"{discovery}/{service['id']}"

    summaries = [
        [card["summary"] for card in world.page.post(url, world.page.hook(world.demo.fhir, "demo-a", values)).json()["cards"]]
        for values in (plain, wrapped)
    ]

    assert summaries[0]
    assert summaries[0] == summaries[1]


def test_errors_reach_the_page_too(world: World) -> None:
    """Without CORS on errors a browser client silently shows no cards (cds-hooks.md §8)."""
    url = f"{world.demo.app_url}/cds-services/{SERVICE}"
    hook = world.page.hook(world.demo.fhir, "demo-a", {})
    answers = {
        400: world.page.post(url, {**hook, "hookInstance": None}),
        404: world.page.post(f"{world.demo.app_url}/cds-services/none", hook),
        412: world.page.post(url, hook),  # nothing prefetched, no fhirAuthorization
    }

    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", world.page.issuer)
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_an_untrusted_cds_client_gets_a_bare_401_with_cors(world: World) -> None:
    """R38: no reason, no body; the browser may still read the status."""
    url = f"{world.demo.app_url}/cds-services/{SERVICE}"
    impostor = HookPage()  # the same issuer and kid, another key
    unnamed = HookPage(issuer="https://somebody.example")
    hook = world.page.hook(world.demo.fhir, "demo-a", {})
    answers = [
        impostor.post(url, hook),
        impostor.get(f"{world.demo.app_url}/cds-services"),
        unnamed.post(url, hook),
        curl("POST", url, json=hook, headers={"Origin": world.page.issuer}),
        curl("POST", url, world.page.proof(f"{url}/elsewhere"), json=hook, headers={"Origin": world.page.issuer}),
    ]

    for answer in answers:
        assert answer.status_code == 401
        assert answer.content == b""
    for answer in (answers[0], answers[1], answers[3], answers[4]):
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", world.page.issuer)


def test_the_public_cds_client_may_use_the_sandboxs_fhir_and_register_launches(world: World) -> None:
    """What that page asks of a FHIR server behind it: metadata, Patient and the launch of a smart link, with CORS."""
    launch_url = f"{world.demo.fhir}/_services/smart/Launch"
    preflight = world.page.preflight(launch_url, "POST", "content-type")
    assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"
    for path in ("metadata", "Patient", "Patient/demo-a", "Condition?patient=demo-a"):
        answer = curl(
            "GET", f"{world.demo.fhir}/{path}", headers={"Origin": world.page.issuer, "Accept": "application/json+fhir"}
        )
        assert answer.status_code == 200, path
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", world.page.issuer)
    parameters = {"patient": "demo-a", "smart_messaging_origin": world.page.issuer, "appContext": "2.25.1"}
    body: dict[str, Any] = {"launchUrl": f"{world.demo.app_url}/launch", "parameters": parameters}

    registered = curl("POST", launch_url, json=body, headers={"Origin": world.page.issuer})

    assert registered.status_code == 200, registered.text
    page = HandBrowser().opens(f"{world.demo.app_url}/launch?launch={registered.json()['launch_id']}&iss={world.demo.fhir}")
    assert page.status_code == 200, page.text
    assert "Alma" in page.text
