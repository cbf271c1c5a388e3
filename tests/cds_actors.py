"""FHIR resources of synthetic patients, a trusted EHR that signs its calls, and the CDS service on a test client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask
from flask.testing import FlaskClient
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.test import TestResponse

from cds_service.outgoing import UNSHOWN
from cds_service.runtime import CdsServices
from cds_service.settings import CdsSettings, TrustedCdsClient
from cds_service.validator import faults_of
from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.settings import EhrSettings, StateSettings
from fhir_imaging.store.engine import Store

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
LUNG_RADS = "https://imaging-cds.example/fhir/CodeSystem/lung-rads"
NODULE = "https://imaging-cds.example/fhir/CodeSystem/nodule"
GUIDELINE = "https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline"
SELECTION = "https://imaging-cds.example/fhir/StructureDefinition/imaging-selection"
RISKS = {"low": "75976002", "high": "15508007"}

APP = "https://imaging.example.org"
EHR = "https://ehr.example.org"
FHIR = "https://ehr.example.org/fhir"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
STUDY_UID = "2.25.1001"


def concept(system: str, code: str, version: str | None = None) -> dict[str, Any]:
    coding = {"system": system, "code": code}
    return {"coding": [coding | ({"version": version} if version else {})]}


def millimetres(code: tuple[str, str], value: float) -> dict[str, Any]:
    quantity = {"value": value, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"}
    return {"code": concept(*code), "valueQuantity": quantity}


def a_patient(patient_id: str = "p", born: str | None = "1968-05-01") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": patient_id} | ({"birthDate": born} if born else {})


def an_observation(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "finding",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2026-10-01T10:00:00+02:00",
        "derivedFrom": [{"reference": "ImagingStudy/study"}],
        "performer": [{"reference": "Practitioner/r", "display": "Dr Synthetic Radiologist"}],
    } | members


def nodule_components(
    mm: float | None = None,
    kind: str | None = None,
    *,
    count: int | None = None,
    risk: str | None = None,
    change: str | None = None,
    solid_part: float | None = None,
) -> list[dict[str, Any]]:
    components: list[dict[str, Any]] = []
    if mm is not None:
        components.append(millimetres((SCT, "81827009"), mm))
    if kind:
        components.append({"code": concept(NODULE, "attenuation"), "valueCodeableConcept": concept(NODULE, kind)})
    if count is not None:
        components.append({"code": concept(SCT, "246206008"), "valueInteger": count})
    if risk:
        value = concept(SCT, RISKS[risk])
        components.append({"code": concept(NODULE, "malignancy-risk"), "valueCodeableConcept": value})
    if change:
        components.append({"code": concept(NODULE, "change"), "valueCodeableConcept": concept(NODULE, change)})
    if solid_part is not None:
        components.append(millimetres((NODULE, "solid-part-diameter"), solid_part))
    return components


def a_nodule(
    mm: float | None = 7.0, kind: str | None = "solid", *, risk: str | None = "high", **members: Any
) -> dict[str, Any]:
    return an_observation(
        **{
            "code": concept(SCT, "427359005"),
            "method": concept(GUIDELINE, "fleischner", "2017"),
            "component": nodule_components(mm, kind, risk=risk),
        }
        | members
    )


def a_lung_rads(category: str, *, version: str | None = "2022", **members: Any) -> dict[str, Any]:
    value = {"valueCodeableConcept": concept(LUNG_RADS, category, version)}
    return an_observation(**{"code": concept(SCT, "1362105002")} | value | members)


def an_ai_lung_rads(category: str, **members: Any) -> dict[str, Any]:
    parts = (("study", STUDY_UID), ("series", f"{STUDY_UID}.1"), ("instance", f"{STUDY_UID}.1.7"))
    selection = [{"url": url, "valueOid": f"urn:oid:{uid}"} for url, uid in parts]
    ai = {
        "id": "ai",
        "status": "preliminary",
        "device": {"reference": "Device/ai", "display": "Synthetic Nodule AI 1.0"},
        "performer": [],
        "extension": [{"url": SELECTION, "extension": selection}],
    }
    return a_lung_rads(category, **ai | members)


def a_study(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": "study",
        "status": "available",
        "subject": {"reference": "Patient/p"},
        "started": "2026-10-01T10:00:00+02:00",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}],
        "modality": [{"system": DCM, "code": "CT"}],
        "series": [
            {"uid": f"{STUDY_UID}.1", "modality": {"code": "CT"}, "bodySite": {"system": SCT, "code": "816094009"}},
        ],
    } | members


def an_order(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "code": concept(LOINC, "29252-4"),
        "authoredOn": "2026-10-02",
    } | members


def a_report(conclusion: str, **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "issued": "2026-10-01T12:00:00Z",
        "imagingStudy": [{"reference": "ImagingStudy/study"}],
        "resultsInterpreter": [{"display": "Dr Synthetic Radiologist"}],
        "conclusion": conclusion,
    } | members


def a_condition(system: str, code: str, **members: Any) -> dict[str, Any]:
    status = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active")
    base = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "clinicalStatus": status}
    return base | {"code": concept(system, code)} | members


def a_bundle(*resources: Mapping[str, Any], next_url: str | None = None) -> dict[str, Any]:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}
    return bundle | ({"link": [{"relation": "next", "url": next_url}]} if next_url else {})


def whole_prefetch(*findings: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Prefetch with every key answered; ``others`` replace keys."""
    empty: dict[str, Any] = dict.fromkeys(("reports", "orders", "smoking", "conditions", "communications"))
    return {"patient": a_patient(), "findings": a_bundle(*findings), "studies": a_bundle(a_study())} | empty | others


def a_hook(prefetch: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    request = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": FHIR,
        "context": {"userId": "Practitioner/gp", "patientId": "p", "encounterId": "e"},
    }
    return request | ({} if prefetch is None else {"prefetch": dict(prefetch)}) | members


@dataclass(slots=True)
class SigningEhr:
    """A CDS client with keys of its own; ``jwt_for`` makes what it would send, with any part replaced."""

    iss: str = EHR
    kid: str = "key-1"
    ec_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    rsa_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def jwks(self) -> dict[str, Any]:
        ec_jwk = ECAlgorithm.to_jwk(self.ec_key.public_key(), as_dict=True) | {"kid": self.kid, "alg": "ES384"}
        rsa_jwk = RSAAlgorithm.to_jwk(self.rsa_key.public_key(), as_dict=True) | {"kid": "rsa-1", "alg": "RS384"}
        return {"keys": [ec_jwk, rsa_jwk]}

    def claims(self, url: str, now: datetime = NOW) -> dict[str, Any]:
        issued = int(now.timestamp())
        return {"iss": self.iss, "aud": url, "iat": issued, "exp": issued + 300, "jti": str(uuid.uuid4())}

    def jwt_for(self, url: str, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        merged = {name: value for name, value in (self.claims(url) | claims).items() if value is not None}
        headers = {"kid": self.kid, "typ": "JWT"} | dict(header or {})
        if headers["kid"] is None:
            del headers["kid"]
        algorithm = str(headers.pop("alg", "ES384"))
        key: Any = self.rsa_key if algorithm.startswith("RS") else self.ec_key
        return jwt.encode(merged, key, algorithm=algorithm, headers=headers)


@dataclass(slots=True)
class CdsActor:
    """The CDS service with one trusted EHR; every 200 of a service is judged by the outbound validator."""

    app: Flask
    services: CdsServices
    ehr: SigningEhr

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(
        self, path: str, body: object, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        token = token or self.ehr.jwt_for(f"{APP}{path}")
        sent = {"Authorization": f"Bearer {token}"} | dict(headers or {})
        if isinstance(body, bytes):
            answer = self.client.post(path, data=body, content_type="application/json", headers=sent)
        else:
            answer = self.client.post(path, json=body, headers=sent)
        assert f'"code":"{UNSHOWN}"'.encode() not in answer.get_data(), "a card was wrong and is left out"
        return answer

    def call(self, body: object, service: str = "imaging-findings") -> TestResponse:
        return self.post(f"/cds-services/{service}", body)

    def cards(self, body: object) -> list[dict[str, Any]]:
        response = self.call(body)
        assert response.status_code == 200, response.get_data(as_text=True)
        answer = response.get_json()
        assert faults_of(answer) == ()
        cards: list[dict[str, Any]] = answer["cards"]
        return cards


def a_store(directory: Path) -> Store:
    store = Store.open(StateSettings(state_dir=directory))
    store.migrate()
    return store


def a_cds_service(store: Store, directory: Path, *, now: datetime = NOW, **settings: Any) -> CdsActor:
    """A service that trusts one EHR by a JWKS file. ``settings`` are those of ``CdsSettings``; ``trust`` of the client.

    ``policy`` among them are the site's rules.
    """
    policy = settings.pop("policy", None)
    ehr = SigningEhr()
    keys = directory / "ehr.jwks.json"
    keys.write_text(json.dumps(ehr.jwks()))
    trust = {"iss": EHR, "jwks_file": keys, "fhir_servers": (FHIR,), "cors_origins": (EHR,)} | settings.pop("trust", {})
    cds = CdsSettings(**{"public_base_url": APP, "trusted_clients": (TrustedCdsClient(**trust),)} | settings)
    ehrs = (EhrSettings(name="sandbox", fhir_base=FHIR),)
    services = CdsServices.assemble(cds, ehrs, store, clock=lambda: now, policy=policy)
    app = Flask("cds-under-test")
    app.register_blueprint(create_blueprint(services))
    web.install(app, [error_surface(services)])
    return CdsActor(app=app, services=services, ehr=ehr)


def in_minutes(minutes: int) -> int:
    return int((NOW + timedelta(minutes=minutes)).timestamp())
