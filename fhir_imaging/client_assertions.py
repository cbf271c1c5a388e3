"""What a client assertion of ours is: how long it lives, and which of our keys' algorithms signs it at an EHR.

Spec: SMART App Launch 2.2 "Asymmetric client authentication" (A24), RFC 7523 §2.2.
"""

from __future__ import annotations

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import AssertionAlgorithm, EhrSettings

ASSERTION_LIFETIME_S = 240
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def assertion_algorithm(ehr: EhrSettings, metadata: SmartMetadata | None, usual: str) -> str:
    """What signs our assertions at this EHR: the site's word, else the usual one unless the EHR lists only the other.

    ``metadata`` is None where the EHR says nothing.
    """
    if ehr.assertion_algorithm is not None:
        return ehr.assertion_algorithm.value
    listed = set(metadata.token_signing_algorithms if metadata else ()) & {one.value for one in AssertionAlgorithm}
    return usual if not listed or usual in listed else min(listed)
