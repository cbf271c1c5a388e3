"""A sandbox EHR on a real socket with a small record, and a SMART client that talks to it as an app would."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.oauth_keys import SigningKey, signing_key
from ehr_sandbox.services import SandboxServices
from ehr_sandbox.settings import RegisteredClient, SandboxSettings, demo_settings
from tests.conftest import free_port_number, serving

APP = "http://localhost:8000"
REDIRECT_URI = f"{APP}/callback"
USER = "Practitioner/demo-gp"
EHR_SCOPE = "launch openid fhirUser patient/*.rs"
MRN = "https://imaging-cds.example/demo/mrn"


def a_record() -> list[dict[str, Any]]:
    """Two patients with a study each, the Endpoint both share, and some of what hangs on them."""
    return [
        *_patient("demo-a", "DEMO-1001", "Synthetic", "Alma", "female", "1964-03-02"),
        *_patient("demo-b", "DEMO-1002", "Synthetic", "Bruno", "male", "1981-07-15"),
        {"resourceType": "Practitioner", "id": "demo-gp", "name": [{"family": "Practice", "given": ["Greta"]}]},
        {
            "resourceType": "Endpoint",
            "id": "demo-wado",
            "status": "active",
            "connectionType": {
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                "code": "dicom-wado-rs",
            },
            "payloadType": [{"text": "DICOM"}],
            "address": f"{APP}/imaging/sandbox/dicom-web/demo",
        },
        an_observation("obs-lab", "demo-a", category="laboratory", when="2026-03-01"),
        an_observation("obs-imaging", "demo-a", category="imaging", when="2026-05-10T08:30:00Z"),
        an_observation("obs-b", "demo-b", category="laboratory", when="2026-03-01"),
    ]


def _patient(patient_id: str, mrn: str, family: str, given: str, gender: str, born: str) -> list[dict[str, Any]]:
    patient = {
        "resourceType": "Patient",
        "id": patient_id,
        "identifier": [{"system": MRN, "value": mrn}],
        "name": [{"family": family, "given": [given]}],
        "gender": gender,
        "birthDate": born,
    }
    study = {
        "resourceType": "ImagingStudy",
        "id": f"{patient_id}-ct",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:2.25.{len(given)}"}],
        "status": "available",
        "subject": {"reference": f"Patient/{patient_id}"},
        "started": "2026-05-10T08:00:00Z",
        "endpoint": [{"reference": "Endpoint/demo-wado"}],
        "series": [
            {
                "uid": f"2.25.{len(given)}1",
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"},
            }
        ],
    }
    return [patient, study]


def an_observation(observation_id: str, patient_id: str, *, category: str, when: str) -> dict[str, Any]:
    """A final Observation of one category."""
    return {
        "resourceType": "Observation",
        "id": observation_id,
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1362105002"}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": when,
    }


@dataclass(frozen=True)
class Pkce:
    """A verifier and its S256 challenge."""

    verifier: str

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True)
class ClientKeyPair:
    """The key of a `private_key_jwt` client."""

    signing: SigningKey

    def assertion(self, client_id: str, token_url: str, **changes: Any) -> str:
        """A fresh assertion; `changes` replace or (None) remove claims."""
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": token_url,
            "exp": now + 240,
            "jti": str(uuid.uuid4()),
            **changes,
        }
        return self.signing.sign({name: value for name, value in claims.items() if value is not None})


def rs384_key() -> ClientKeyPair:
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private_key.public_key().public_numbers()
    jwk = {"e": _b64(numbers.e, 3), "kty": "RSA", "n": _b64(numbers.n, 256)}
    return ClientKeyPair(signing_key(private_key, "RS384", jwk))


def es384_key() -> ClientKeyPair:
    private_key = ec.generate_private_key(ec.SECP384R1())
    numbers = private_key.public_key().public_numbers()
    jwk = {"crv": "P-384", "kty": "EC", "x": _b64(numbers.x, 48), "y": _b64(numbers.y, 48)}
    return ClientKeyPair(signing_key(private_key, "ES384", jwk))


def _b64(number: int, length: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(length, "big")).rstrip(b"=").decode()


class SandboxClient:
    """A running sandbox and what an app, a browser and a resource server do with it."""

    def __init__(self, services: SandboxServices) -> None:
        self.services = services
        self.settings: SandboxSettings = services.settings
        self.base = self.settings.base_url
        self.fhir_base = self.settings.fhir_base
        self.token_url = f"{self.settings.issuer}/token"
        self.http = requests.Session()
        self.http.trust_env = False

    # FHIR

    def fhir(self, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if "json" in more:
            headers.setdefault("Content-Type", "application/fhir+json")
        return self.http.request(method, f"{self.fhir_base}/{path}", headers=headers, timeout=10, allow_redirects=False, **more)

    def a_token(self, scope: str, patient: str | None = None, **context: Any) -> str:
        launch = LaunchContext(patient=patient, user=context.pop("user", USER), **context)
        return self.services.authorization.issue_token("imaging-cds", scope, launch).access_token

    # launch

    def a_launch(self, client_id: str = "imaging-cds", **context: Any) -> str:
        context = {"patient": "demo-a", "user": USER, **context}
        return self.services.authorization.issue_launch(client_id, LaunchContext(**context))

    def request(self, **changes: Any) -> dict[str, str]:
        """A right standalone authorization request; None removes a parameter."""
        parameters = {
            "response_type": "code",
            "client_id": "imaging-cds",
            "redirect_uri": REDIRECT_URI,
            "scope": "launch/patient openid fhirUser patient/*.rs",
            "state": secrets.token_urlsafe(16),
            "aud": self.fhir_base,
            "code_challenge": Pkce("v" * 43).challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    def authorize(self, **changes: Any) -> requests.Response:
        return self.http.get(f"{self.base}/auth/authorize", params=self.request(**changes), timeout=10, allow_redirects=False)

    def launched(self, scope: str = EHR_SCOPE, client_id: str = "imaging-cds", **context: Any) -> dict[str, str]:
        """The parameters of the redirect that answers an EHR launch."""
        handle = self.a_launch(client_id, **context)
        return redirected(self.authorize(launch=handle, scope=scope, client_id=client_id))

    def answer(self, page: requests.Response, action: str, **fields: str) -> requests.Response:
        """Press a button on one of the pages."""
        match = re.search(r'name="pending" value="([^"]+)"', page.text)
        assert match is not None
        form = {"pending": html.unescape(match[1]), "action": action, **fields}
        return self.http.post(f"{self.base}/auth/continue", data=form, timeout=10, allow_redirects=False)

    # token endpoint

    def post_token(self, form: dict[str, str | None], **more: Any) -> requests.Response:
        sent = {name: value for name, value in form.items() if value is not None}
        return self.http.post(self.token_url, data=sent, timeout=10, **more)

    def exchange(self, code: str, **changes: Any) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": "v" * 43,
            "client_id": "imaging-cds",
            **changes,
        }
        auth = form.pop("auth", None)
        return self.post_token(form, auth=auth)

    def refresh(self, refresh_token: str, **changes: Any) -> requests.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "imaging-cds", **changes}
        return self.post_token(form)

    def tokens(self, scope: str = EHR_SCOPE, **context: Any) -> dict[str, Any]:
        """The token response of a whole EHR launch."""
        answer = self.exchange(self.launched(scope, **context)["code"])
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def error_of(answer: requests.Response) -> str:
    """The OAuth error code of a refusal by the token endpoint."""
    assert answer.status_code in (400, 401), answer.text
    return str(answer.json()["error"])


def redirected(response: requests.Response) -> dict[str, str]:
    """The parameters of a redirect to the registered address, which must be one."""
    assert response.status_code == 303, response.text
    location = response.headers["Location"]
    assert location.startswith(f"{REDIRECT_URI}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@contextmanager
def a_sandbox(
    state_dir: Path, *, clients: tuple[RegisteredClient, ...] = (), seed: bool = True, **changes: Any
) -> Iterator[SandboxClient]:
    """A running sandbox; `clients` come beside those of the demo, `changes` replace settings."""
    port = free_port_number()
    settings = demo_settings(base_url=f"http://127.0.0.1:{port}", app_url=APP, state_dir=state_dir)
    own = {client.client_id for client in clients}
    others = tuple(client for client in settings.clients if client.client_id not in own)
    settings = replace(settings, clients=(*others, *clients), **changes)
    app = create_ehr(settings)
    services = app.extensions["ehr_sandbox"]
    if seed:
        for resource in a_record():
            services.store.put(resource)
    with serving(app, port):
        client = SandboxClient(services)
        try:
            yield client
        finally:
            client.http.close()


STORES = ["in SQLite", "on a server behind"]


@contextmanager
def a_sandbox_storing(where: str, state_dir: Path) -> Iterator[SandboxClient]:
    """A sandbox that keeps its records in one of `STORES`; the server behind is another sandbox in open mode."""
    if where == STORES[0]:
        with a_sandbox(state_dir / "front") as front:
            yield front
        return
    with (
        a_sandbox(state_dir / "behind", seed=False, open_fhir=True) as behind,
        a_sandbox(state_dir / "front", upstream_fhir=behind.fhir_base) as front,
    ):
        yield front
