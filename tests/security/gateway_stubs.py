"""An EHR and an archive that record everything they are asked: who must not be contacted, demonstrably was not.

Both are naive on purpose. The archive checks nothing and answers for any path; the EHR's faults are switched on.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask, Response, request

from fhir_imaging.settings import EhrSettings, PacsSettings
from tests.log_watch import is_secret

STUDY_A, PRIOR_A, STUDY_B = "2.25.11", "2.25.12", "2.25.22"
METADATA = f"/studies/{STUDY_A}/metadata"
SCOPES = "openid fhirUser patient/Patient.r patient/ImagingStudy.rs"
PACS_PASSWORD = is_secret("archive-password-of-the-gateway")
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def series_of(study: str, number: int = 1) -> str:
    return f"{study}.{number}"


def instance_of(study: str, series: int = 1, number: int = 1) -> str:
    return f"{study}.{series}.{number}"


INSTANCE = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/instances/{instance_of(STUDY_A)}"
FRAME = f"{INSTANCE}/frames/1"
BULK = f"{INSTANCE}/bulkdata/7FE00010"
SMALL_BODY = 64 * 1024
"""Where the gateway under test begins to stream instead of reading whole."""


def as_jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    """The public half, as a key server publishes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**public, "kid": kid, "use": "sig", "alg": "RS256"}
    return {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "ES256"}


@dataclass
class Asked:
    """One request as a counterpart received it; ``target`` is the raw path and query."""

    method: str
    target: str
    headers: dict[str, str]
    body: str = ""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


def _asked() -> Asked:
    target = request.environ.get("RAW_URI") or request.full_path
    return Asked(request.method, target, dict(request.headers), request.get_data(as_text=True))


@dataclass
class StubEhr:
    """FHIR server, key server and introspection of one EHR. ``studies`` maps a Study Instance UID to its patient's id."""

    name: str
    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    studies: dict[str, str] = field(default_factory=dict)
    modalities: dict[str, list[str]] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [as_jwk(RSA_KEY, "k1"), as_jwk(EC_KEY, "e1")])
    introspected: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Callable[[], Response]] = field(default_factory=dict)
    """By path prefix: what to answer instead of the truth."""
    identifiers: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def fhir_base(self) -> str:
        return f"{self.base}/fhir"

    @property
    def issuer(self) -> str:
        return f"{self.base}/auth"

    def claims(self, patient: object = "pat-a", **changes: Any) -> dict[str, Any]:
        """Claims of a good access token, with changes; None takes a claim away."""
        now = int(time.time())
        made: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "user-1",
            "aud": [self.fhir_base, "http://other.example/fhir"],
            "iat": now - 1,
            "nbf": now - 1,
            "exp": now + 300,
            "jti": f"jti-{now}-{len(self.asked)}-{time.perf_counter_ns()}",
            "client_id": "viewer",
            "scope": SCOPES,
            "patient": patient,
            "fhirUser": f"{self.fhir_base}/Practitioner/p1",
        }
        made.update(changes)
        return {name: value for name, value in made.items() if value is not None}

    def token(
        self,
        patient: object = "pat-a",
        *,
        key: Any = RSA_KEY,
        alg: str = "RS256",
        headers: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A signed access token."""
        head = {"typ": "at+jwt", "kid": "k1", **(headers or {})}
        return jwt.encode(self.claims(patient, **changes), key, algorithm=alg, headers=head)

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def settings(self, **changes: Any) -> EhrSettings:
        values: dict[str, Any] = {
            "name": self.name,
            "fhir_base": self.fhir_base,
            "token_issuer": self.issuer,
            "jwks_url": f"{self.base}/auth/jwks",
        }
        return EhrSettings(**{**values, **changes})

    def app(self) -> Flask:
        app = Flask(f"stub-ehr-{self.name}", static_folder=None)

        @app.before_request
        def _record() -> Response | None:
            self.asked.append(_asked())
            instead = next((a for prefix, a in self.answers.items() if request.path.startswith(prefix)), None)
            return instead() if instead else None

        @app.get("/auth/jwks")
        def _jwks() -> Any:
            return {"keys": self.keys}

        @app.post("/auth/introspect")
        def _introspect() -> Any:
            return self.introspected.get(request.form["token"], {"active": False})

        @app.get("/fhir/.well-known/smart-configuration")
        def _smart() -> Any:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "introspection_endpoint": f"{self.issuer}/introspect",
            }

        @app.get("/fhir/ImagingStudy")
        def _search() -> Any:
            patient = request.args["patient"]
            wanted = request.args.get("identifier", "").removeprefix("urn:dicom:uid|urn:oid:")
            found = [uid for uid, owner in self.studies.items() if owner == patient and wanted in ("", uid)]
            entries = [{"resource": self.imaging_study(uid), "search": {"mode": "match"}} for uid in found]
            return {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries}

        @app.get("/fhir/Patient/<patient>")
        def _patient(patient: str) -> Any:
            return {"resourceType": "Patient", "id": patient, "identifier": self.identifiers.get(patient, [])}

        return app

    def imaging_study(self, uid: str, **changes: Any) -> dict[str, Any]:
        resource = {
            "resourceType": "ImagingStudy",
            "id": f"study-{uid}",
            "status": "available",
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
            "subject": {"reference": f"Patient/{self.studies.get(uid)}"},
            "modality": [{"code": code} for code in self.modalities.get(uid, ["CT"])],
        }
        return {**resource, **changes}


def is_index(asked: Asked) -> bool:
    """Whether it asks what there is, and not for the images themselves."""
    return asked.path.endswith(("/studies", "/series", "/instances"))


@dataclass
class StubPacs:
    """An archive that answers everything: it trusts whoever holds its credential, and ignores names that it does not know."""

    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    persons: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    answer: Callable[[Asked], Response | None] = lambda asked: None
    """What to answer instead; None = the usual."""
    beside: tuple[PacsSettings, ...] = ()
    """Further archives of the same gateway."""

    @property
    def root(self) -> str:
        return f"{self.base}/archive/dicom-web"

    def retrievals(self) -> list[Asked]:
        """Requests for anything else than the index."""
        return [one for one in self.asked if not is_index(one)]

    def settings(self, **changes: Any) -> PacsSettings:
        values: dict[str, Any] = {
            "name": "main",
            "dicomweb_root": self.root,
            "user": "gateway",
            "password": PACS_PASSWORD,
            "connect_timeout_s": 5.0,
            "read_timeout_s": 5.0,
        }
        return PacsSettings(**{**values, **changes})

    def app(self) -> Flask:
        app = Flask("stub-pacs", static_folder=None)
        app.url_map.merge_slashes = False

        @app.route("/", defaults={"path": ""}, methods=["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        @app.route("/<path:path>", methods=["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        def _any(path: str) -> Response:
            asked = _asked()
            self.asked.append(asked)
            return self.answer(asked) or self.usual(asked)

        return app

    def usual(self, asked: Asked) -> Response:
        """The truth, for the study that the path or the query names."""
        segments = asked.path.removeprefix(f"{urlsplit(self.root).path}/").split("/")
        named = dict(zip(segments[::2], segments[1::2], strict=False))
        study = named.get("studies", "")
        if segments[-1] == "studies":
            uids = [uid for part in asked.query.get("StudyInstanceUID", []) for uid in part.split(",") if uid in self.persons]
            return dicom_json([self.study(uid) for uid in uids or self.persons])
        if study not in self.persons:
            return Response("no such study at pacs.internal.example", 404, {"Server": "pacs.internal.example"})
        if segments[-1] == "series":
            return dicom_json([self.series(study)])
        if segments[-1] == "instances":
            return dicom_json([self.instance(study, number) for number in (1, 2)])
        if segments[-1] == "metadata":
            return dicom_json([self.instance(study, number) for number in (1, 2) if self._is_named(named, study, number)])
        if segments[-1] in ("rendered", "thumbnail"):
            return Response(b"\xff\xd8 a picture", content_type="image/jpeg")
        wants_files = "application/dicom" in asked.headers.get("Accept", "")
        part_type = "application/dicom" if wants_files else "application/octet-stream"
        part = (b"pixels of " + study.encode(), {"Content-Location": self.root + f"/studies/{study}"})
        return multipart([part], part_type=part_type)

    def study(self, uid: str) -> dict[str, Any]:
        person, issuer = self.persons[uid]
        return {
            "00100020": {"vr": "LO", "Value": [person]},
            **({"00100021": {"vr": "LO", "Value": [issuer]}} if issuer else {}),
            "0020000D": {"vr": "UI", "Value": [uid]},
            "00081190": {"vr": "UR", "Value": [f"{self.root}/studies/{uid}"]},
        }

    def series(self, study: str) -> dict[str, Any]:
        return {
            "0020000D": {"vr": "UI", "Value": [study]},
            "0020000E": {"vr": "UI", "Value": [series_of(study)]},
            "00081190": {"vr": "UR", "Value": [f"{self.root}/studies/{study}/series/{series_of(study)}"]},
        }

    def instance(self, study: str, number: int = 1) -> dict[str, Any]:
        address = f"{self.root}/studies/{study}/series/{series_of(study)}/instances/{instance_of(study, number=number)}"
        return {
            **self.series(study),
            "00080018": {"vr": "UI", "Value": [instance_of(study, number=number)]},
            "00081190": {"vr": "UR", "Value": [address]},
            "7FE00010": {"vr": "OW", "BulkDataURI": f"{address}/bulkdata/7FE00010"},
        }

    @staticmethod
    def _is_named(named: dict[str, str], study: str, number: int) -> bool:
        return named.get("instances", instance_of(study, number=number)) == instance_of(study, number=number)


def dicom_json(datasets: list[dict[str, Any]], **headers: str) -> Response:
    return Response(json.dumps(datasets), content_type="application/dicom+json", headers=headers)


def multipart(parts: list[tuple[bytes, dict[str, str]]], *, part_type: str = "application/octet-stream") -> Response:
    body = b""
    for content, headers in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Content-Type": part_type, **headers}.items())
        body += b"--b0undary\r\n" + head.encode() + b"\r\n" + content + b"\r\n"
    return Response(body + b"--b0undary--", content_type=f'multipart/related; type="{part_type}"; boundary=b0undary')


def only_for(ending: str, answer: Callable[[], Response]) -> Callable[[Asked], Response | None]:
    """The archive's answer for paths that end like this; the usual for all others."""
    return lambda asked: answer() if asked.path.endswith(ending) else None


def sign_raw(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """RS256 over any header and claims, also those that PyJWT would not write."""
    head = {"alg": "RS256", "typ": "at+jwt", "kid": "k1"} | (header or {})
    signing_input = b".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signing_input, RSA_KEY)
    return (signing_input + b"." + base64url(signature)).decode()


def base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
