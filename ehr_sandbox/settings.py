"""What a sandbox EHR is configured with: its addresses, its registered clients and its state directory."""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ehr_sandbox.faults import DiscoveryFaults
from ehr_sandbox.faults import Faults as Faults

TokenEndpointAuthMethod = Literal["none", "client_secret_basic", "private_key_jwt"]

MAX_ACCESS_TOKEN_LIFETIME_S = 3600
"""SMART asks for short-lived tokens; one hour is the longest that this server will issue (S5)."""

LARGEST_CROWD = 5000
"""Of studies that one patient is given on request; a mistyped number should not fill the disk."""
SYNC_CLIENT = "imaging-cds-sync"
"""Brings the archive's studies into the record: a service of its own, which no user starts."""
SYNC_SCOPES = (
    "system/Patient.rs",
    "system/ServiceRequest.rs",
    "system/ImagingStudy.crus",
    "system/Endpoint.crus",
    "system/Device.crus",
    "system/Observation.crus",
    "system/DiagnosticReport.crus",
)
"""All that it may have: it finds people and orders, and writes what the archive tells. It deletes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """One application registered at the authorization server, or a resource server that may introspect."""

    client_id: str
    name: str
    auth_method: TokenEndpointAuthMethod = "none"
    redirect_uris: tuple[str, ...] = ()
    launch_urls: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("*",)
    """Scopes that the client may be granted; `*` means all that the server supports."""
    jwks_url: str | None = None
    """Where a `private_key_jwt` client serves its public keys."""
    jwks: dict[str, object] | None = None
    """The public keys of a `private_key_jwt` client, registered inline instead of by URL."""
    may_introspect: bool = False
    ask_consent: bool = False
    """Show the consent page even in an EHR launch of a known user."""
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Everything that one sandbox EHR is told. `base_url` has no trailing slash."""

    base_url: str
    state_dir: Path
    app_url: str
    cds_services_url: str
    associated_endpoints: tuple[str, ...] = ()
    """FHIR bases (imaging servers) that accept the tokens of this server; they also stand in `aud`."""
    clients: tuple[RegisteredClient, ...] = ()
    cors_origins: tuple[str, ...] = ()
    """Browser origins besides those of the registered redirect URIs, e.g. of a CDS Hooks client."""
    upstream_fhir: str | None = None
    """Base of a real FHIR R4 server that stores in place of SQLite; this server still enforces in front."""
    open_fhir: bool = False
    """Answer FHIR requests that carry no token; only allowed when `base_url` is a loopback address."""
    serves_imaging: bool = True
    """Whether `smart-imaging-access` stands in the capabilities of this server itself."""
    default_user: str = "Practitioner/demo-gp"
    time_zone: str = "UTC"
    """Zone of the practice by its IANA name (`Europe/Berlin`): its clock tells the chart's today and its appointments."""
    access_token_lifetime_s: int = 300
    code_lifetime_s: int = 60
    launch_lifetime_s: int = 300
    online_refresh_lifetime_s: int = 8 * 3600
    offline_refresh_lifetime_s: int = 90 * 24 * 3600
    discovery_faults: DiscoveryFaults = field(default_factory=DiscoveryFaults)
    """What is wrong with discovery from the start; the chart's page of faults changes it while the server runs."""

    def __post_init__(self) -> None:
        """Refuse an open FHIR server that others could reach, and lifetimes that SMART does not allow."""
        if self.open_fhir and not is_loopback(self.base_url):
            raise ValueError("open_fhir is only allowed on a loopback address")
        if not 0 < self.access_token_lifetime_s <= MAX_ACCESS_TOKEN_LIFETIME_S:
            raise ValueError("access_token_lifetime_s must be between 1 and 3600")
        if self.base_url.endswith("/"):
            raise ValueError("base_url must not end with a slash")
        zone_of(self.time_zone)

    @property
    def zone(self) -> tzinfo:
        """The zone of the practice."""
        return zone_of(self.time_zone)

    @property
    def fhir_base(self) -> str:
        """Base URL of the FHIR R4 API, the `iss` of a launch and the only accepted `aud`."""
        return f"{self.base_url}/fhir"

    @property
    def issuer(self) -> str:
        """`iss` of access tokens and id_tokens."""
        return f"{self.base_url}/auth"

    @property
    def audiences(self) -> tuple[str, ...]:
        """`aud` of an access token: the FHIR base and the servers that share the authorization."""
        return (self.fhir_base, *self.associated_endpoints)

    def client(self, client_id: str) -> RegisteredClient | None:
        """The registered client of that id."""
        return next((client for client in self.clients if client.client_id == client_id), None)

    def allowed_origins(self) -> frozenset[str]:
        """Browser origins that may call the token endpoint and the FHIR API."""
        redirect_origins = (origin_of(uri) for client in self.clients for uri in client.redirect_uris)
        return frozenset((*self.cors_origins, *redirect_origins, origin_of(self.base_url)))


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name. Raises ValueError for a name that is none, or that this machine has no table of."""
    # Without a table of zones on the machine there is still UTC.
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone known here") from error


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, written as browsers write the Origin header."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def is_loopback(url: str) -> bool:
    """Whether the URL's host can only be this machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def demo_settings(
    *,
    base_url: str = "http://127.0.0.1:8001",
    app_url: str = "http://localhost:8000",
    state_dir: Path,
    upstream_fhir: str | None = None,
    open_fhir: bool = False,
    cors_origins: tuple[str, ...] = (),
) -> SandboxSettings:
    """The sandbox EHR of the demo, with the app registered as all three client types."""
    return SandboxSettings(
        base_url=base_url,
        state_dir=state_dir,
        app_url=app_url,
        cds_services_url=f"{app_url}/cds-services",
        associated_endpoints=(f"{app_url}/imaging/sandbox",),
        clients=demo_clients(app_url),
        cors_origins=cors_origins,
        upstream_fhir=upstream_fhir,
        open_fhir=open_fhir,
    )


def demo_clients(app_url: str) -> tuple[RegisteredClient, ...]:
    """The clients of the demo: the app in three shapes, and the imaging server that introspects."""
    redirect_uris = (f"{app_url}/callback",)
    launch_urls = (f"{app_url}/launch",)
    return (
        RegisteredClient(
            client_id="imaging-cds",
            name="Imaging CDS",
            redirect_uris=redirect_uris,
            launch_urls=launch_urls,
        ),
        RegisteredClient(
            client_id="imaging-cds-confidential",
            name="Imaging CDS (confidential)",
            auth_method="client_secret_basic",
            redirect_uris=redirect_uris,
        ),
        RegisteredClient(
            client_id="imaging-cds-keys",
            name="Imaging CDS (private key)",
            auth_method="private_key_jwt",
            redirect_uris=redirect_uris,
            jwks_url=f"{app_url}/.well-known/jwks.json",
        ),
        RegisteredClient(
            client_id="imaging-server",
            name="Imaging server",
            auth_method="client_secret_basic",
            may_introspect=True,
            scopes=(),
        ),
        RegisteredClient(
            client_id=SYNC_CLIENT,
            name="Imaging CDS (studies of the archive)",
            auth_method="private_key_jwt",
            jwks_url=f"{app_url}/.well-known/jwks.json",
            scopes=SYNC_SCOPES,
        ),
    )
