"""What an EHR adds to its SMART configuration so that apps find the imaging FHIR endpoint.

Spec: SMART Imaging Access D1, D2, D4; SMART App Launch 2.2 (``associated_endpoints``, experimental).
"""

from __future__ import annotations

from typing import Any

from imaging_cds.settings import ApplicationSettings, Component

CAPABILITIES = ("smart-imaging-access", "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch")
"""Backend Services are not offered, so their URI is not listed (D3, D4)."""


def fragments(settings: ApplicationSettings) -> dict[str, dict[str, Any]]:
    """By EHR name, the members for its ``.well-known/smart-configuration``; empty where no imaging server runs here."""
    if Component.IMAGING_SERVER not in settings.components:
        return {}
    return {ehr.name: _fragment(settings.imaging_server.fhir_base_of(ehr.name)) for ehr in settings.ehr}


def _fragment(url: str) -> dict[str, Any]:
    return {"associated_endpoints": [{"url": url, "capabilities": list(CAPABILITIES)}]}
