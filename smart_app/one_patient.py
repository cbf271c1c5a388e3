"""A session is about one patient: which FHIR bases its token opens, so that no second name for the patient slips in.

Spec: SMART App Launch 2.2 ``authorization_details`` (A32, experimental), RFC 9396.
"""

from __future__ import annotations

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings


def record_bases(ehr: EhrSettings, metadata: SmartMetadata, iss: str) -> frozenset[str]:
    """The EHR's base and every imaging base that may be asked with its token, without final slashes.

    A grant that names the patient otherwise at one of them would show two people under one name.
    """
    named = (iss, ehr.fhir_base, ehr.imaging_base or "", *(one.url for one in metadata.associated_endpoints))
    return frozenset(url.rstrip("/") for url in named if url)
