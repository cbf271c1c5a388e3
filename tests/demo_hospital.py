"""The sandbox EHR and the sandbox PACS with the demo's patients, and our imaging server between them, on real sockets.

Both counterparts were written apart from the imaging server, so that they can disagree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask

from ehr_sandbox.authorization import Authorization
from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.patients import build_demo
from ehr_sandbox.settings import RegisteredClient, SandboxSettings, demo_settings
from fhir_imaging.settings import EhrSettings, PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.log_watch import is_secret
from tests.pacs_actors import a_running_pacs
from tests.synced_studies import SyncedDemo, synced_demo

PATIENT, OTHER_PATIENT = "demo-a", "demo-b"
MRN = PatientIdentifierRule(system="https://imaging-cds.example/demo/mrn", issuer_of_patient_id="DEMO")
ARCHIVE_PASSWORD = is_secret("archive-password")


@dataclass
class DemoHospital:
    """The running servers; ``studies`` are UIDs by patient, of the images that are there."""

    app_url: str
    sandbox: SandboxSettings
    authorization: Authorization
    store: Store
    studies: dict[str, list[str]]


H = TypeVar("H", bound=DemoHospital)


def signed_by(sandbox: SandboxSettings, name: str, **more: Any) -> EhrSettings:
    """The sandbox as an EHR whose tokens are checked by their signature."""
    keys = {"token_issuer": sandbox.issuer, "jwks_url": f"{sandbox.issuer}/jwks"}
    return EhrSettings(name=name, fhir_base=sandbox.fhir_base, **{**keys, **more})


@contextmanager
def a_demo_hospital(
    kind: type[H],
    directory: Path,
    known_as: Callable[[SandboxSettings], Iterable[EhrSettings]],
    *,
    rules: Iterable[str] | None = None,
    endpoints_of: str = "sandbox",
    clients: tuple[RegisteredClient, ...] = (),
) -> Iterator[H]:
    """A hospital of two patients. ``known_as`` are the names and ways under which the imaging server knows the sandbox.

    ``rules`` names those with a rule about patients' numbers (None = all); ``endpoints_of`` the one whose gateway the EHR's
    Endpoints name; ``clients`` are registered at the EHR beside the demo's.
    """
    app_port, ehr_port = free_port_number(), free_port_number()
    app_url = f"http://127.0.0.1:{app_port}"
    sandbox = demo_settings(base_url=f"http://127.0.0.1:{ehr_port}", app_url=app_url, state_dir=directory / "ehr")
    sandbox = replace(sandbox, clients=(*sandbox.clients, *clients))
    with ExitStack() as stack:
        ehr = create_ehr(sandbox)
        data = build_demo(
            directory / "dicom",
            demo_day=date(2026, 11, 21),
            fhir_base=sandbox.fhir_base,
            only=frozenset({PATIENT, OTHER_PATIENT}),
            slices=3,
        )
        records = FhirStore(sandbox.state_dir / "fhir.sqlite3", sandbox.fhir_base)
        gateway = f"{app_url}/imaging/{endpoints_of}/dicom-web/demo"
        synced = synced_demo(data, directory / "dicom", gateway)
        for resource in synced.resources:
            records.put(resource)
        stack.enter_context(serving(ehr, ehr_port))
        credential = ("gateway", ARCHIVE_PASSWORD)
        pacs = stack.enter_context(a_running_pacs(directory / "pacs", directory / "dicom", basic_credential=credential))
        for one in data.studies.values():
            if one.is_on_tape:
                tape = f"{pacs.url.removesuffix('/dicom-web')}/tape/{one.study_instance_uid}"
                assert pacs.session.put(tape, auth=credential, timeout=5).status_code == 204
        store = Store.open(StateSettings(state_dir=directory / "app"))
        stack.callback(store.close)
        store.migrate()
        ehrs = tuple(known_as(sandbox))
        settings = ImagingServerSettings(
            public_base_url=app_url,
            patient_identifiers={one.name: MRN for one in ehrs if rules is None or one.name in rules},
        )
        app = _imaging_server(stack, settings, ehrs, pacs.url, store)
        stack.enter_context(serving(app, app_port))
        yield kind(app_url, sandbox, Authorization(sandbox), store, _with_images(synced))


def _imaging_server(
    stack: ExitStack, settings: ImagingServerSettings, ehrs: tuple[EhrSettings, ...], pacs_url: str, store: Store
) -> Flask:
    archive = PacsSettings(name="demo", dicomweb_root=pacs_url, user="gateway", password=ARCHIVE_PASSWORD)
    services = build_services(settings, ehrs, (archive,), store=store)
    stack.callback(services.close)
    app = Flask("demo-hospital", static_folder=None)
    install(app, [error_surface(services), *error_surfaces(services)])
    app.register_blueprint(create_blueprint(services))
    return app


def _with_images(synced: SyncedDemo) -> dict[str, list[str]]:
    studies: dict[str, list[str]] = {}
    for one in synced.of("ImagingStudy"):
        if "endpoint" in one:
            studies.setdefault(one["subject"]["reference"].removeprefix("Patient/"), []).append(one["id"])
    return studies
