"""Client JWTs (R35-R38): every way in which one may be wrong is one bare 401, and each right one counts once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask, jsonify

from cds_service.settings import CdsSettings, ClientAuthentication, TrustedCdsClient
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    APP,
    CdsActor,
    SigningEhr,
    a_cds_service,
    a_hook,
    a_store,
    in_minutes,
    whole_prefetch,
)

SERVICE = "/cds-services/imaging-findings"
URL = f"{APP}{SERVICE}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def status_of(cds: CdsActor, token: str) -> int:
    """The status, after checking that a 401 is bare."""
    response = cds.post(SERVICE, a_hook(whole_prefetch()), token=token)
    if response.status_code == 401:
        assert response.get_data() == b""
        assert response.headers["WWW-Authenticate"] == "Bearer"
    return response.status_code


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, signature])


def test_a_right_jwt_is_accepted(cds: CdsActor) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL)) == 200


def test_rs384_is_accepted(cds: CdsActor) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL, header={"alg": "RS384", "kid": "rsa-1"})) == 200


def test_rs256_only_by_setting(store: Store, tmp_path: Path, cds: CdsActor) -> None:
    header = {"alg": "RS256", "kid": "rsa-1"}
    willing = a_cds_service(store, tmp_path, trust={"algorithms": ("RS256",)})

    assert status_of(cds, cds.ehr.jwt_for(URL, header=header)) == 401
    assert status_of(willing, willing.ehr.jwt_for(URL, header=header)) == 200
    assert status_of(willing, willing.ehr.jwt_for(URL)) == 401


def test_aud_may_be_a_list(cds: CdsActor) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL, aud=["https://other.example.org", URL])) == 200


def test_aud_of_a_proxys_address_by_setting(store: Store, tmp_path: Path, cds: CdsActor) -> None:
    proxied = f"https://proxy.example.org/imaging{SERVICE}"
    behind = a_cds_service(store, tmp_path, accepted_audience_bases=("https://proxy.example.org/imaging",))

    assert status_of(cds, cds.ehr.jwt_for(proxied)) == 401
    assert status_of(behind, behind.ehr.jwt_for(proxied)) == 200


def test_epics_sub_and_early_nbf_are_accepted(cds: CdsActor) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL, sub="client", nbf=in_minutes(-5))) == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": f"{APP}/cds-services"},
        {"aud": f"{URL}/"},
        {"aud": f"{URL}?x=1"},
        {"aud": None},
        {"iss": "https://stranger.example.org"},
        {"iss": None},
        {"exp": in_minutes(-2), "iat": in_minutes(-7)},
        {"exp": None},
        {"iat": None},
        {"iat": in_minutes(5), "exp": in_minutes(9)},
        {"nbf": in_minutes(5)},
        {"exp": in_minutes(24 * 60)},
        {"exp": "soon"},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 300},
    ],
    ids=lambda claims: next(f"{name}={value}"[:40] for name, value in claims.items()),
)
def test_r35_r38_wrong_claims_are_refused(cds: CdsActor, claims: dict[str, Any]) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL, **claims)) == 401


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "another"},
        {"kid": None},
        {"typ": "at+jwt"},
        {"typ": None},
        {"jku": "https://evil.example.org/jwks.json", "kid": "another"},
        {"crit": ["b64"]},
    ],
    ids=["unknown kid", "no kid", "another typ", "no typ", "foreign jku", "critical header"],
)
def test_r35_wrong_headers_are_refused(cds: CdsActor, header: dict[str, Any]) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL, header=header)) == 401


def test_r36_alg_none_and_symmetric_algorithms_are_refused(cds: CdsActor) -> None:
    claims = cds.ehr.claims(URL)
    symmetric = jwt.encode(claims, b"k" * 48, algorithm="HS384", headers={"kid": cds.ehr.kid, "typ": "JWT"})

    assert status_of(cds, unsigned({"alg": "none", "kid": cds.ehr.kid, "typ": "JWT"}, claims)) == 401
    assert status_of(cds, unsigned({"alg": "ES384", "kid": cds.ehr.kid, "typ": "JWT"}, claims)) == 401
    assert status_of(cds, symmetric) == 401


def test_r36_symmetric_algorithms_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="algorithms"):
        TrustedCdsClient(iss="x", jwks_url="https://x.example.org/jwks", algorithms=("HS256",))


def test_a_signature_by_another_key_is_refused(cds: CdsActor) -> None:
    assert status_of(cds, SigningEhr().jwt_for(URL)) == 401


def test_a_kid_of_another_key_type_is_refused(cds: CdsActor) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL, header={"kid": "rsa-1"})) == 401


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic abc", "Bearer a.b", "Bearer a.b.c", "Bearer " + "x" * 9000]
)
def test_what_is_no_jwt_is_refused(cds: CdsActor, authorization: str) -> None:
    response = cds.client.post(SERVICE, json=a_hook(whole_prefetch()), headers={"Authorization": authorization})

    assert response.status_code == 401
    assert response.get_data() == b""


def test_r38_a_jwt_counts_once_in_all_workers(store: Store, tmp_path: Path) -> None:
    first = a_cds_service(store, tmp_path)
    token = first.ehr.jwt_for(URL)
    assert status_of(first, token) == 200

    other_worker = a_cds_service(store, tmp_path)
    other_worker.ehr.ec_key, other_worker.ehr.rsa_key = first.ehr.ec_key, first.ehr.rsa_key
    (tmp_path / "ehr.jwks.json").write_text(json.dumps(first.ehr.jwks()))

    assert status_of(first, token) == 401
    assert status_of(other_worker, token) == 401


def test_a_forged_jwt_does_not_use_up_a_genuine_id(cds: CdsActor) -> None:
    forged = SigningEhr().jwt_for(URL, jti="shared")

    assert status_of(cds, forged) == 401
    assert status_of(cds, cds.ehr.jwt_for(URL, jti="shared")) == 200


def test_tenants_by_setting(store: Store, tmp_path: Path) -> None:
    cds = a_cds_service(store, tmp_path, trust={"tenants": ("north",)})

    assert status_of(cds, cds.ehr.jwt_for(URL)) == 401
    assert status_of(cds, cds.ehr.jwt_for(URL, tenant="south")) == 401
    assert status_of(cds, cds.ehr.jwt_for(URL, tenant="north")) == 200


def test_r35_discovery_and_feedback_are_authenticated_alike(cds: CdsActor) -> None:
    assert cds.client.get("/cds-services").status_code == 401
    assert cds.client.post(f"{SERVICE}/feedback", json={"feedback": []}).status_code == 401
    assert cds.post(f"{SERVICE}/feedback", {"feedback": []}, token=cds.ehr.jwt_for(URL)).status_code == 401


def test_authentication_comes_before_the_service_is_looked_up(cds: CdsActor) -> None:
    assert cds.client.post("/cds-services/unknown", json={}).status_code == 401


def test_without_a_trusted_client_nobody_may_call(store: Store, tmp_path: Path) -> None:
    cds = a_cds_service(store, tmp_path, trusted_clients=())

    assert status_of(cds, cds.ehr.jwt_for(URL)) == 401


def test_authentication_off_only_by_saying_so(store: Store, tmp_path: Path) -> None:
    cds = a_cds_service(store, tmp_path, client_authentication=ClientAuthentication.OFF)

    assert CdsSettings(public_base_url=APP).client_authentication is ClientAuthentication.REQUIRED
    assert cds.client.post(SERVICE, json=a_hook(whole_prefetch())).status_code == 200


# --- where keys come from


@pytest.fixture
def key_server(serve: Callable[[Flask, int], str], free_port: int) -> tuple[str, dict[str, Any], list[str]]:
    """An address with JWKS documents by path, and the paths that were asked for."""
    documents: dict[str, Any] = {}
    asked: list[str] = []
    app = Flask("keys")

    @app.get("/<path:name>")
    def keys(name: str) -> Any:
        asked.append(name)
        return jsonify(documents[name]) if name in documents else ("", 404)

    return serve(app, free_port), documents, asked


def test_r37_keys_by_url_follow_a_rotation(
    store: Store, tmp_path: Path, key_server: tuple[str, dict[str, Any], list[str]]
) -> None:
    base, documents, asked = key_server
    cds = a_cds_service(store, tmp_path, trust={"jwks_file": None, "jwks_url": f"{base}/jwks.json"})
    documents["jwks.json"] = {"keys": []}
    assert status_of(cds, cds.ehr.jwt_for(URL)) == 401, "fails closed while the keys are missing"

    fresh = a_cds_service(store, tmp_path, trust={"jwks_file": None, "jwks_url": f"{base}/jwks.json"})
    documents["jwks.json"] = fresh.ehr.jwks()
    assert status_of(fresh, fresh.ehr.jwt_for(URL)) == 200
    assert status_of(fresh, fresh.ehr.jwt_for(URL)) == 200
    assert asked == ["jwks.json", "jwks.json"], "once per process, and an unknown kid does not hammer the key server"


def test_r37_jku_below_an_allowed_prefix(
    store: Store, tmp_path: Path, key_server: tuple[str, dict[str, Any], list[str]]
) -> None:
    base, documents, asked = key_server
    cds = a_cds_service(store, tmp_path, trust={"jwks_file": None, "jku_prefixes": (f"{base}/keys",)})
    documents["keys/one.json"] = documents["keysecret"] = cds.ehr.jwks()

    assert status_of(cds, cds.ehr.jwt_for(URL, header={"jku": f"{base}/keys/one.json"})) == 200
    for jku in (f"{base}/keysecret", f"{base}/keys/../keysecret", f"{base}/keys/%2e%2e/keysecret", f"{base}/keys/one.json?x"):
        assert status_of(cds, cds.ehr.jwt_for(URL, header={"jku": jku})) == 401
    assert status_of(cds, cds.ehr.jwt_for(URL)) == 401, "no jku and no other source of keys"
    assert asked == ["keys/one.json"], "an untrusted jku is never fetched"


def test_r37_a_foreign_jku_is_refused_although_its_key_signed(
    store: Store, tmp_path: Path, key_server: tuple[str, dict[str, Any], list[str]]
) -> None:
    base, documents, asked = key_server
    cds = a_cds_service(store, tmp_path, trust={"jwks_file": None, "jwks_url": "https://ehr.example.org/jwks.json"})
    documents["evil.json"] = cds.ehr.jwks()

    assert status_of(cds, cds.ehr.jwt_for(URL, header={"jku": f"{base}/evil.json"})) == 401
    assert asked == []


def test_a_pinned_key_without_a_name_serves_offline(store: Store, tmp_path: Path) -> None:
    """The public sandbox's published key is a bare JWK without kid; its jku is not fetched."""
    cds = a_cds_service(store, tmp_path)
    bare = {name: value for name, value in cds.ehr.jwks()["keys"][0].items() if name != "kid"}
    (tmp_path / "bare.json").write_text(json.dumps(bare))
    pinned = a_cds_service(store, tmp_path, trust={"jwks_file": tmp_path / "bare.json"})
    pinned.ehr.ec_key = cds.ehr.ec_key

    assert status_of(pinned, pinned.ehr.jwt_for(URL, header={"jku": "https://sandbox.example.org/jwks.json"})) == 200


def test_a_key_file_is_read_again_when_it_changes(cds: CdsActor, tmp_path: Path) -> None:
    assert status_of(cds, cds.ehr.jwt_for(URL)) == 200
    successor = SigningEhr(kid="key-2-with-a-longer-name")

    (tmp_path / "ehr.jwks.json").write_text(json.dumps(successor.jwks()))

    assert status_of(cds, cds.ehr.jwt_for(URL)) == 401
    assert status_of(cds, successor.jwt_for(URL)) == 200
