"""A site's own findings reach discovery and are fetched: what the policy names is asked for wherever it is told (3.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from flask import Flask, Response, request

from fhir_imaging.store.engine import Store
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import SitePolicy, product_policy
from tests.cds_actors import APP, a_bundle, a_cds_service, a_hook, a_store, an_observation, concept, whole_prefetch

HOSPITAL = "https://hospital.example.org/findings"
POLICY = f"""
[[actionable.finding]]
id = "free-air"
title = "Free air in the abdomen"
system = "{HOSPITAL}"
code = "FREE-AIR"
category = "1"
evidence = "C"
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def a_policy() -> SitePolicy:
    return replace(product_policy(), packs=parse_site_packs(f"[actionable]\n{POLICY}", "packs.toml"))


def test_r10_discovery_asks_for_what_the_policy_names(store: Store, tmp_path: Path) -> None:
    cds = a_cds_service(store, tmp_path, policy=a_policy())

    sent = {"Authorization": f"Bearer {cds.ehr.jwt_for(f'{APP}/cds-services')}"}
    services = cds.client.get("/cds-services", headers=sent).get_json()["services"]

    asking = [one["id"] for one in services if f"{HOSPITAL}|FREE-AIR" in one["prefetch"].get("findings", "")]
    assert asking == ["imaging-findings", "imaging-discharge", "imaging-study-complete"]


def test_r19_a_finding_of_the_sites_own_is_fetched_and_told(
    store: Store, tmp_path: Path, serve: Callable[[Flask, int], str], free_port: int
) -> None:
    """A server that answers only what it is asked for, as servers do."""
    app = Flask("fhir")
    seen = an_observation(code=concept(HOSPITAL, "FREE-AIR"), issued="2026-11-21T07:00:00Z")

    @app.get("/fhir/Observation")
    def answer() -> Response:
        asked = parse_qs(request.query_string.decode())["code"][0].split(",")
        found = a_bundle(seen) if f"{HOSPITAL}|FREE-AIR" in asked else a_bundle()
        return Response(json.dumps(found), mimetype="application/fhir+json")

    base = f"{serve(app, free_port)}/fhir"
    cds = a_cds_service(store, tmp_path, policy=a_policy(), trust={"fhir_servers": (base,)})
    prefetch = whole_prefetch()
    del prefetch["findings"]
    grant = {"token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "c", "patient": "p"}
    hook = a_hook(prefetch, fhirServer=base, fhirAuthorization={"access_token": "t0ken"} | grant)

    (card,) = cds.cards(hook)

    assert card["summary"].startswith("Free air in the abdomen")
    assert card["indicator"] == "critical"
