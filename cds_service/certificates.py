"""Who calls, by the TLS client certificate that a trusted proxy verified: an alternative to the JWT, off unless configured.

Spec: CDS Hooks 2.0 R39 (mutual TLS); RFC 9440 ``Client-Cert``. The proxy must remove the header from what callers send. It may
write the SHA-256 fingerprint, the subject, or the certificate itself (RFC 9440, or PEM with percent signs as nginx has it).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from cds_service.settings import CdsSettings, TrustedCdsClient

_PEM = "-----BEGIN CERTIFICATE-----"
_FINGERPRINT_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedCertificate:
    """A header's claim about a client certificate, and the address of the connection that it came by."""

    value: str
    peer: str
    """The connection's own other end, never an address that a header claims; empty where it has none."""


class CertificateClients:
    """Finds the trusted client behind a proxy's header."""

    def __init__(self, settings: CdsSettings) -> None:
        self.header = settings.certificate_header
        self._proxies = tuple(ipaddress.ip_network(network) for network in settings.certificate_proxies)
        self._by_name = {plain(name): client for client in settings.trusted_clients for name in client.certificates}

    def client(self, stated: StatedCertificate) -> TrustedCdsClient | None:
        """The client whose certificate a trusted proxy names; None when anybody else says so, or nobody is known by it."""
        if not self.header or not self._is_proxy(stated.peer):
            return None
        found = {client.iss: client for name in names_in(stated.value) if (client := self._by_name.get(name))}
        return next(iter(found.values())) if len(found) == 1 else None

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._proxies)


def plain(name: str) -> str:
    """A fingerprint without colons, spaces and capitals; any other name (a subject) as it is."""
    digits = name.replace(":", "").replace(" ", "").lower()
    is_fingerprint = len(digits) == _FINGERPRINT_DIGITS and all(mark in "0123456789abcdef" for mark in digits)
    return digits if is_fingerprint else name.strip()


def names_in(stated: str) -> frozenset[str]:
    """The names by which a header's value can be known: itself, or fingerprint and subject of the certificate in it."""
    encoded = _encoded_certificate(stated.strip())
    if encoded is None:
        return frozenset({plain(stated)})
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True))
        return frozenset({certificate.fingerprint(SHA256()).hex(), certificate.subject.rfc4514_string()})
    except (ValueError, binascii.Error):
        return frozenset()


def _encoded_certificate(stated: str) -> str | None:
    if stated.startswith(":") and stated.endswith(":"):
        return stated.strip(":")
    pem = unquote(stated)
    if not pem.startswith(_PEM):
        return None
    # Some proxies fold the lines into one with tabs or spaces.
    return "".join(pem.removeprefix(_PEM).partition("-----END")[0].split())
