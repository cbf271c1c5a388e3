"""Signing in as the imaging server's own client where the site names the token endpoint (F11; SMART Backend Services)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Response, jsonify

from fhir_imaging.client_assertions import assertion_algorithm
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.backend_client import BackendServices
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import AssertionAlgorithm, EhrSettings
from tests.conftest import free_port_number, serving
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_stubs import StubEhr

DISCOVERY = "/fhir/.well-known/smart-configuration"


class Site:
    """One EHR whose SMART configuration is ``said``, and our own client at it."""

    def __init__(self, stub: StubEhr, session: OutboundSession, keys: ClientKeys) -> None:
        def sign(ehr: EhrSettings, metadata: SmartMetadata | None, token_url: str) -> str:
            algorithm = assertion_algorithm(ehr, metadata, "ES384")
            self.algorithms.append(algorithm)
            return keys.assertion(algorithm, client_id=CLIENT, audience=token_url, now=int(time.time()))

        self.stub = stub
        self.authority = BackendAuthority(stub, lambda: keys.jwks(int(time.time())))
        self.algorithms: list[str] = []
        self.backend = BackendServices(session, SmartMetadataClient(session), sign)

    def says(self, answer: Callable[[], Response]) -> None:
        self.stub.answers[DISCOVERY] = answer
        self.stub.answers["/fhir/metadata"] = lambda: Response("{}", 404)

    def token(self, **settings: object) -> str | None:
        return self.backend.token_of(self.stub.settings(backend_client_id=CLIENT, **settings))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    stub = StubEhr("north")
    with serving(stub.app(), free_port_number()) as stub.base, OutboundSession([stub.base], retries=0) as session:
        yield Site(stub, session, ClientKeys.of(tmp_path / "state"))


@pytest.mark.parametrize("status", [404, 503])
def test_a_named_endpoint_needs_no_smart_configuration(site: Site, status: int) -> None:
    site.says(lambda: Response("", status))

    assert site.token(backend_token_url=site.authority.url) == site.authority.issued[0]
    assert site.algorithms == ["ES384"]


def test_a_configuration_for_backend_services_alone_is_none_to_sign_in_by(site: Site) -> None:
    """It names no authorization endpoint: the site has to name the endpoint, and then it is enough."""
    site.says(lambda: jsonify({"token_endpoint": site.authority.url, "capabilities": ["client-confidential-asymmetric"]}))

    with pytest.raises(UpstreamError):
        site.token()
    assert site.authority.forms == []


def test_a_named_endpoint_is_signed_for_as_the_ehr_lists(site: Site) -> None:
    endpoints = {"authorization_endpoint": "https://ehr.example/a", "token_endpoint": "https://ehr.example/t"}
    listed = {"token_endpoint_auth_signing_alg_values_supported": ["RS384"]}
    site.says(lambda: jsonify(endpoints | listed))

    assert site.token(backend_token_url=site.authority.url) == site.authority.issued[0]
    assert site.algorithms == ["RS384"]


def test_nothing_is_discovered_where_the_site_says_it_all(site: Site) -> None:
    site.token(backend_token_url=site.authority.url, assertion_algorithm=AssertionAlgorithm.RS384)

    assert site.algorithms == ["RS384"]
    assert site.stub.paths() == ["/auth/token"]
