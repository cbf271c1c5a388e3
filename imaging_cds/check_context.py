"""What a check of one EHR is made with: its issuer, what this installation says of it, and a way to ask."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_imaging.settings import EhrSettings, is_loopback, origin_of
from imaging_cds.check_probe import Prober
from imaging_cds.check_site import ImagingSite
from smart_app.token_origins import configured_origins


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """One check. ``token`` is sent to nobody but the receivers that a launch would allow."""

    issuer: str
    ehr: EhrSettings
    is_configured: bool
    """Whether ``ehr`` is what the site wrote down; else the defaults, so that something can be compared."""
    app_origin: str
    prober: Prober
    app_base: str | None = None
    """public_base_url of the app, where it has a path; None = the origin."""
    assertion_algorithm: str = "ES384"
    allow_http: bool = False
    token: str | None = field(default=None, repr=False)
    patient: str | None = None
    site: ImagingSite | None = None
    """The imaging server of this installation as far as it serves this EHR; None where it does not."""

    @property
    def redirect_uri(self) -> str:
        """Where this installation has sign-ins answered."""
        return f"{self.app_base or self.app_origin}/callback"

    @property
    def base(self) -> str:
        """The issuer without final slash, to which paths are added."""
        return self.issuer.rstrip("/")

    def is_of_ehr(self, url: str) -> bool:
        """Whether this installation would open a connection there for this EHR."""
        return origin_of(url) in configured_origins(self.ehr) | {origin_of(self.issuer)}

    def is_plain(self, url: str) -> bool:
        """Whether it is http beyond this machine, which nobody allowed."""
        return url.startswith("http://") and not is_loopback(url) and not self.allow_http
