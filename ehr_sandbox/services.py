"""What the parts of the sandbox EHR share, made once per application."""

from dataclasses import dataclass

from flask import Flask, current_app

from ehr_sandbox.authorization import Authorization
from ehr_sandbox.fhir_pages import SearchPages
from ehr_sandbox.fhir_store import FhirRecords, FhirStore
from ehr_sandbox.fhir_upstream import UpstreamBackend
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
        store=_records(settings),
        authorization=Authorization(settings),
        client_keys=ClientKeys(),
    )


def _records(settings: SandboxSettings) -> FhirRecords:
    if settings.upstream_fhir is None:
        return FhirStore(settings.state_dir / "fhir.sqlite3", settings.fhir_base)
    pages = SearchPages(settings.state_dir / "fhir-pages.sqlite3")
    return FhirRecords(UpstreamBackend(settings.upstream_fhir, settings.fhir_base, pages))


def attach(app: Flask, services: SandboxServices) -> None:
    """Keep the services on the application."""
    app.extensions[_EXTENSION] = services


def sandbox() -> SandboxServices:
    """The services of the application that answers the current request."""
    services = current_app.extensions[_EXTENSION]
    if not isinstance(services, SandboxServices):
        raise TypeError("this Flask application is not a sandbox EHR")
    return services
