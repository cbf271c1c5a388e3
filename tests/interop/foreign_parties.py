"""Who meets the demo from outside: a browser kept by hand, a public CDS client, a foreign EHR."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from ehr_sandbox.patients import build_demo
from ehr_sandbox.services import make_services
from imaging_cds.cli_viewer import DEFAULT_VIEWER_DIR
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.sandbox_servers import ehr_settings
from tests.conftest import CHECKOUT, free_port_number
from tests.interop.outsiders import cli, curl
from tests.synced_studies import synced_demo


class HandBrowser:
    """A browser by hand: ``Secure`` cookies of http://localhost are kept as Chromium keeps them and ``requests`` does not."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._cookies: dict[str, dict[str, str]] = {}

    def opens(self, url: str) -> requests.Response:
        """Follows redirects to the last page."""
        for _ in range(12):
            response = self.request("GET", url)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            url = urljoin(url, response.headers["Location"])
        raise AssertionError(f"redirects without end: {self.addresses}")

    def request(self, method: str, url: str, **more: Any) -> requests.Response:
        """One request with the cookies of that host."""
        self.addresses.append(url)
        host = urlsplit(url).hostname or ""
        cookies = self._cookies.setdefault(host, {})
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        response = curl(method, url, headers={**sent, **more.pop("headers", {})}, **more)
        for header in response.raw.headers.getlist("Set-Cookie"):
            # The standard library learns Partitioned in Python 3.14 only.
            for name, morsel in SimpleCookie(re.sub(r";\s*Partitioned", "", header, flags=re.IGNORECASE)).items():
                cookies[name] = morsel.value
        return response

    def posts_from_own_page(self, url: str) -> requests.Response:
        """A POST by a script of the page's own origin."""
        parts = urlsplit(url)
        return self.request(
            "POST", url, headers={"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}, json={}
        )


@dataclass(slots=True)
class HookPage:
    """A CDS client that is a page on a public https origin, as the public CDS Hooks sandbox is (cds-hooks.md §8)."""

    issuer: str = "https://sandbox.cds-hooks.org"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    kid: str = "44823f3d-0b01-4a6c-a80e-b9d3e8a7226f"
    jku: str = "https://sandbox.cds-hooks.org/.well-known/jwks.json"

    def public_key(self, **more: str) -> dict[str, Any]:
        """The bare public JWK, as it is published."""
        jwk = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {name: jwk[name] for name in ("kty", "crv", "x", "y")} | {"alg": "ES384"} | more

    def preflight(self, url: str, method: str, headers: str) -> requests.Response:
        """What the browser asks before the page's own request, on a local network (Private Network Access)."""
        asked = {
            "Origin": self.issuer,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
            "Access-Control-Request-Private-Network": "true",
        }
        return curl("OPTIONS", url, headers=asked)

    def get(self, url: str) -> requests.Response:
        return curl("GET", url, self.proof(url), headers={"Origin": self.issuer})

    def post(self, url: str, body: Any) -> requests.Response:
        return curl("POST", url, self.proof(url), headers={"Origin": self.issuer}, json=body)

    def proof(self, url: str, **changes: Any) -> str:
        """Its JWT for exactly this URL."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": url, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **changes}
        return jwt.encode(claims, self.key, algorithm="ES384", headers={"kid": self.kid, "jku": self.jku})

    def prefetched(self, fhir: str, templates: Mapping[str, str], patient: str) -> dict[str, Any]:
        """Fills templates without a token, reads by GET and searches by form POST; what fails is left out."""
        filled = {}
        for key, template in templates.items():
            path, _, query = template.replace("{{context.patientId}}", patient).partition("?")
            headers = {"Origin": self.issuer, "Accept": "application/json+fhir"}
            if query:
                pairs = [pair.partition("=") for pair in query.split("&")]
                form = "&".join(f"{name}={quote(value)}" for name, _, value in pairs)
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                answer = curl("POST", f"{fhir}/{path}/_search", headers=headers, data=form)
            else:
                answer = curl("GET", f"{fhir}/{path}", headers=headers)
            if answer.ok:
                filled[key] = answer.json()
        return filled

    def hook(self, fhir: str, patient: str, prefetch: Mapping[str, Any]) -> dict[str, Any]:
        """Its request body: no encounter and no fhirAuthorization."""
        return {
            "hook": "patient-view",
            "hookInstance": str(uuid.uuid4()),
            "fhirServer": fhir,
            "context": {"patientId": patient, "userId": "Practitioner/COREPRACTITIONER1"},
            "prefetch": prefetch,
        }


@dataclass(slots=True)
class ForeignEhr:
    """A strict EHR that is not the demo's: it launches the demo's app, which somebody registered there."""

    url: str
    directory: Path
    app_port: int

    @property
    def fhir(self) -> str:
        return f"{self.url}/fhir"

    def token(self, *arguments: str) -> str:
        """A token of its own authorization server."""
        ports = ("--port", str(self.app_port), "--ehr-port", self.url.rpartition(":")[2])
        return cli("token", "--directory", str(self.directory), *ports, *arguments)[0].strip()

    def launch(self, patient: str, app_url: str) -> str:
        """The address at which it opens the app, by the launch registration that hook clients use."""
        body = {"launchUrl": f"{app_url}/launch", "parameters": {"patient": patient}}
        registered = curl("POST", f"{self.fhir}/_services/smart/Launch", self.token("--patient", patient), json=body)
        assert registered.status_code == 200, registered.text
        return f"{app_url}/launch?iss={quote(self.fhir, safe='')}&launch={registered.json()['launch_id']}"


@contextmanager
def a_foreign_ehr(directory: Path, app_port: int, *more: str, images: Path | None = None) -> Iterator[ForeignEhr]:
    """A sandbox EHR as a process of its own, at which the app of ``app_port`` is registered.

    With ``images`` it holds the demo's records, whose Endpoints name the gateway path of the demo's own sandbox; without, none.
    """
    options = DemoOptions(directory=directory, viewer_dir=DEFAULT_VIEWER_DIR, port=app_port, ehr_port=free_port_number())
    if images is not None:
        _fill(options, images)
    ehr = ForeignEhr(url=options.ehr_url, directory=directory, app_port=app_port)
    ports = ("--port", str(app_port), "--ehr-port", str(options.ehr_port))
    command = [sys.executable, "-m", "imaging_cds", "sandbox-ehr", "--directory", str(directory), *ports, *more]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_up(ehr)
        yield ehr
    finally:
        process.terminate()
        process.wait(30)


def _fill(options: DemoOptions, images: Path) -> None:
    charts = build_demo(images, demo_day=datetime.now(UTC).date(), fhir_base=f"{options.ehr_url}/fhir")
    store = make_services(ehr_settings(options)).store
    for resource in synced_demo(charts, images, options.gateway_root).resources:
        store.put(resource)


def _wait_until_up(ehr: ForeignEhr) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if curl("GET", f"{ehr.fhir}/metadata").ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the foreign EHR did not come up")
