"""Whom the demo trusts beside its own sandbox: a launcher or EHR that may launch the app, a CDS client that may call."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_imaging.settings import origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """A SMART launcher or EHR that may launch the app: ``--trust-issuer URL[=client_id]``."""

    url: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCdsClient:
    """A CDS client that may call: ``--trust-cds-client ISS=JWKS_URL_OR_FILE``."""

    issuer: str
    keys: str

    @property
    def keys_are_a_file(self) -> bool:
        """Whether ``keys`` names a file of pinned keys instead of a URL."""
        return not self.keys.startswith(("http://", "https://"))

    @property
    def origin(self) -> str | None:
        """The browser origin that the issuer names; None where it is no address."""
        try:
            return origin_of(self.issuer)
        except ValueError:
            return None
