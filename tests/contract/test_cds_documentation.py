"""R40: the page for people says what discovery and the rule packs say, and needs no key to be read."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from flask import Flask

from cds_service.card_parts import override_reasons
from cds_service.documentation import documented_packs
from cds_service.documented_access import (
    EXAMPLE_CARD,
    EXAMPLE_FEEDBACK,
    EXAMPLE_REQUEST,
    accepted_algorithms,
    scopes_of,
)
from cds_service.evaluate import SERVICES
from cds_service.gather import Coverage, coverage
from cds_service.protocol import parse_request
from cds_service.settings import ClientAuthentication
from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.store.engine import Store
from imaging_findings.packs import bundled_packs
from tests.cds_actors import APP, EHR, CdsActor, a_cds_service, a_hook, a_store
from tests.conftest import CHECKOUT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def with_pages(cds: CdsActor) -> CdsActor:
    """The same service in an application that has the pages' templates."""
    app = Flask("pages", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    app.register_blueprint(create_blueprint(cds.services))
    web.install(app, [error_surface(cds.services)])
    return CdsActor(app=app, services=cds.services, ehr=cds.ehr)


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return with_pages(a_cds_service(store, tmp_path))


def page(cds: CdsActor) -> str:
    response = cds.client.get("/cds-documentation")
    assert response.status_code == 200
    assert response.mimetype == "text/html"
    return unescape(response.get_data(as_text=True))


def test_r40_every_service_with_its_hook_and_data(cds: CdsActor) -> None:
    shown = page(cds)

    for service in SERVICES.values():
        assert f"POST {APP}/cds-services/{service.service_id}" in shown
        assert service.description in shown
        section = shown.partition(f'id="{service.service_id}"')[2].partition("</section>")[0]
        assert f"<code>{service.hook}</code>" in section
        required, _, optional = section.partition("<h2>Required data")[2].partition("<h2>Optional data")
        for query in service.queries:
            assert f"<code>{query.template}</code>" in (required if query.required else optional)


def test_r40_every_rule_pack_with_version_citation_and_owner(cds: CdsActor) -> None:
    shown = page(cds)
    packs = documented_packs()

    in_force = repr(bundled_packs())
    bundled = [tomllib.loads(path.read_text())["id"] for path in (CHECKOUT / "imaging_findings" / "packs").glob("*.toml")]
    assert {pack.info.pack_id for pack in packs} == {one for one in bundled if f"pack_id='{one}'" in in_force}
    assert {pack.info.pack_id for pack in packs if pack.rows} >= {"fleischner-2017", "lung-rads-2022"}
    for pack in packs:
        for words in (
            pack.info.title,
            pack.info.guideline.version,
            pack.info.citation,
            pack.info.clinical_owner,
            pack.info.url,
        ):
            assert words
            assert words in shown
    assert "still need a clinician's check" in shown


def test_r40_the_protocol_as_it_is_set(store: Store, tmp_path: Path, cds: CdsActor) -> None:
    opened = with_pages(a_cds_service(store, tmp_path, client_authentication=ClientAuthentication.OFF, soft_budget_ms=123))

    assert "A JWT by a known client" in page(cds)
    assert "anybody may call" in page(opened)
    assert "123 ms for optional data" in page(opened)


def test_the_page_names_no_client_and_runs_no_script(cds: CdsActor) -> None:
    response = cds.client.get("/cds-documentation")

    assert EHR not in response.get_data(as_text=True)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in response.get_data(as_text=True)


def test_r4_discovery_stays_where_it_was(cds: CdsActor) -> None:
    assert cds.client.get("/cds-services/docs").status_code == 405
    assert cds.client.get("/cds-documentation/").status_code == 200


def section(shown: str, name: str) -> str:
    return shown.partition(f'id="{name}"')[2].partition("</section>")[0]


def test_r40_what_a_client_signs_and_how_it_is_registered(store: Store, tmp_path: Path) -> None:
    site = a_cds_service(
        store,
        tmp_path,
        trust={"algorithms": ("RS256", "ES384")},
        accepted_audience_bases=("https://proxy.example.org/imaging",),
        max_token_lifetime_s=1234,
        token_leeway_s=56,
    )

    told = section(page(with_pages(site)), "register")

    assert "<code>alg</code>: ES384, RS256, as agreed" in told
    assert all(f"<code>{claim}</code>" in told for claim in ("iss", "aud", "exp", "iat", "jti", "kid", "typ", "jku", "tenant"))
    assert "at most 1234 s after" in told
    assert "differ by 56 s" in told
    assert f"<code>{APP}</code> or <code>https://proxy.example.org/imaging</code>" in told
    assert all(f"<dt>{status}</dt>" in told for status in (400, 401, 404, 405, 412, 413, 415))


def test_r40_a_site_without_clients_tells_what_a_new_one_gets() -> None:
    assert accepted_algorithms(()) == ("ES384", "RS384")


def test_r40_the_scopes_by_which_everything_could_be_fetched(cds: CdsActor) -> None:
    told = section(page(cds), "register")

    for service in SERVICES.values():
        scopes = f"<dt><code>{service.service_id}</code></dt><dd><code>{' '.join(scopes_of(service))}</code>"
        assert scopes in told
        grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "subject": "x"}
        body = a_hook({}, fhirAuthorization=grant | {"scope": " ".join(scopes_of(service))})
        asked = parse_request(body, hook="patient-view")
        assert all(coverage(asked, query) is Coverage.WHOLE for query in service.queries)


def test_r40_the_example_is_what_the_service_answers(cds: CdsActor) -> None:
    shown = page(cds)

    (card,) = cds.cards(dict(EXAMPLE_REQUEST))

    label = {"label": card["source"]["label"]}
    assert {name: card[name] for name in EXAMPLE_CARD if name != "uuid"} | {
        "source": label,
        "uuid": EXAMPLE_CARD["uuid"],
    } == dict(EXAMPLE_CARD)
    for example in (EXAMPLE_REQUEST, EXAMPLE_FEEDBACK, {"cards": [EXAMPLE_CARD]}):
        assert json.dumps(example, indent=2, ensure_ascii=False) in section(shown, "example")
    assert cds.post("/cds-services/imaging-findings/feedback", dict(EXAMPLE_FEEDBACK)).status_code == 200
    assert all(f"<code>{reason['code']}</code></dt><dd>{reason['display']}" in shown for reason in override_reasons())


def test_r40_discovery_names_the_page(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}/cds-services")
    listed = cds.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"}).get_json()["services"]

    assert all(one["usageRequirements"].endswith(f": {APP}/cds-documentation") for one in listed)
