"""Which servers may be asked at all, and which may receive one EHR's token.

Spec: SMART App Launch 2.2 A33, A37; SMART Imaging Access C3 and security groups 24, 25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from ipaddress import ip_address
from urllib.parse import urlsplit

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings, is_loopback, origin_of


def outbound_origins(ehrs: Iterable[EhrSettings], own_origin: str) -> frozenset[str]:
    """Every origin that somebody configured: the only ones that this process opens connections to for the app."""
    return frozenset({own_origin}.union(*map(configured_origins, ehrs)))


def configured_origins(ehr: EhrSettings) -> frozenset[str]:
    """The EHR's own origins by the site's word: FHIR base, sign-in and key servers, imaging base, token receivers."""
    addresses = [ehr.fhir_base, *ehr.server_origins, *ehr.token_origins]
    if ehr.imaging_base:
        addresses.append(ehr.imaging_base)
    return frozenset(map(origin_of, addresses))


def associated_origins(ehr: EhrSettings, metadata: SmartMetadata) -> frozenset[str]:
    """Origins that the EHR itself says share its authorization, as far as they may be believed.

    A secure EHR cannot name an insecure server, nor a public one this machine or a private address: those are configured
    or refused.
    """
    return frozenset(
        origin_of(one.url) for one in metadata.associated_endpoints if _is_believable(one.url, beside=ehr.fhir_base)
    )


def token_receivers(ehr: EhrSettings, metadata: SmartMetadata, own_origin: str) -> frozenset[str]:
    """Origins that may receive this EHR's token: its own, associated ones, configured ones, and our imaging server."""
    return frozenset({own_origin}) | configured_origins(ehr) | associated_origins(ehr, metadata)


def _is_believable(url: str, *, beside: str) -> bool:
    try:
        origin_of(url)
    except ValueError:
        return False
    parts = urlsplit(url)
    if "@" in parts.netloc or "\\" in url:
        return False
    near = _nearness(url)
    if near is Nearness.NEVER or (near is not Nearness.INTERNET and near is not _nearness(beside)):
        return False
    return parts.scheme == "https" or (near is not Nearness.INTERNET and urlsplit(beside).scheme == "http")


_PLAIN_NAME = re.compile(r"(?:[a-z0-9_-]+\.)*(?!0x[0-9a-f]*$)[a-z0-9_-]*[a-z][a-z0-9_-]*", re.ASCII)
"""A host that all take for a name: one number, 0x7f.1 and full-width digits are addresses to browsers and resolvers."""


class Nearness(Enum):
    """From where an address as written can be reached."""

    MACHINE = "this machine"
    INSIDE = "a network that the internet does not route to"
    INTERNET = "anywhere"
    NEVER = "addresses that no server of an EHR has, such as those of a cloud's own metadata"


def _nearness(url: str) -> Nearness:
    host = (urlsplit(url).hostname or "").removesuffix(".")
    try:
        address = ip_address(host)
    except ValueError:
        if not _PLAIN_NAME.fullmatch(host):
            return Nearness.NEVER
        return Nearness.MACHINE if is_loopback(f"//{host}") or host.endswith(".localhost") else Nearness.INTERNET
    if address.is_loopback:
        return Nearness.MACHINE
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return Nearness.NEVER
    return Nearness.INTERNET if address.is_global else Nearness.INSIDE
