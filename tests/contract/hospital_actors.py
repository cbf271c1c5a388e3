"""A hospital for tests: the strict sandbox EHR with patient A, our app connected to it, and a clinician in front of it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.faults import DiscoveryFaults
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.services import SandboxServices
from ehr_sandbox.settings import RegisteredClient, SandboxSettings
from fhir_imaging.settings import EhrSettings
from smart_app.explanations import EXPLANATIONS, Reason
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import (
    APP,
    Clinician,
    Clock,
    SmartApp,
    imaging_study,
    make_app,
    patient_a,
    report_on,
    wado_endpoint,
)

USER = {"resourceType": "Practitioner", "id": "demo-gp", "name": [{"family": "Praxis", "given": ["Paula"]}]}


@dataclass
class Hospital:
    """The sandbox EHR with patient A, and our app connected to it."""

    services: SandboxServices
    app: SmartApp
    clinician: Clinician

    def launches(self, **context: Any) -> Any:
        """Opens the app from patient A's chart."""
        launched = LaunchContext(**{"patient": "demo-a", "user": "Practitioner/demo-gp", "smart_style": False, **context})
        client_id = self.app.services.ehrs[0].client_id
        handle = self.services.authorization.issue_launch(client_id, launched)
        iss = self.services.settings.fhir_base
        return self.clinician.opens(f"/launch?{urlencode({'iss': iss, 'launch': handle})}")

    def starts_standalone(self) -> Any:
        """Opens the app without a chart, up to the EHR's own pages."""
        return self.clinician.get(f"/launch/standalone?{urlencode({'iss': self.services.settings.fhir_base})}")

    def anew(self) -> Hospital:
        """The same hospital at the real time, with another browser."""
        self.app.clock.moment = datetime.now(UTC)
        return Hospital(self.services, self.app, Clinician(self.app))

    def token(self) -> Any:
        """What our viewer page is handed."""
        return self.clinician.post(f"/s/{self.clinician.session}/token")


def assert_explained(page: Any, reason: Reason) -> str:
    """Asserts that the page is the one of this reason, in words, and that it gives nothing away; its text, unescaped."""
    explanation = EXPLANATIONS[reason]
    words = html.unescape(page.text)
    assert reason.value in words, words
    assert page.status_code == explanation.status
    assert explanation.title in words
    assert explanation.what in words
    assert "Traceback" not in words
    # Every JWT begins so: access tokens, id_tokens and assertions have no place in a page.
    assert "eyJ" not in words
    assert "SYNTHETIC" not in words, "no patient is shown where a launch ended"
    return words


@contextmanager
def a_hospital(
    tmp_path: Path,
    client: RegisteredClient,
    *,
    app_settings: dict[str, Any] | None = None,
    discovery: DiscoveryFaults | None = None,
    port: int | None = None,
    **known_as: Any,
) -> Iterator[Hospital]:
    """``discovery`` is what is wrong with the EHR's discovery, ``known_as`` how the app is told of the EHR."""
    with ExitStack() as stack:
        port = port or free_port_number()
        base_url = f"http://127.0.0.1:{port}"
        settings = SandboxSettings(
            base_url=base_url,
            state_dir=tmp_path / "ehr",
            app_url=APP,
            cds_services_url=f"{APP}/cds-services",
            associated_endpoints=(f"{APP}/imaging/sandbox",),
            clients=(client,),
            discovery_faults=discovery or DiscoveryFaults(),
        )
        sandbox = create_ehr(settings)
        stack.enter_context(serving(sandbox, port))
        services: SandboxServices = sandbox.extensions["ehr_sandbox"]
        for resource in (USER, patient_a(), wado_endpoint(), imaging_study(), report_on()):
            services.store.put(resource)
        ehr = EhrSettings(**{"name": "sandbox", "fhir_base": settings.fhir_base, "client_id": client.client_id, **known_as})
        app = make_app(tmp_path, (ehr,), Clock(), **(app_settings or {}))
        stack.callback(app.services.store.close)
        stack.callback(app.services.outbound.close)
        yield Hospital(services, app, Clinician(app))


PUBLIC = RegisteredClient(
    client_id="imaging-cds", name="Imaging", redirect_uris=(f"{APP}/callback",), launch_urls=(f"{APP}/launch",)
)
