"""By whom each EHR's tokens are checked, and whether a checked token is this EHR's where several EHRs' are checked there.

A patient's id counts at one EHR only. Introspection need not say whose a token is (RFC 7662 has ``iss`` and ``aud`` optional),
and an issuer may serve many FHIR servers; so where another EHR's tokens are checked in the same way, the token itself must say
whose it is, or it is nobody's. EHRs of one FHIR base have the same patients, and need not be told apart.

Spec: SMART Imaging Access A2, F5, groups 5, 6 and 8; RFC 7662 §2.2, §4; RFC 8725 §3.8, §3.9; DESIGN §8.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from fhir_imaging.clients.http import OutboundSession, check_origin
from fhir_imaging.clients.jwks import JwksClient
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.ehr_servers import origins_of
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import EhrSettings, origin_of
from imaging_server.claims import VerifiedClaims, issuer_excludes, tells_audience
from imaging_server.introspection import IntrospectionClient
from imaging_server.settings import ImagingServerSettings


@dataclass(frozen=True, slots=True)
class Means:
    """How one EHR's tokens are checked: one of the two is set, or none where nobody can check them."""

    issuer: str
    introspection: IntrospectionClient | None = None
    keys: JwksClient | None = None

    @property
    def place(self) -> str | None:
        """The address that is asked."""
        client = self.introspection or self.keys
        return client.url if client else None


OfferedBy = Callable[[EhrSettings], SmartMetadata | None]
"""The SMART configuration of an EHR; None where it cannot be read."""


class TokenAuthorities:
    """The means of all configured EHRs. Thread-safe."""

    def __init__(
        self,
        settings: ImagingServerSettings,
        ehrs: Iterable[EhrSettings],
        session: OutboundSession,
        metadata: SmartMetadataClient,
    ) -> None:
        self._settings = settings
        self._ehrs = tuple(ehrs)
        self._session = session
        self._metadata = metadata
        self._lock = threading.Lock()
        self._jwks: dict[str, JwksClient] = {}
        self._introspecting: dict[tuple[str, ...], IntrospectionClient] = {}

    def of(self, ehr: EhrSettings) -> Means:
        """What the settings name, else what the EHR's SMART configuration offers on its own origins.

        UpstreamError when that cannot be read, UpstreamRefused when it is another's server.

        Introspection goes first where it has our client: it alone sees a revocation, also where the settings name keys too.
        """
        credential = _credential(ehr)
        if credential and (place := introspection_of(ehr, None)):
            return self._introspection(ehr.expected_token_issuer, place, credential)
        if ehr.jwks_url and not credential:
            return self._keys(ehr.expected_token_issuer, ehr.jwks_url)
        offered = self._offered(ehr) if ehr.jwks_url else self._metadata.of(ehr.fhir_base)
        issuer = _issuer_of(ehr, offered)
        if credential and (place := introspection_of(ehr, offered)):
            check_origin(place, origins_of(ehr))
            return self._introspection(issuer, place, credential)
        keys = ehr.jwks_url or (offered.jwks_uri if offered else None)
        if keys is None:
            return Means(issuer)
        check_origin(keys, origins_of(ehr))
        return self._keys(issuer, keys)

    def could_be_of(self, claims: VerifiedClaims, ehr: EhrSettings, means: Means) -> EhrSettings | None:
        """Another EHR whose token the same could be, by all that ``means`` said of it; None where it is this EHR's own.

        UpstreamError when another EHR, whose settings let its tokens be checked there too, cannot say whether they are.
        """
        own = self._settings.audiences_of(ehr)
        for other in self._ehrs:
            if other.fhir_base == ehr.fhir_base or tells_audience(claims, own, self._settings.audiences_of(other)):
                continue
            issuer = self._issuer_beside(means, other)
            if issuer is not None and not issuer_excludes(claims, issuer):
                return other
        return None

    def _issuer_beside(self, means: Means, other: EhrSettings) -> str | None:
        """The issuer of another EHR's tokens, where they can be checked by the same means; None where they cannot."""
        if other.expected_token_issuer == means.issuer or _is_one_of(means.place, other.introspection_url, other.jwks_url):
            return other.expected_token_issuer
        if other.introspection_url or not _may_be_at(means.place, other):
            return None
        offered = self._offered(other)
        if offered is None or not _is_one_of(means.place, *_places(offered)):
            return None
        return _issuer_of(other, offered)

    def _offered(self, ehr: EhrSettings) -> SmartMetadata | None:
        """An EHR's SMART configuration; None where it has none, which is not the same as one that does not answer."""
        try:
            return self._metadata.of(ehr.fhir_base)
        except UpstreamError as fault:
            if fault.retryable:
                raise
            return None

    def _introspection(self, issuer: str, url: str, credential: tuple[str, str]) -> Means:
        client = self._introspecting.get((url, *credential))
        if client is None:
            client = IntrospectionClient(url, self._session, client_id=credential[0], client_secret=credential[1])
            self._introspecting[(url, *credential)] = client  # holds nothing, so that two of them do no harm
        return Means(issuer, introspection=client)

    def _keys(self, issuer: str, url: str) -> Means:
        client = self._jwks.get(url)
        if client is None:
            with self._lock:
                client = self._jwks.setdefault(url, JwksClient(url, self._session))
        return Means(issuer, keys=client)


def introspection_of(ehr: EhrSettings, offered: SmartMetadata | None) -> str | None:
    """Where an EHR's tokens are introspected, by its settings or what it ``offered``; None where their signature counts."""
    if _credential(ehr) is None:
        return None
    return ehr.introspection_url or (offered.introspection_endpoint if offered else None)


def share_an_authority(ehr: EhrSettings, offered: SmartMetadata | None, other: EhrSettings, offered_by: OfferedBy) -> bool:
    """Whether two EHRs' tokens are checked in the same way: by the settings, or by what ``ehr`` or the other one offers.

    ``offered_by`` is asked only where the other's settings let its tokens be checked there.
    """
    if other.fhir_base == ehr.fhir_base:
        return False
    named = (ehr.introspection_url, ehr.jwks_url, *_places(offered))
    if any(_is_one_of(place, other.introspection_url, other.jwks_url) for place in named):
        return True
    if other.expected_token_issuer in (_issuer_of(ehr, offered), ehr.expected_token_issuer):
        return True
    if other.introspection_url or not any(_may_be_at(place, other) for place in named):
        return False
    others = _places(offered_by(other))
    return any(_is_one_of(place, *others) for place in named)


def _places(offered: SmartMetadata | None) -> tuple[str | None, ...]:
    return (offered.introspection_endpoint, offered.jwks_uri) if offered else ()


def _is_one_of(place: str | None, *named: str | None) -> bool:
    """Whether an address is one of those that are named, however they are spelt."""
    return place is not None and _spelt(place) in {_spelt(one) for one in named if one}


def _spelt(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url)
    return origin_of(url), parts.path.rstrip("/"), parts.query


def _may_be_at(place: str | None, ehr: EhrSettings) -> bool:
    """Whether the settings of an EHR let its tokens be checked there at all."""
    return place is not None and origin_of(place) in origins_of(ehr)


def _issuer_of(ehr: EhrSettings, offered: SmartMetadata | None) -> str:
    """What the settings say, who name keys and no issuer of theirs mean the FHIR base; else what the EHR says of itself."""
    stated = None if ehr.token_issuer or ehr.jwks_url or offered is None else offered.issuer
    return stated or ehr.expected_token_issuer


def _credential(ehr: EhrSettings) -> tuple[str, str] | None:
    if ehr.introspection_client_id and ehr.introspection_client_secret:
        return ehr.introspection_client_id, ehr.introspection_client_secret
    return None
