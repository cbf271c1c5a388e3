"""Signs for the imaging server's own client at an EHR, with the keys that this installation publishes.

Spec: SMART App Launch 2.2 "Client authentication: asymmetric" and "Backend Services".
"""

from __future__ import annotations

import time

from fhir_imaging.client_assertions import assertion_algorithm
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.backend_client import SignAssertion
from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings
from imaging_cds.settings import ApplicationSettings


def signer_of(settings: ApplicationSettings) -> SignAssertion:
    """The signer of one installation; its keys are made where there are none yet."""
    keys = ClientKeys.of(settings.state.state_dir)
    usual = settings.smart_app.assertion_algorithm

    def sign(ehr: EhrSettings, metadata: SmartMetadata | None, token_url: str) -> str:
        algorithm = assertion_algorithm(ehr, metadata, usual)
        return keys.assertion(algorithm, client_id=ehr.backend_client_id or "", audience=token_url, now=int(time.time()))

    return sign
