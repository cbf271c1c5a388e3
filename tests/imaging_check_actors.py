"""Our imaging server between the sandbox EHR and the sandbox PACS with the demo's patients, and the tokens to check it with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from flask import Flask

import imaging_server.fhir_views
import imaging_server.views
from ehr_sandbox.authorization import Authorization, TokenOptions
from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.oauth_records import Grant
from ehr_sandbox.patients import build_demo
from ehr_sandbox.settings import SandboxSettings, demo_settings
from fhir_imaging.settings import EhrSettings, Ownership, PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_cds.check_gateway_subject import TokenKind
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from tests.conftest import free_port_number, serving
from tests.pacs_actors import a_running_pacs

PATIENT, OTHER_PATIENT = "demo-a", "demo-b"
SCOPE = "patient/ImagingStudy.rs patient/Patient.r patient/Endpoint.rs"
MRN = PatientIdentifierRule(system="https://imaging-cds.example/demo/mrn", issuer_of_patient_id="DEMO")


@dataclass
class CheckedDemo:
    """``sandbox`` is the EHR of the images by its own ImagingStudy; ``archived`` has studies by the archive's word only."""

    app_url: str
    sandbox: SandboxSettings
    authorization: Authorization
    studies: dict[str, list[str]]

    @property
    def fhir(self) -> str:
        """Our own imaging FHIR endpoint."""
        return f"{self.app_url}/imaging/archived/fhir"

    def token(self, patient: str | None = PATIENT, scope: str = SCOPE, **options: Any) -> str:
        """A token with exactly this scope, as an EHR with other habits might grant it."""
        grant = Grant(
            grant_id=str(uuid.uuid4()),
            client_id="imaging-cds",
            scope=tuple(scope.split()),
            context=LaunchContext(patient=patient, user=self.sandbox.default_user),
            created_at=time.time(),
        )
        self.authorization.records.add_grant(grant)
        return self.authorization.access_token(grant, scope, TokenOptions(**options)).access_token

    def tokens(self) -> dict[TokenKind, str]:
        """One of each kind."""
        return {
            TokenKind.GOOD: self.token(),
            TokenKind.ENDED: self.token(lifetime_s=-600),
            TokenKind.FOREIGN: self.token(audiences=("https://other.example/fhir",)),
            TokenKind.UNSCOPED: self.token(scope="patient/Patient.r"),
            TokenKind.PATIENTLESS: self.token(None),
            TokenKind.SYSTEM: self.token(None, scope="system/ImagingStudy.rs"),
            TokenKind.MIXED: self.token(scope="patient/Observation.rs patient/Patient.r system/ImagingStudy.rs"),
            TokenKind.WIDE: self.token(scope="patient/ImagingStudy.cruds patient/Patient.r"),
            TokenKind.FILTERED: self.token(scope="patient/ImagingStudy.rs?modality=MR patient/Patient.r"),
            TokenKind.SECOND: self.token(),
        }


@contextmanager
def a_checked_demo(directory: Path) -> Iterator[CheckedDemo]:
    """Everything on real sockets."""
    app_port, ehr_port = free_port_number(), free_port_number()
    app_url = f"http://127.0.0.1:{app_port}"
    sandbox = demo_settings(base_url=f"http://127.0.0.1:{ehr_port}", app_url=app_url, state_dir=directory / "ehr")
    with ExitStack() as stack:
        ehr = create_ehr(sandbox)
        data = build_demo(
            directory / "dicom",
            demo_day=date(2026, 11, 21),
            gateway_address=f"{app_url}/imaging/sandbox/dicom-web/demo",
            fhir_base=sandbox.fhir_base,
            only=frozenset({PATIENT, OTHER_PATIENT}),
            slices=3,
        )
        records = FhirStore(sandbox.state_dir / "fhir.sqlite3", sandbox.fhir_base)
        for bundle in data.bundles:
            records.transaction(bundle)
        stack.enter_context(serving(ehr, ehr_port))
        pacs = stack.enter_context(
            a_running_pacs(directory / "pacs", directory / "dicom", basic_credential=("gateway", "archive-password"))
        )
        store = Store.open(StateSettings(state_dir=directory / "app"))
        stack.callback(store.close)
        store.migrate()
        stack.enter_context(serving(_app(stack, store, sandbox, app_url, pacs.url), app_port))
        yield CheckedDemo(app_url, sandbox, Authorization(sandbox), _studies(data.bundles))


def _app(stack: ExitStack, store: Store, sandbox: SandboxSettings, app_url: str, pacs_url: str) -> Flask:
    common = {"fhir_base": sandbox.fhir_base, "token_issuer": sandbox.issuer, "jwks_url": f"{sandbox.issuer}/jwks"}
    ehrs = (
        EhrSettings(name="sandbox", **common),
        EhrSettings(name="archived", ownership=Ownership.IDENTIFIER, **common),
    )
    services = build_services(
        ImagingServerSettings(public_base_url=app_url, patient_identifiers={one.name: MRN for one in ehrs}),
        ehrs,
        (PacsSettings(name="demo", dicomweb_root=pacs_url, user="gateway", password="archive-password"),),
        store=store,
    )
    stack.callback(services.close)
    app = Flask("checked-demo", static_folder=None)
    surfaces = imaging_server.fhir_views.error_surfaces(services)
    install(app, [imaging_server.views.error_surface(services), *surfaces])
    app.register_blueprint(imaging_server.views.create_blueprint(services))
    if "imaging_fhir" not in app.blueprints:
        app.register_blueprint(imaging_server.fhir_views.create_blueprint(services))
    return app


def _studies(bundles: Any) -> dict[str, list[str]]:
    """Study Instance UIDs by patient, of the images that are there."""
    found: dict[str, list[str]] = {}
    resources = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    for one in resources:
        if one["resourceType"] == "ImagingStudy" and "endpoint" in one:
            uid = one["identifier"][0]["value"].removeprefix("urn:oid:")
            found.setdefault(one["subject"]["reference"].removeprefix("Patient/"), []).append(uid)
    return found
