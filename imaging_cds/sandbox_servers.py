"""The sandbox EHR and PACS as servers of their own, configured from the demo's options.

The archive's image libraries are an optional extra and slow to load, so they are loaded by the server that needs them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ehr_sandbox.settings import SandboxSettings, demo_settings
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.server import ServerSettings, serve

if TYPE_CHECKING:
    from ehr_sandbox.pacs import PacsSettings


def ehr_settings(options: DemoOptions) -> SandboxSettings:
    """The sandbox EHR of this demo."""
    settings = demo_settings(
        base_url=options.ehr_url,
        app_url=options.app_url,
        state_dir=(options.directory / "ehr").absolute(),
        upstream_fhir=options.fhir_url,
        open_fhir=options.open_fhir,
        cors_origins=options.cds_client_origins,
    )
    return replace(settings, time_zone=options.time_zone)


def pacs_settings(options: DemoOptions) -> PacsSettings:
    """The sandbox PACS of this demo: it has what was stored there by STOW-RS, as any archive."""
    from ehr_sandbox.pacs import PacsSettings

    return PacsSettings(base_url=options.dicomweb_root, data_dir=options.pacs_dir.absolute())


# One process each: they are doubles for tests and demos, and SQLite files are their only state.
def serve_ehr(options: DemoOptions) -> None:
    """Serves the sandbox EHR until it is stopped."""
    from ehr_sandbox.ehr import create_ehr

    settings = ehr_settings(options)
    serve(lambda: create_ehr(settings), ServerSettings(host="127.0.0.1", port=options.ehr_port, workers=1))


def serve_pacs(options: DemoOptions) -> None:
    """Serves the sandbox PACS until it is stopped."""
    from ehr_sandbox.pacs import create_pacs

    settings = pacs_settings(options)
    serve(lambda: create_pacs(settings), ServerSettings(host="127.0.0.1", port=options.pacs_port, workers=1))
