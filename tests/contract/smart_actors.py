"""Actors for tests of the SMART app: a scriptable EHR on a real socket, the app, and a clinician with a browser's cookies.

The EHR keeps the rules that a launch depends on (PKCE, single-use code, redirect URI, aud, client authentication) and
misbehaves exactly where a test says so, which the strict sandbox does only in part.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, Response, jsonify, redirect, request
from jwt.algorithms import RSAAlgorithm
from werkzeug.test import Client, TestResponse

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.settings import EhrSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.store.keys import private_directory, read_or_make
from smart_app.imaging_base import APP_LAUNCH_MODE
from smart_app.services import SmartAppServices
from smart_app.settings import SmartAppSettings
from smart_app.views import create_blueprint
from tests.conftest import free_port_number, serving
from tests.log_watch import is_secret

CHECKOUT = Path(__file__).parent.parent.parent
APP = "http://localhost:8000"
PATIENT = "demo-a"
STUDY_A = "2.25.1001"
STUDY_B = "2.25.2002"
GATEWAY = f"{APP}/imaging/sandbox/dicom-web/demo"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FOREIGN_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def imaging_study(uid: str = STUDY_A, *, patient: str = PATIENT, study_id: str = "study-a", **more: Any) -> dict[str, Any]:
    """A CT of one series, with the demo's Endpoint."""
    return {
        "resourceType": "ImagingStudy",
        "id": study_id,
        "status": "available",
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "started": "2026-11-14T09:30:00+07:00",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        "description": "CT chest",
        "numberOfSeries": 2,
        "numberOfInstances": 131,
        "endpoint": [{"reference": "Endpoint/demo-wado"}],
        "series": [{"uid": "2.25.1001.1", "modality": {"code": "CT"}, "bodySite": {"display": "Chest"}}],
        **more,
    }


def wado_endpoint(address: str = GATEWAY, endpoint_id: str = "demo-wado") -> dict[str, Any]:
    """A WADO-RS Endpoint."""
    system = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
    return {
        "resourceType": "Endpoint",
        "id": endpoint_id,
        "status": "active",
        "connectionType": {"system": system, "code": "dicom-wado-rs"},
        "payloadType": [{"text": "DICOM"}],
        "address": address,
    }


def patient_a() -> dict[str, Any]:
    """The demo's patient A."""
    mr = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    return {
        "resourceType": "Patient",
        "id": PATIENT,
        "name": [{"use": "official", "family": "Synthetic", "given": ["Alma"]}],
        "gender": "female",
        "birthDate": "1964-03-02",
        "identifier": [{"system": "https://imaging-cds.example/demo/mrn", "value": "DEMO-1001", "type": mr}],
    }


def report_on(study_id: str = "study-a") -> dict[str, Any]:
    """A final report with a conclusion."""
    return {
        "resourceType": "DiagnosticReport",
        "id": "report-a",
        "status": "final",
        "code": {"text": "CT chest report"},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "issued": "2026-11-14T11:00:00+07:00",
        "imagingStudy": [{"reference": f"ImagingStudy/{study_id}"}],
        "conclusion": "Part-solid nodule of 8 mm in the right upper lobe.",
    }


@dataclass
class FakeEhr:
    """An EHR whose answers a test may bend. ``token_requests`` and ``fhir_requests`` are what it was asked."""

    base_url: str = ""
    client_id: str = "imaging-cds"
    client_secret: str | None = None
    fhir: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    smart_configuration: dict[str, Any] = field(default_factory=dict)
    without_configuration: bool = False
    token_changes: dict[str, Any] = field(default_factory=dict)
    refresh_changes: dict[str, Any] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    """Members left out of token responses."""
    id_token_changes: dict[str, Any] = field(default_factory=dict)
    id_token_header: dict[str, Any] = field(default_factory=lambda: {"kid": "ehr-key"})
    id_token_key: rsa.RSAPrivateKey = KEY
    token_error: tuple[str, int] | None = None
    redirect_changes: dict[str, str] = field(default_factory=dict)
    fhir_answers: list[Response | None] = field(default_factory=list)
    """Answers given to the next FHIR searches instead of the data, in order; None = the data."""
    token_requests: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    token_headers: list[dict[str, str]] = field(default_factory=list)
    fhir_requests: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    live_refresh_tokens: set[str] = field(default_factory=set)
    refresh_delay_s: float = 0.0
    configuration_delay_s: float = 0.0
    revoke_delay_s: float = 0.0

    @property
    def fhir_base(self) -> str:
        """Base of the FHIR API, the ``iss`` of launches."""
        return f"{self.base_url}/fhir"

    def settings(self, **changes: Any) -> EhrSettings:
        """How the app knows this EHR."""
        return EhrSettings(**{"name": "sandbox", "fhir_base": self.fhir_base, "display_name": "Test EHR", **changes})

    def app(self) -> Flask:
        """The EHR as an application."""
        app = Flask("fake_ehr")
        app.add_url_rule("/fhir/.well-known/smart-configuration", view_func=self._configuration)
        app.add_url_rule("/fhir/metadata", view_func=lambda: ("", 404))
        app.add_url_rule("/auth/authorize", view_func=self._authorize, methods=["GET", "POST"])
        app.add_url_rule("/auth/token", view_func=self._token, methods=["POST"])
        app.add_url_rule("/auth/revoke", view_func=self._revoke, methods=["POST"])
        app.add_url_rule("/auth/jwks", view_func=self._jwks)
        app.add_url_rule("/fhir/<resource_type>", view_func=self._search)
        app.add_url_rule("/fhir/<resource_type>/<resource_id>", view_func=self._read)
        return app

    def _configuration(self) -> Any:
        time.sleep(self.configuration_delay_s)
        if self.without_configuration:
            return "", 404
        return jsonify(
            {
                "issuer": f"{self.base_url}/auth",
                "jwks_uri": f"{self.base_url}/auth/jwks",
                "authorization_endpoint": f"{self.base_url}/auth/authorize",
                "token_endpoint": f"{self.base_url}/auth/token",
                "revocation_endpoint": f"{self.base_url}/auth/revoke",
                "capabilities": ["launch-ehr", "smart-imaging-access", APP_LAUNCH_MODE],
                **self.smart_configuration,
            }
        )

    def _authorize(self) -> Any:
        asked = {name: value for name, value in request.values.items()}
        self.authorizations.append(asked)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == self.client_id
        assert asked["redirect_uri"] == f"{APP}/callback"
        assert asked["aud"] == self.fhir_base
        assert asked["code_challenge_method"] == "S256"
        code = is_secret(secrets.token_urlsafe(16))
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], **self.redirect_changes}
        answer = {name: value for name, value in answer.items() if value}
        return redirect(f"{asked['redirect_uri']}?{urlencode(answer)}")

    def _token(self) -> Any:
        form = dict(request.form.items())
        self.token_requests.append(form)
        self.token_headers.append(dict(request.headers.items()))
        if self.token_error is not None:
            return jsonify(error=self.token_error[0], error_description="<b>said</b>"), self.token_error[1]
        if form["grant_type"] == "refresh_token":
            time.sleep(self.refresh_delay_s)
            if form["refresh_token"] not in self.live_refresh_tokens:
                return jsonify(error="invalid_grant"), 400
            self.live_refresh_tokens.discard(form["refresh_token"])
            return jsonify(self._grant({}, {**self.token_changes, **self.refresh_changes}))
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return jsonify(error="invalid_grant"), 400
        return jsonify(self._grant(asked, self.token_changes))

    def _grant(self, asked: dict[str, str], changes: dict[str, Any]) -> dict[str, Any]:
        refresh_token = is_secret(secrets.token_urlsafe(16))
        grant = {
            "access_token": is_secret(f"access-{secrets.token_urlsafe(16)}"),
            "token_type": "bearer",
            "expires_in": 300,
            "scope": asked.get("scope", "launch openid fhirUser patient/*.rs"),
            "patient": PATIENT,
            "refresh_token": refresh_token,
            **({"id_token": self._id_token(asked)} if asked else {}),
            **changes,
        }
        if "refresh_token" not in self.dropped:
            self.live_refresh_tokens.add(grant.get("refresh_token") or "")
        return {name: value for name, value in grant.items() if name not in self.dropped}

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": f"{self.base_url}/auth",
            "aud": self.client_id,
            "sub": "gp",
            "iat": now,
            "exp": now + 300,
            "nonce": asked.get("nonce"),
            "fhirUser": f"{self.fhir_base}/Practitioner/demo-gp",
            **self.id_token_changes,
        }
        return jwt.encode(claims, self.id_token_key, algorithm="RS256", headers=self.id_token_header)

    def _revoke(self) -> Any:
        time.sleep(self.revoke_delay_s)
        self.revoked.append(request.form["token"])
        return "", 200

    def _jwks(self) -> Any:
        key = {**RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "ehr-key", "alg": "RS256", "use": "sig"}
        return jsonify(keys=[{name: value for name, value in key.items() if name != "key_ops"}])

    def _search(self, resource_type: str) -> Any:
        self.fhir_requests.append(request.full_path)
        assert request.headers["Authorization"].startswith("Bearer access-")
        scripted = self.fhir_answers.pop(0) if self.fhir_answers and resource_type == "ImagingStudy" else None
        if scripted is not None:
            return scripted
        found = list(self.fhir.get(resource_type, []))
        wanted = request.args.get("identifier", "").split("|")[-1]
        if wanted:
            found = [one for one in found if any(i.get("value") == wanted for i in one.get("identifier", []))]
        entries = [{"fullUrl": f"{self.fhir_base}/{resource_type}/{one.get('id')}", "resource": one} for one in found]
        if "_include" in request.args and entries:
            for one in self.fhir.get("Endpoint", []):
                entries.append({"resource": one, "search": {"mode": "include"}})
        return jsonify(resourceType="Bundle", type="searchset", total=len(found), entry=entries)

    def _read(self, resource_type: str, resource_id: str) -> Any:
        self.fhir_requests.append(request.full_path)
        found = [one for one in self.fhir.get(resource_type, []) if one.get("id") == resource_id]
        return jsonify(found[0]) if found else ("", 404)


def demo_record() -> dict[str, list[dict[str, Any]]]:
    """What the EHR knows of patient A."""
    return {
        "ImagingStudy": [imaging_study()],
        "Endpoint": [wado_endpoint()],
        "Patient": [patient_a()],
        "DiagnosticReport": [report_on()],
    }


class Clock:
    """A clock that only moves when a test moves it; it starts at the real time, because tokens are dated by it."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment

    def passes(self, **time_passed: float) -> None:
        """Moves on."""
        self.moment += timedelta(**time_passed)


@dataclass
class SmartApp:
    """The app under test, with its services."""

    flask: Flask
    services: SmartAppServices
    clock: Clock


def _with_ready_keys(state_dir: Path) -> Path:
    """The state directory, with client keys made once for all tests: making RSA keys takes a second."""
    private_directory(state_dir)
    for name in ("client-es384.pem", "client-rs384.pem"):
        if name in _READY_KEYS:
            read_or_make(state_dir / name, _READY_KEYS[name])
    ClientKeys.of(state_dir)
    _READY_KEYS.update({name: (state_dir / name).read_bytes() for name in ("client-es384.pem", "client-rs384.pem")})
    return state_dir


_READY_KEYS: dict[str, bytes] = {}


def make_app(tmp_path: Path, ehrs: tuple[EhrSettings, ...], clock: Clock, **settings: Any) -> SmartApp:
    """The SMART app alone, as a composition root would assemble it; ``policy`` and ``identifier_systems`` are the site's."""
    policy, systems = settings.pop("policy", None), settings.pop("identifier_systems", {})
    state_dir = _with_ready_keys(tmp_path / "state")
    store = Store.open(StateSettings(state_dir=state_dir))
    store.migrate()
    services = SmartAppServices.assemble(
        SmartAppSettings(**{"public_base_url": APP, **settings}), ehrs, store, state_dir=state_dir, clock=clock, policy=policy
    )
    services = replace(services, identifier_systems=systems)
    app = Flask("smart_app_under_test", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    app.register_blueprint(create_blueprint(services))
    return SmartApp(app, services, clock)


class Clinician:
    """Somebody with a browser: cookies of the app, and the way through the EHR's sign-in."""

    def __init__(self, app: SmartApp, *, keeps_cookies: bool = True) -> None:
        self.app = app
        self.client: Client = app.flask.test_client(use_cookies=keeps_cookies)
        self.addresses: list[str] = []
        """Every address that the browser was sent to."""

    def get(self, path: str, **more: Any) -> TestResponse:
        """One request, redirects not followed."""
        return self.client.get(path, base_url=APP, **more)

    def post(self, path: str, *, from_own_page: bool = True, **more: Any) -> TestResponse:
        """A POST as one of our own pages makes it."""
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": APP} if from_own_page else {}
        return self.client.post(path, base_url=APP, headers={**headers, **more.pop("headers", {})}, **more)

    def opens(self, path: str) -> TestResponse:
        """Follows every redirect, through the EHR too, as a browser would."""
        response = self.get(path)
        for _ in range(10):
            if response.status_code not in (301, 302, 303):
                break
            response = self._goes_to(response.headers["Location"])
        return response

    def launches(self, ehr: FakeEhr, launch: str | None = None) -> TestResponse:
        """An EHR launch, to its last page; each start has a handle of its own unless a test gives one."""
        handle = launch or secrets.token_urlsafe(8)
        return self.opens(f"/launch?{urlencode({'iss': ehr.fhir_base, 'launch': handle})}")

    def callback_of(self, ehr: FakeEhr) -> str:
        """A launch up to the redirect that the EHR answers, which is not followed."""
        handle = secrets.token_urlsafe(8)
        response = self.get(f"/launch?{urlencode({'iss': ehr.fhir_base, 'launch': handle})}")
        while (location := response.headers["Location"]).startswith("/"):
            response = self.get(location)
        return self._of_app(self._at_ehr(location))

    @property
    def session(self) -> str:
        """The id of the session opened last."""
        paths = [urlsplit(address).path.split("/") for address in self.addresses]
        return next(path[2] for path in reversed(paths) if len(path) > 2 and path[1] == "s")

    def _goes_to(self, location: str) -> TestResponse:
        self.addresses.append(location)
        if location.startswith(("/", APP)):
            return self.get(self._of_app(location))
        return self._goes_to(self._at_ehr(location))

    def _at_ehr(self, address: str) -> str:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(address, allow_redirects=False, timeout=10)
        assert answer.status_code in (302, 303), answer.text
        return answer.headers["Location"]

    @staticmethod
    def _of_app(address: str) -> str:
        return address.removeprefix(APP)


def query_of(address: str) -> dict[str, str]:
    """The query of an address."""
    return dict(parse_qsl(urlsplit(address).query))


def form_of(body: str) -> dict[str, list[str]]:
    """A form body."""
    return parse_qs(body)


def busy(retry_after: int) -> Response:
    """A server that asks to come back."""
    return Response(json.dumps({}), 503, headers={"Retry-After": str(retry_after)}, mimetype="application/json")


@dataclass
class World:
    """An EHR that knows patient A, the app that is connected to it, and a clinician in front of it."""

    ehr: FakeEhr
    app: SmartApp
    clinician: Clinician
    clock: Clock

    def another_clinician(self) -> Clinician:
        """Somebody else, or another browser of the same person."""
        return Clinician(self.app)


@contextmanager
def a_world(
    tmp_path: Path, *, ehr: FakeEhr | None = None, app: dict[str, Any] | None = None, **known_as: Any
) -> Iterator[World]:
    """A world for one test; ``known_as`` changes what the app's settings say of the EHR, ``app`` the app's own."""
    ehr = ehr or FakeEhr(fhir=demo_record())
    with ExitStack() as stack:
        ehr.base_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        clock = Clock()
        made = make_app(tmp_path, (ehr.settings(**known_as),), clock, **(app or {}))
        stack.callback(made.services.store.close)
        stack.callback(made.services.outbound.close)
        yield World(ehr, made, Clinician(made), clock)
