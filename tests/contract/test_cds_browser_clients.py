"""CDS clients that are pages: CORS on every answer, preflight before authentication, private network access (R39)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_imaging.store.engine import Store
from tests.cds_actors import EHR, CdsActor, a_cds_service, a_hook, a_store, whole_prefetch

SERVICE = "/cds-services/imaging-findings"
PATHS = ["/cds-services", SERVICE, f"{SERVICE}/feedback"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def preflight(cds: CdsActor, path: str, origin: str) -> dict[str, str]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    response = cds.client.options(path, headers=headers)
    assert response.status_code == 200
    return dict(response.headers)


@pytest.mark.parametrize("path", PATHS)
def test_preflight_is_answered_before_authentication(cds: CdsActor, path: str) -> None:
    """R39: a preflight carries no JWT."""
    headers = preflight(cds, path, EHR)

    assert headers["Access-Control-Allow-Origin"] == EHR
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type"} <= {
        name.strip().lower() for name in headers["Access-Control-Allow-Headers"].split(",")
    }
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", ["https://stranger.example.org", "null", f"{EHR}.evil.example", "http://ehr.example.org"])
def test_other_origins_are_told_nothing(cds: CdsActor, origin: str) -> None:
    headers = preflight(cds, SERVICE, origin)

    assert not [name for name in headers if name.startswith("Access-Control-")]


def test_r39_any_origin_by_setting_and_never_with_credentials(store: Store, tmp_path: Path) -> None:
    cds = a_cds_service(store, tmp_path, trust={"cors_origins": ("*",)})

    headers = preflight(cds, SERVICE, "https://stranger.example.org")

    assert headers["Access-Control-Allow-Origin"] == "https://stranger.example.org"
    assert "Access-Control-Allow-Credentials" not in headers
    assert cds.client.post(SERVICE, json={}, headers={"Origin": "https://stranger.example.org"}).status_code == 401


def test_every_error_can_be_read_by_the_page(cds: CdsActor) -> None:
    """Without these headers a browser client sees no error at all, only silence."""
    origin = {"Origin": EHR}
    answers = {
        401: cds.client.post(SERVICE, json={}, headers=origin),
        404: cds.post("/cds-services/other", a_hook(), headers=origin),
        405: cds.client.put(SERVICE, headers=origin),
        400: cds.post(SERVICE, b"{", headers=origin),
        412: cds.post(SERVICE, a_hook({}), headers=origin),
        200: cds.post(SERVICE, a_hook(whole_prefetch()), headers=origin),
    }

    for status, response in answers.items():
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == EHR
        assert "Origin" in response.headers["Vary"]


def test_an_address_below_the_services_that_does_not_exist_is_told_too(cds: CdsActor) -> None:
    response = cds.client.get("/cds-services/a/b/c", headers={"Origin": EHR})

    assert response.status_code == 404
    assert response.headers["Access-Control-Allow-Origin"] == EHR


def test_answers_are_not_cached(cds: CdsActor) -> None:
    assert cds.call(a_hook(whole_prefetch())).headers["Cache-Control"] == "no-store"
