"""What the demo consists of, decided before anything starts: addresses, directories and the settings of each server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ehr_sandbox.settings import LARGEST_CROWD, SYNC_CLIENT, SYNC_SCOPES, zone_of
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import is_loopback, origin_of
from imaging_cds.demo_trust import TrustedCdsClient, TrustedIssuer

DEFAULT_DIRECTORY = Path(".demo")
EHR_NAME = "sandbox"
PACS_NAME = "demo"
DEMO_NUMBERS = {"system": "https://imaging-cds.example/demo/mrn", "issuer_of_patient_id": "DEMO"}
"""How the demo's archive knows the demo's patients, said here too because ``serve`` must not load the writer of pictures."""
ACCESSION_SYSTEM = "https://imaging-cds.example/demo/accession"
"""Said here too, as above: whose accession numbers the demo's archive has."""
AI_SCHEMES = {
    "99IMAGINGCDS": "https://imaging-cds.example/fhir/CodeSystem/lung-rads",
    "99IMAGINGNODULE": "https://imaging-cds.example/fhir/CodeSystem/nodule",
}
"""What the demo's AI means by its own coding schemes; its report says which version of Lung-RADS."""
PASSWORD_VARIABLE = "IMAGING_CDS_PACS_PASSWORD"  # noqa: S105 - the variable's name, not a password


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The demo as asked for on the command line."""

    directory: Path
    viewer_dir: Path
    port: int = 8000
    ehr_port: int = 8001
    pacs_port: int = 8002
    workers: int = 2
    reset: bool = False
    seed: bool = False
    crowded: int = 0
    """Studies of a further patient who is there to try long lists; 0 leaves her out."""
    open_fhir: bool = False
    time_zone: str = "UTC"
    """Zone of the sandbox EHR's practice by its IANA name; it tells the chart's today and its appointments."""
    trusted_issuers: tuple[TrustedIssuer, ...] = ()
    trusted_cds_clients: tuple[TrustedCdsClient, ...] = ()
    fhir_url: str | None = None
    pacs_url: str | None = None
    pacs_user: str | None = None
    pacs_password: str | None = field(default=None, repr=False)

    @property
    def app_url(self) -> str:
        """``localhost``, not 127.0.0.1: for a browser the app and the EHR are different sites, as in a hospital."""
        return f"http://localhost:{self.port}"

    @property
    def ehr_url(self) -> str:
        """The sandbox EHR."""
        return f"http://127.0.0.1:{self.ehr_port}"

    @property
    def dicomweb_root(self) -> str:
        """The DICOMweb root of the archive in use."""
        return (self.pacs_url or f"http://127.0.0.1:{self.pacs_port}/dicom-web").rstrip("/")

    @property
    def pacs_credential(self) -> tuple[str, str] | None:
        """User and password at the archive of ``--pacs``."""
        return (self.pacs_user, self.pacs_password or "") if self.pacs_user else None

    @property
    def gateway_root(self) -> str:
        """What the demo's FHIR Endpoint names: our gateway in front of that archive."""
        return self.gateway_of(EHR_NAME)

    def gateway_of(self, ehr: str) -> str:
        """The gateway for the tokens of one EHR."""
        return f"{self.app_url}/imaging/{ehr}/dicom-web/{PACS_NAME}"

    @property
    def cds_client_origins(self) -> tuple[str, ...]:
        """Browser origins of the trusted CDS clients: an issuer that is an address is a page's origin, another name is not."""
        return tuple(client.origin for client in self.trusted_cds_clients if client.origin)

    @property
    def has_demo_patients(self) -> bool:
        """Whether the record behind the sandbox EHR has the demo's patients: a foreign one only where it is to have them."""
        return self.fhir_url is None or self.seed

    @property
    def stores_demo_images(self) -> bool:
        """Whether the archive has the demo's images: a foreign one only where it is to have them."""
        return self.pacs_url is None or self.seed

    @property
    def app_config(self) -> Path:
        """The application's settings file, written at each start."""
        return self.directory / "app.toml"

    @property
    def dicom_dir(self) -> Path:
        """The demo's DICOM files, which are stored in the archive by STOW-RS."""
        return self.directory / "dicom"

    @property
    def pacs_dir(self) -> Path:
        """What the sandbox PACS keeps: its own copy of what was stored, and its index."""
        return self.directory / "pacs"

    @property
    def stored_images(self) -> Path:
        """Says which of the demo's images the archive has."""
        return self.directory / "stored-images"

    @property
    def logs(self) -> Path:
        """One log file per server."""
        return self.directory / "logs"


def parse_trusted_issuer(text: str) -> TrustedIssuer:
    """``URL[=client_id]``; ValueError when the URL is none."""
    url, mark, client_id = text.rpartition("=")
    # A "/" behind it: the "=" is the address's own, as in launchers that carry their options in it.
    if not mark or not client_id or "/" in client_id:
        url, client_id = text, ""
    origin_of(url)
    return TrustedIssuer(url=url, client_id=client_id or "imaging-cds")


def parse_trusted_cds_client(text: str) -> TrustedCdsClient:
    """``ISS=JWKS_URL_OR_FILE``; ValueError when a part is missing."""
    issuer, _, keys = text.partition("=")
    if not issuer or not keys:
        raise ValueError("write it as ISSUER=JWKS_URL or ISSUER=FILE")
    return TrustedCdsClient(issuer=issuer, keys=keys)


def parse_time_zone(text: str) -> str:
    """The name of a time zone; ValueError when nobody here knows it."""
    zone_of(text)
    return text


def check_options(options: DemoOptions) -> None:
    """ConfigurationError listing everything that cannot work."""
    problems = [*_port_problems(options), *_address_problems(options), *_missing_problems(options)]
    if problems:
        raise ConfigurationError(problems)


def _port_problems(options: DemoOptions) -> Iterator[str]:
    ports = [options.port, options.ehr_port, *([] if options.pacs_url else [options.pacs_port])]
    if len(set(ports)) != len(ports):
        yield "--port, --ehr-port and --pacs-port must differ."
    yield from (f"port {port} is not between 1 and 65535." for port in ports if not 0 < port < 65536)
    if options.workers < 1:
        yield f"--workers: {options.workers} worker processes serve nobody; name at least 1."


def _address_problems(options: DemoOptions) -> Iterator[str]:
    for name, url in (("--fhir", options.fhir_url), ("--pacs", options.pacs_url)):
        if url is not None:
            try:
                origin_of(url)
            except ValueError:
                yield f"{name}: {url} is not an http(s) URL."


def _missing_problems(options: DemoOptions) -> Iterator[str]:
    if options.pacs_user and not options.pacs_url:
        yield "--pacs-user needs --pacs."
    elif options.pacs_user and options.pacs_password is None:
        yield f"--pacs-user needs its password in the environment variable {PASSWORD_VARIABLE}."
    if not 0 <= options.crowded <= LARGEST_CROWD:
        yield f"--crowded {options.crowded}: between 1 and {LARGEST_CROWD} studies are possible."
    if options.crowded and not (options.has_demo_patients and options.stores_demo_images):
        yield "--crowded needs --seed with --fhir or --pacs: her studies come from the archive into the record."
    if options.seed and not (options.fhir_url or options.pacs_url):
        yield "--seed needs --fhir or --pacs: the sandbox's own servers have the demo patients always."
    for client in options.trusted_cds_clients:
        if client.keys_are_a_file and not Path(client.keys).is_file():
            yield f"--trust-cds-client: there is no file {client.keys}."


def app_table(options: DemoOptions) -> dict[str, Any]:
    """The application's settings as a TOML table."""
    keys = [client.keys for client in options.trusted_cds_clients if not client.keys_are_a_file]
    outside = [options.pacs_url, *(issuer.url for issuer in options.trusted_issuers), *keys]
    return {
        "public_base_url": options.app_url,
        "allow_http": any(url and url.startswith("http://") and not is_loopback(url) for url in outside),
        "viewer_dir": str(options.viewer_dir.absolute()),
        "server": {"host": "localhost", "port": options.port, "workers": options.workers},
        "state": {"state_dir": str((options.directory / "app").absolute())},
        "ehr": [_sandbox_ehr(options), *(_trusted_ehr(options, n, one) for n, one in enumerate(options.trusted_issuers, 1))],
        "pacs": [_pacs(options)],
        # Of patient A's reports last year's is released, this year's not yet: both can be seen as she sees them.
        "rules": {"patient_results": "released", "release_after_hours": 240},
        "cds": {"trusted_clients": [_sandbox_cds_client(options), *map(_cds_client, options.trusted_cds_clients)]},
        **_identifiers(options),
        "sync": [sync_table(options)] if options.has_demo_patients else [],
    }


def sync_table(options: DemoOptions) -> dict[str, Any]:
    """What brings the archive's studies into the sandbox EHR's record: a service of its own, which may do just that."""
    issuer = DEMO_NUMBERS["issuer_of_patient_id"]
    # The demo's own archive is near: all of it is looked through every few seconds, with a crowd the more seldom, so that a
    # study of any day appears at once. Somebody else's is looked at as any hospital's.
    near = {"interval_s": max(3.0, options.crowded / 50), "overlap_days": 36500} if options.pacs_url is None else {}
    return {
        "name": PACS_NAME,
        "pacs": PACS_NAME,
        "endpoint_address": options.gateway_root,
        "accession_systems": {issuer: ACCESSION_SYSTEM, ACCESSION_SYSTEM: ACCESSION_SYSTEM},
        "coding_schemes": AI_SCHEMES,
        "patients": [DEMO_NUMBERS],
        "target": {
            "fhir_base": f"{options.ehr_url}/fhir",
            "ids": "study-uid",
            "backend_client_id": SYNC_CLIENT,
            "backend_scopes": " ".join(SYNC_SCOPES),
        },
        # Nobody who tries the demo waits to see whether more images come; later ones are added when they do.
        "pace": {"stable_s": 0.0, **near},
    }


def _identifiers(options: DemoOptions) -> dict[str, Any]:
    """Persons are compared where both sides have the demo's patients; what a foreign server's numbers mean nobody knows."""
    if options.fhir_url or options.pacs_url:
        return {}
    return {"imaging_server": {"patient_identifiers": {EHR_NAME: DEMO_NUMBERS}}}


def _sandbox_ehr(options: DemoOptions) -> dict[str, Any]:
    ehr = options.ehr_url
    return {
        "name": EHR_NAME,
        "display_name": "Sandbox EHR",
        "fhir_base": f"{ehr}/fhir",
        "token_issuer": f"{ehr}/auth",
        "jwks_url": f"{ehr}/auth/jwks",
        "client_id": "imaging-cds",
        "frame_ancestors": [ehr],
    }


def issuer_name(number: int) -> str:
    """The name in paths of the trusted issuer that was given as the number-th, from 1."""
    return f"issuer-{number}"


def _trusted_ehr(options: DemoOptions, number: int, issuer: TrustedIssuer) -> dict[str, Any]:
    name = issuer_name(number)
    return {
        "name": name,
        "display_name": origin_of(issuer.url),
        "fhir_base": issuer.url,
        "iss_is_prefix": True,
        "client_id": issuer.client_id,
        "frame_ancestors": [origin_of(issuer.url)],
        # A launcher may stand in front of the sandbox's own FHIR data, whose Endpoints name the sandbox's gateway path.
        "endpoint_rewrites": {options.gateway_root: options.gateway_of(name)},
    }


def _pacs(options: DemoOptions) -> dict[str, Any]:
    credential = {"user": options.pacs_user} if options.pacs_user else {}
    return {"name": PACS_NAME, "dicomweb_root": options.dicomweb_root, **credential}


def _sandbox_cds_client(options: DemoOptions) -> dict[str, Any]:
    ehr = options.ehr_url
    return {"iss": ehr, "jwks_url": f"{ehr}/cds-client/jwks.json", "fhir_servers": [f"{ehr}/fhir"]}


def _cds_client(client: TrustedCdsClient) -> dict[str, Any]:
    keys = {"jwks_file": str(Path(client.keys).absolute())} if client.keys_are_a_file else {"jwks_url": client.keys}
    return {"iss": client.issuer, **keys, "cors_origins": [client.origin] if client.origin else []}
