"""What the SMART app is told: its public address and how long launches and sessions live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fhir_imaging import texts
from fhir_imaging.settings import origin_of

TRANSLATIONS = Path(__file__).parent / "translations"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartAppSettings:
    """The SMART app of one installation. ``public_base_url`` is where browsers reach it, without trailing slash."""

    public_base_url: str
    """Where browsers reach the app, without final slash; its launch URL and redirect URI are below it."""
    viewer_dir: Path | None = None
    """The installed OHIF files; None = the study list works and the viewer page says that no viewer is installed."""
    prepare_viewer: bool = True
    """While the study list is read, make the likeliest study's viewer ready in the background: its files run and the study is
    described, no image is fetched. Not done on phones, with data saving on, or on a low battery."""
    pending_lifetime_s: int = 900
    """How long a user may take between launch and callback: signing in with a second factor takes minutes."""
    session_lifetime_s: int = 12 * 3600
    """The longest that a session lives, whatever the EHR's refresh tokens allow."""
    assumed_token_lifetime_s: int = 300
    """Life of an access token whose response has no ``expires_in`` (A27)."""
    id_token_leeway_s: int = 60
    """Clock skew accepted between an EHR's id_token and this machine (A34)."""
    busy_retries: int = 2
    """How often a request that a server answered with 503 or 429 is sent again."""
    busy_wait_s: float = 5.0
    """The longest wait before such a retry; a longer ``Retry-After`` is shown to the user instead."""
    assertion_algorithm: str = "ES384"
    """Signature of ``private_key_jwt`` client assertions: ES384 or RS384 (A24)."""

    language: str = "en"
    """Language of the pages: ``en``, or one that stands below ``smart_app/translations``."""

    def __post_init__(self) -> None:
        """ValueError for an address or algorithm that cannot work."""
        origin_of(self.public_base_url)
        if self.public_base_url.endswith("/"):
            raise ValueError("public_base_url must not end with a slash")
        texts.catalogue(self.language, TRANSLATIONS)
        if self.assertion_algorithm not in ("ES384", "RS384"):
            raise ValueError("assertion_algorithm must be ES384 or RS384")

    @property
    def origin(self) -> str:
        """The app's own browser origin, which is also the imaging server's."""
        return origin_of(self.public_base_url)

    @property
    def redirect_uri(self) -> str:
        """The one redirect URI to register, byte for byte (A7)."""
        return f"{self.public_base_url}/callback"

    @property
    def launch_url(self) -> str:
        """The launch URL to register."""
        return f"{self.public_base_url}/launch"

    @property
    def jwks_url(self) -> str:
        """Where our public keys are, for EHRs that authenticate the app by ``private_key_jwt``."""
        return f"{self.public_base_url}/.well-known/jwks.json"
