"""Which servers belong to one EHR by the site's word; whatever else an EHR names itself is not asked on its behalf.

Spec: SMART Imaging Access groups 24 and 25; RFC 9700 §4.4 (mix-up).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fhir_imaging.settings import EhrSettings, origin_of


def servers_of(ehr: EhrSettings) -> tuple[str, ...]:
    """Addresses where the EHR's data is read and its tokens are got and checked."""
    named = (ehr.fhir_base, ehr.imaging_base, ehr.jwks_url, ehr.introspection_url, ehr.backend_token_url)
    return (*(url for url in named if url), *ehr.server_origins)


def origins_of(ehr: EhrSettings) -> frozenset[str]:
    """The origins of these servers."""
    return frozenset(map(origin_of, servers_of(ehr)))


def certificate_authorities(ehrs: Iterable[EhrSettings]) -> dict[str, Path]:
    """By origin, the file with the further certificate authority that counts there."""
    found: dict[str, Path] = {}
    for ehr in ehrs:
        if ehr.certificate_authority is not None:
            named = (*servers_of(ehr), *ehr.token_origins)
            found |= {origin_of(url): ehr.certificate_authority for url in named}
    return found
