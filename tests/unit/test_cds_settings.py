"""What a site may say about its CDS service, and what cannot work."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.client_keys import JwksFile
from cds_service.definitions import registry
from cds_service.runtime import clock_in
from cds_service.services.imaging_findings import SERVICE
from cds_service.settings import CdsSettings, TrustedCdsClient
from fhir_imaging.errors import ConfigurationError
from tests.cds_actors import SigningEhr

BASE = "https://imaging.example.org"


def a_client(**members: Any) -> TrustedCdsClient:
    return TrustedCdsClient(**{"iss": "https://ehr.example.org", "jwks_url": "https://ehr.example.org/jwks"} | members)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: a_client(iss=""), "needs its iss"),
        (lambda: a_client(jwks_url=None), "jwks_url, jwks_file, jku_prefixes"),
        (lambda: a_client(algorithms=("none",)), "algorithms"),
        (lambda: a_client(algorithms=()), "algorithms"),
        (lambda: a_client(fhir_servers=("ehr",)), "not an http"),
        (lambda: a_client(cors_origins=("*.example.org",)), "not an http"),
        (lambda: CdsSettings(public_base_url="imaging"), "not an http"),
        (lambda: CdsSettings(public_base_url=f"{BASE}/"), "must not end with a slash"),
        (lambda: CdsSettings(public_base_url=BASE, trusted_clients=(a_client(), a_client())), "same iss"),
        (lambda: CdsSettings(public_base_url=BASE, soft_budget_ms=5000), "soft_budget_ms"),
        (lambda: CdsSettings(public_base_url=BASE, max_cards=0), "limits"),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        make()


def test_the_app_is_where_the_service_is_unless_said_otherwise() -> None:
    assert CdsSettings(public_base_url=BASE).app_url == BASE
    assert CdsSettings(public_base_url=BASE, app_base_url="https://app.example.org").app_url == "https://app.example.org"


def test_two_services_with_one_id_fail_at_start() -> None:
    with pytest.raises(ValueError, match="two CDS services"):
        registry([SERVICE, SERVICE])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'])
def test_a_key_file_without_a_public_key_is_a_configuration_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(content)

    with pytest.raises(ConfigurationError):
        JwksFile(path)


def test_a_key_file_that_is_missing_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        JwksFile(tmp_path / "missing.json")


def test_a_key_file_that_vanishes_keeps_its_last_keys(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(SigningEhr().jwks()))
    keys = JwksFile(path)
    path.unlink()

    assert len(keys.candidates("key-1", "ES384")) == 1


def test_n1_today_is_the_day_of_the_sites_zone() -> None:
    late = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
    zone = CdsSettings(public_base_url=BASE, time_zone="Asia/Tokyo").zone

    assert clock_in(zone, lambda: late)().date() == date(2026, 11, 21)
    assert clock_in(CdsSettings(public_base_url=BASE).zone, lambda: late)().date() == date(2026, 11, 20)


@pytest.mark.parametrize("name", ["Tokyo", "", "/etc/passwd", "../UTC", "Europe"])
def test_a_time_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no IANA time zone"):
        CdsSettings(public_base_url=BASE, time_zone=name)
