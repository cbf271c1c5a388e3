"""What the parts of the sandbox EHR share, made once per application."""

from dataclasses import dataclass

from flask import Flask, current_app

from ehr_sandbox.authorization import Authorization
from ehr_sandbox.fhir_store import FhirRecords, FhirStore
from ehr_sandbox.oauth_client_keys import ClientKeys
from ehr_sandbox.settings import SandboxSettings

_EXTENSION = "ehr_sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxServices:
    """Settings, records and authorization of one sandbox EHR."""

    settings: SandboxSettings
    store: FhirRecords
    authorization: Authorization
    client_keys: ClientKeys


def make_services(settings: SandboxSettings) -> SandboxServices:
    """Open or create everything that the settings name; the command line uses this too."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return SandboxServices(
        settings=settings,
        store=FhirStore(settings.state_dir / "fhir.sqlite3", settings.fhir_base),
        authorization=Authorization(settings),
        client_keys=ClientKeys(),
    )


def attach(app: Flask, services: SandboxServices) -> None:
    """Keep the services on the application."""
    app.extensions[_EXTENSION] = services


def sandbox() -> SandboxServices:
    """The services of the application that answers the current request."""
    services = current_app.extensions[_EXTENSION]
    if not isinstance(services, SandboxServices):
        raise TypeError("this Flask application is not a sandbox EHR")
    return services
