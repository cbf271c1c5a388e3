"""What a site says about its CDS Hooks service: who may call, from where data may be fetched, and within which time."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_imaging.settings import origin_of

# PyJWT names. Symmetric algorithms and "none" can never be configured (CDS Hooks R36).
ASYMMETRIC_ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512")
DEFAULT_ALGORITHMS = ("ES384", "RS384")

STUDY_COMPLETE_HOOK = "org.imaging-cds.imaging-study-complete"
ANY_ORIGIN = "*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_REVERSE_DOMAIN = re.compile(rf"[A-Za-z]{{2,63}}(?:\.{_LABEL}){{2,}}", re.ASCII)
_MAX_HOOK_NAME = 128
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)


class CdsHooksVersion(StrEnum):
    """Which release's discovery is served. Everything else is written so that clients of both can read it."""

    V2 = "2.0"
    V3 = "3.0"


class ClientAuthentication(StrEnum):
    """Whether callers must prove themselves. ``off`` only by saying so."""

    REQUIRED = "required"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCdsClient:
    """One EHR (or test client) that may call. Its keys come from one of ``jwks_url``, ``jwks_file`` or an allowed ``jku``.

    A client that proves itself by a TLS certificate alone (``certificates``) needs no keys.
    """

    iss: str
    """The ``iss`` claim of its JWTs, byte for byte."""
    jwks_url: str | None = None
    """Where the client publishes its keys."""
    jwks_file: Path | None = None
    """A JWKS (or one JWK) exchanged out of band; read again when the file changes."""
    jku_prefixes: tuple[str, ...] = ()
    """Addresses below which a JWT's own ``jku`` is believed; whole path segments."""
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    """Signature algorithms that are believed; never symmetric ones, never none (R36)."""
    tenants: tuple[str, ...] = ()
    """Accepted ``tenant`` claims; empty = not looked at."""
    fhir_servers: tuple[str, ...] = ()
    """``fhirServer`` values from which missing data may be fetched with the token that comes with the request."""
    cors_origins: tuple[str, ...] = ()
    """Browser origins of this client, where it is a page; `*` = any, since no answer depends on cookies."""
    certificates: tuple[str, ...] = ()
    """TLS client certificates in place of a JWT: SHA-256 fingerprints (hex) or whole subjects as the proxy writes them."""

    def __post_init__(self) -> None:
        """ValueError for a client that could never be recognised."""
        if not self.iss:
            raise ValueError("a trusted client needs its iss")
        if not (self.jwks_url or self.jwks_file or self.jku_prefixes or self.certificates):
            raise ValueError(f"{self.iss}: one of jwks_url, jwks_file, jku_prefixes, certificates must be given")
        if not all(name.strip() for name in self.certificates):
            raise ValueError(f"{self.iss}: certificates must not hold an empty name")
        unknown = sorted(set(self.algorithms) - set(ASYMMETRIC_ALGORITHMS))
        if unknown or not self.algorithms:
            raise ValueError(f"{self.iss}: algorithms must be some of {', '.join(ASYMMETRIC_ALGORITHMS)}")
        origins = (one for one in self.cors_origins if one != ANY_ORIGIN)
        for url in (*self.fhir_servers, *origins, *self.jku_prefixes, *([self.jwks_url] if self.jwks_url else [])):
            origin_of(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsSettings:
    """The CDS Hooks service of one installation. ``public_base_url`` is its address as callers see it, without final slash."""

    public_base_url: str
    """Where callers reach the service, without final slash; the JWT's ``aud`` must be below it."""
    trusted_clients: tuple[TrustedCdsClient, ...] = ()
    client_authentication: ClientAuthentication = ClientAuthentication.REQUIRED
    """Whether callers must prove themselves by a JWT; ``off`` lets anyone call."""
    specification: CdsHooksVersion = CdsHooksVersion.V2
    """CDS Hooks release of the discovery; ``3.0`` adds ``version`` and ``hookVersion`` to each service."""
    study_complete_hook: str = STUDY_COMPLETE_HOOK
    """Hook of the service ``imaging-study-complete``, which is no standard one: a name in reverse domain form."""
    certificate_header: str | None = None
    """Header in which a TLS-ending proxy names the client certificate that it verified; None = nobody's certificate counts."""
    certificate_proxies: tuple[str, ...] = ()
    """Addresses or networks of those proxies: from anybody else the header is not believed."""
    accepted_audience_bases: tuple[str, ...] = ()
    """Further base addresses under which callers know this service (a proxy's), for the JWT's ``aud``."""
    time_zone: str = "UTC"
    """Time zone of the site (IANA name, such as `Asia/Tokyo`): which day "today" is, and on which day a result or study was."""
    app_base_url: str | None = None
    """Where the SMART app is, when it runs elsewhere than ``public_base_url``; must be given where it is no component here."""
    soft_budget_ms: int = 300
    """How long optional data may take; then it is left out and the card says so."""
    hard_budget_ms: int = 4000
    """How long required data may take; then the answer is 412."""
    max_pages: int = 10
    """Pages of one search that are followed; what is beyond counts as missing and is named."""
    max_cards: int = 10
    """The most cards of one answer; the last of them says how many less urgent ones are not shown."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Prefetch of a long history is several MB; larger requests are refused with 413."""
    token_leeway_s: int = 60
    """Clock skew accepted between a calling EHR and this service."""
    max_token_lifetime_s: int = 3600
    """The longest ``exp`` - ``iat`` of a client JWT that is believed; bounds the memory of used ids."""
    validate_responses: bool = True
    """Check each answer by the rules that the tests use, before it leaves."""
    feedback_retention_days: int = 730
    """How long issued cards and the feedback on them are kept; then they are removed."""

    def __post_init__(self) -> None:
        """ValueError for addresses and numbers that cannot work."""
        for url in (self.public_base_url, *self.accepted_audience_bases, *([self.app_base_url] if self.app_base_url else [])):
            origin_of(url)
            if url.endswith("/"):
                raise ValueError(f"{url} must not end with a slash")
        _ = self.zone  # refuses a name that no zone has
        self._check_certificates()
        if len(self.study_complete_hook) > _MAX_HOOK_NAME or not _REVERSE_DOMAIN.fullmatch(self.study_complete_hook):
            raise ValueError("study_complete_hook must be a name in reverse domain form, such as org.example.study-complete")
        issuers = [client.iss for client in self.trusted_clients]
        if len(set(issuers)) != len(issuers):
            raise ValueError("two trusted clients have the same iss")
        if not 0 < self.soft_budget_ms <= self.hard_budget_ms:
            raise ValueError("soft_budget_ms must be positive and not above hard_budget_ms")
        limits = (self.max_pages, self.max_cards, self.max_body_bytes, self.max_token_lifetime_s, self.feedback_retention_days)
        if min(limits) < 1 or self.token_leeway_s < 0:
            raise ValueError("limits must be positive")

    def _check_certificates(self) -> None:
        for network in self.certificate_proxies:
            ipaddress.ip_network(network)
        if (self.certificate_header is None) != (not self.certificate_proxies):
            raise ValueError("certificate_header and certificate_proxies are given together or not at all")
        if self.certificate_header is not None and not _HEADER_NAME.fullmatch(self.certificate_header):
            raise ValueError("certificate_header must be the name of an HTTP header")
        named = [client.certificates for client in self.trusted_clients]
        if any(named) and self.certificate_header is None:
            raise ValueError("a trusted client has certificates, but no certificate_header is set")
        flat = [certificate for certificates in named for certificate in certificates]
        if len(set(flat)) != len(flat):
            raise ValueError("one certificate names two trusted clients")

    @property
    def zone(self) -> tzinfo:
        """The site's time zone. ValueError for a name that the time zone database does not have."""
        if self.time_zone == "UTC":
            return UTC  # needs no database
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"time_zone: {self.time_zone!r} is no IANA time zone, such as Europe/Berlin") from error

    @property
    def app_url(self) -> str:
        """Base address of the SMART app."""
        return self.app_base_url or self.public_base_url

    @property
    def audience_bases(self) -> tuple[str, ...]:
        """Base addresses that a JWT's ``aud`` may start with."""
        return (self.public_base_url, *self.accepted_audience_bases)

    @property
    def cors_origins(self) -> frozenset[str]:
        """Browser origins that may read answers; ``*`` among them = any."""
        stated = (origin for client in self.trusted_clients for origin in client.cors_origins)
        return frozenset(origin if origin == ANY_ORIGIN else origin_of(origin) for origin in stated)
