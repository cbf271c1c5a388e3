"""An EHR with an imaging and an image server on one socket, sound until a test bends it, for ``imaging-cds check``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, jsonify, request

from fhir_imaging.ehr_servers import certificate_authorities
from fhir_imaging.settings import EhrSettings
from imaging_cds.check_context import CheckContext
from imaging_cds.check_probe import Prober
from imaging_cds.check_report import Finding, Report, Verdict
from imaging_cds.cli_check import examine
from smart_app.imaging_base import APP_LAUNCH_MODE
from tests.conftest import free_port_number, serving

APP = "http://localhost:8000"
TOKEN = "synthetic-access-token"
PATIENT = "demo-a"
Bend = Callable[["CheckedEhr"], None]


@dataclass
class CheckedEhr:
    """Its documents are plain data for tests to change; ``asked`` is who came with which token."""

    base_url: str = ""
    configuration: dict[str, Any] = field(default_factory=dict)
    statement: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=list)
    studies: list[dict[str, Any]] = field(default_factory=list)
    endpoint: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    """Answers given in place of the sound ones, by path."""
    needs_token: bool = True
    knows_patients: bool = True
    """Whether a search for another patient is refused."""
    allows_browsers: bool = True
    takes_token: bool = True
    token: str = TOKEN
    asked: list[tuple[str, str]] = field(default_factory=list)
    sign_ins: list[dict[str, str]] = field(default_factory=list)
    """What the authorization endpoint was asked."""

    @property
    def fhir(self) -> str:
        """The issuer."""
        return f"{self.base_url}/fhir"

    def fill(self) -> None:
        """Everything as it should be."""
        auth = f"{self.base_url}/auth"
        self.configuration = {
            "issuer": auth,
            "jwks_uri": f"{auth}/jwks",
            "authorization_endpoint": f"{auth}/authorize",
            "token_endpoint": f"{auth}/token",
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES384", "RS384"],
            "scopes_supported": ["openid", "fhirUser", "launch", "online_access", "patient/*.rs"],
            "capabilities": [
                "launch-ehr",
                "client-public",
                "client-confidential-symmetric",
                "client-confidential-asymmetric",
                "permission-v2",
                "smart-imaging-access",
                APP_LAUNCH_MODE,
            ],
        }
        names = ("patient", "identifier", "_lastUpdated")
        study = {
            "type": "ImagingStudy",
            "searchParam": [{"name": n} for n in names],
            "searchInclude": ["ImagingStudy:endpoint"],
        }
        self.statement = {"fhirVersion": "4.0.1", "rest": [{"resource": [study, {"type": "Endpoint"}]}]}
        self.keys = [{"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB"}]
        self.endpoint = {
            "resourceType": "Endpoint",
            "id": "wado",
            "status": "active",
            "connectionType": {"code": "dicom-wado-rs"},
            "address": f"{self.base_url}/dicom-web",
        }
        self.studies = [
            {
                "resourceType": "ImagingStudy",
                "id": "s1",
                "status": "available",
                "subject": {"reference": f"Patient/{PATIENT}"},
                "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.7"}],
                "endpoint": [{"reference": "Endpoint/wado"}],
            }
        ]
        self.settings = {"frame_ancestors": ("https://chart.example",)}

    def app(self) -> Flask:
        """The servers as one application."""
        app = Flask("checked_ehr")
        app.add_url_rule("/fhir/.well-known/smart-configuration", view_func=lambda: _open(jsonify(self.configuration)))
        app.add_url_rule("/auth/.well-known/openid-configuration", view_func=self._openid)
        app.add_url_rule("/auth/authorize", view_func=self._sign_in)
        app.add_url_rule("/auth/jwks", "jwks", view_func=lambda: jsonify(keys=self.keys))
        app.add_url_rule("/fhir/metadata", "statement", view_func=lambda: jsonify(self.statement))
        app.add_url_rule("/fhir/ImagingStudy", view_func=self._search)
        app.add_url_rule(
            "/dicom-web/studies/<uid>/metadata", view_func=self._metadata, methods=["GET"], provide_automatic_options=False
        )
        app.add_url_rule(
            "/dicom-web/studies/<uid>/metadata",
            "preflight",
            self._preflight,
            methods=["OPTIONS"],
            provide_automatic_options=False,
        )
        app.before_request(self._bent)
        return app

    def _bent(self) -> Response | None:
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        bent = self.answers.get(request.path)
        return copy.copy(bent)

    def _sign_in(self) -> Response:
        self.sign_ins.append(dict(request.args.items()))
        return Response("<form>", headers={"Content-Security-Policy": "frame-ancestors 'self' https://chart.example"})

    def _openid(self) -> Response:
        return jsonify(issuer=self.configuration.get("issuer"))

    def _search(self) -> Response:
        if self.needs_token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return Response("", 401, {"WWW-Authenticate": 'Bearer realm="imaging"'})
        if self.knows_patients and request.args["patient"] not in (PATIENT, f"Patient/{PATIENT}"):
            return Response("{}", 403)
        entries = [{"fullUrl": f"{self.fhir}/{one['resourceType']}/{one.get('id')}", "resource": one} for one in self.studies]
        entries.append({"fullUrl": f"{self.fhir}/Endpoint/wado", "resource": self.endpoint})
        return jsonify(resourceType="Bundle", type="searchset", entry=entries if self.studies else [])

    def _metadata(self, uid: str) -> Response:
        if not self.takes_token or request.headers.get("Authorization") != f"Bearer {self.token}":
            return Response("", 401)
        return Response("[]", mimetype="application/dicom+json")

    def _preflight(self, uid: str) -> Response:
        if not self.allows_browsers:
            return Response("", 405)
        return Response("", 204, {"Access-Control-Allow-Origin": APP, "Access-Control-Allow-Headers": "Authorization"})

    def report(self, **changes: Any) -> Report:
        """What the check says, with a token that the EHR takes unless ``changes`` say otherwise."""
        ehr = EhrSettings(name="checked", fhir_base=self.fhir, **self.settings)
        context = CheckContext(
            **{
                "issuer": self.fhir,
                "ehr": ehr,
                "is_configured": True,
                "app_origin": APP,
                "prober": Prober(APP, clock=lambda: datetime.now(UTC), authorities=certificate_authorities([ehr])),
                "token": TOKEN,
                "patient": PATIENT,
                **changes,
            }
        )
        return Report(issuer=context.issuer, findings=tuple(examine(context)))


def _open(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@contextmanager
def a_checked_ehr() -> Iterator[CheckedEhr]:
    """A sound EHR on a socket."""
    ehr = CheckedEhr()
    port = free_port_number()
    ehr.base_url = f"http://127.0.0.1:{port}"
    ehr.fill()
    with serving(ehr.app(), port):
        yield ehr


def worse_than(report: Report, verdict: Verdict) -> list[Finding]:
    """The findings above a verdict."""
    order = list(Verdict)
    return [one for one in report.findings if order.index(one.verdict) > order.index(verdict)]
