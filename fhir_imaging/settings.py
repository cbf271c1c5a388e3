"""The site's EHRs and archives, as the person who connects them writes them down.

``imaging_cds.settings`` reads these from TOML and environment; here is only what they mean. Secrets never appear in ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit


class ClientAuth(StrEnum):
    """How the SMART app proves itself at an EHR's token endpoint (SMART App Launch 2.2, client authentication)."""

    PUBLIC = "public"
    SECRET_BASIC = "client_secret_basic"  # noqa: S105 - the method's registered name, not a secret
    PRIVATE_KEY_JWT = "private_key_jwt"


class ScopeStyle(StrEnum):
    """In which grammar scopes are asked for (SMART App Launch 2.2: v2 ``.rs``, v1 ``.read``); granted, both are understood."""

    AUTO = "auto"
    V2 = "v2"
    V1 = "v1"


class AssertionAlgorithm(StrEnum):
    """What signs ``private_key_jwt`` client assertions (SMART App Launch 2.2, asymmetric authentication)."""

    ES384 = "ES384"
    RS384 = "RS384"


class Ownership(StrEnum):
    """How the imaging server learns whose study it is (DESIGN §8)."""

    FHIR = "fhir"
    IDENTIFIER = "identifier"


class HandOver(StrEnum):
    """Which answers of an archive nginx may fetch itself, once this server has let the request through."""

    OFF = "off"
    FRAMES = "frames"
    RETRIEVALS = "retrievals"


class SubjectBy(StrEnum):
    """How a FHIR server other than the EHR's names the EHR's patient in ``ImagingStudy.subject``."""

    REFERENCE = "reference"
    """``{fhir_base of the EHR}/Patient/{id}``."""
    LOCAL_REFERENCE = "local-reference"
    """``Patient/{id}``: its Patients have the EHR's own ids."""
    IDENTIFIER = "identifier"
    """``subject.identifier`` with system and number of ``imaging_server.patient_identifiers``."""
    PATIENT_IDENTIFIER = "patient-identifier"
    """The same, but found through that server's Patients, which have the number: for servers that cannot search by
    ``subject.identifier``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiesServerSettings:
    """A FHIR server, fed by ``pacs_sync``, that describes an EHR's studies in place of the archives' indexes.

    Whose a study is and who may see it stays what the EHR's ``ownership`` finds out.
    """

    fhir_base: str
    """FHIR base that serves ImagingStudy and Endpoint, reached by this server alone."""
    subjects: tuple[SubjectBy, ...] = (SubjectBy.REFERENCE, SubjectBy.IDENTIFIER)
    """How ImagingStudy.subject names the EHR's patient there; each way that is listed is asked for."""
    bearer_token: str | None = field(default=None, repr=False)
    """A fixed token for it, where it wants one; best given by the environment."""
    backend_client_id: str | None = None
    """The imaging server's SMART Backend Services client there, in place of a fixed token."""
    backend_scopes: str = "system/ImagingStudy.rs system/Endpoint.rs"
    """What that client asks for."""
    backend_token_url: str | None = None
    """Token endpoint of that client; None = what the server's discovery names on its own origin."""
    certificate_authority: Path | None = None
    """PEM file of the authority that signs its certificate, where no public one does."""


DEFAULT_SCOPES = (
    "openid fhirUser online_access patient/Patient.r patient/ImagingStudy.rs patient/Endpoint.rs "
    "patient/DiagnosticReport.rs patient/Observation.rs patient/ServiceRequest.rs patient/Condition.rs "
    "patient/Communication.rs"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EhrSettings:
    """One EHR whose launches, tokens and hooks are trusted; ``name`` stands in paths (``/imaging/{name}/…``)."""

    name: str
    """Stands in the gateway's paths and in the names of environment variables: a-z, 0-9 and hyphens."""
    fhir_base: str
    """The FHIR base exactly as the EHR sends it: ``iss`` of launches, ``aud`` of tokens, ``fhirServer`` of hooks."""
    display_name: str = ""
    """The EHR's name for people; ``name`` where empty."""
    iss_is_prefix: bool = False
    """For SMART launchers whose options extend the base: any ``iss`` below ``fhir_base`` (whole segments) is this EHR."""
    token_issuer: str | None = None
    """``iss`` claim of access tokens; the FHIR base where None."""
    jwks_url: str | None = None
    """Keys that sign the EHR's access tokens, where these are JWTs; None = what the EHR's discovery names."""
    introspection_url: str | None = None
    """RFC 7662 introspection at the EHR, preferred to signatures where its client is given; None = what discovery names."""
    introspection_client_id: str | None = None
    """Client id of the gateway at the introspection endpoint."""
    introspection_client_secret: str | None = field(default=None, repr=False)
    """Secret of that client."""
    accepted_audiences: tuple[str, ...] = ()
    """Further ``aud`` values of access tokens, beside the FHIR base and the gateway's own base."""
    ownership: Ownership = Ownership.FHIR
    """How the gateway learns whose study it is: ``fhir`` asks ImagingStudy with the caller's token, ``identifier`` compares the
    archive's PatientID and issuer with the patient's number (``imaging_server.patient_identifiers``)."""
    opaque_tokens: bool = False
    """Tokens are neither JWTs nor can be introspected: the SMART app notes a keyed digest of each that it gets, and the gateway
    takes such tokens alone, each proved alive by reading its Patient."""
    backend_client_id: str | None = None
    """The imaging server's own SMART Backend Services client at this EHR, for reading a patient's number where the caller's
    token may not; it signs with this installation's client keys."""
    backend_scopes: str = "system/Patient.r"
    """What that client asks for; it never widens what a caller may see."""
    backend_token_url: str | None = None
    """Token endpoint of that client; None = what the EHR's discovery names."""
    studies_server: StudiesServerSettings | None = None
    client_id: str = "imaging-cds"
    """Under which the EHR registered the SMART app."""
    client_auth: ClientAuth = ClientAuth.PUBLIC
    """How the app proves itself at the token endpoint."""
    client_secret: str | None = field(default=None, repr=False)
    """For ``client_secret_basic``."""
    scopes: str = DEFAULT_SCOPES
    """Scopes of an EHR launch beside ``launch``; a standalone launch asks ``launch/patient`` instead."""
    scope_style: ScopeStyle = ScopeStyle.AUTO
    """Grammar of the scopes asked for; ``auto`` = v1 where the EHR's discovery lists permission-v1 without permission-v2."""
    study_picker: bool = False
    """Asks ``launch/imagingstudy`` in a standalone launch, so that the EHR has a study picked too (experimental)."""
    assertion_algorithm: AssertionAlgorithm | None = None
    """Signature of our assertions here; None = the app's own, or the other one where the EHR lists only that."""
    issuer_aliases: tuple[str, ...] = ()
    """Further ``iss`` values that this EHR's id_tokens may carry."""
    imaging_base: str | None = None
    """FHIR base that serves ImagingStudy, where it is neither the EHR's own nor an advertised associated endpoint."""
    imaging_base_has_ehr_ids: bool = False
    """The server at imaging_base has its Patients under the EHR's own ids, so that ``Patient/{id}`` there is the EHR's patient;
    else it is that server's own, and only ``{fhir_base}/Patient/{id}`` is the EHR's (``ownership = "fhir"``, the app)."""
    imaging_mode_asserted: bool = False
    """Says that the imaging server takes a launched app's token, for an EHR that lists smart-imaging-access without a mode."""
    server_origins: tuple[str, ...] = ()
    """Further origins that belong to this EHR: an authorization or key server on another host than the FHIR base."""
    certificate_authority: Path | None = None
    """PEM file of the authority that signs this EHR's server certificates, where no public one does; it counts there only."""
    token_origins: tuple[str, ...] = ()
    """Origins beside the FHIR base and this imaging server that may receive this EHR's tokens (SMART Imaging Access C3)."""
    endpoint_rewrites: Mapping[str, str] = field(default_factory=dict)
    """Endpoint addresses that this site cannot change in FHIR, each with the gateway address to use in its place."""
    sign_in_refuses_frames: bool = False
    """The EHR's sign-in pages forbid framing, so a launch inside a frame is offered a new window before it is used up."""
    launch_handles_recur: bool = False
    """The EHR sends the same ``launch`` at several starts, as test launchers do: each is its own, and nobody is asked."""
    refresh_interval_s: int = 2
    """The shortest time between two renewals of a token that a server refused: few refusals must not become many renewals."""
    frame_ancestors: tuple[str, ...] = ()
    """Origins that may show the app in a frame; empty = the app refuses to be framed by anyone but itself."""

    def __post_init__(self) -> None:
        """ValueError for an interval that cannot be kept."""
        if self.refresh_interval_s < 1:
            raise ValueError("refresh_interval_s must be at least 1")

    @property
    def title(self) -> str:
        """The EHR's name for people."""
        return self.display_name or self.name

    @property
    def expected_token_issuer(self) -> str:
        """The ``iss`` claim that an access token of this EHR must carry."""
        return self.token_issuer or self.fhir_base

    @property
    def studies_base(self) -> str:
        """The FHIR base that is asked whose a study is, where ``ownership`` is ``fhir``."""
        return self.imaging_base or self.fhir_base

    @property
    def has_studies_elsewhere(self) -> bool:
        """Whether that is another FHIR base than the EHR's own, so that a relative reference there is into another server."""
        return self.studies_base.rstrip("/") != self.fhir_base.rstrip("/")

    def recognises(self, iss: str) -> bool:
        """Whether ``iss`` names this EHR: byte for byte, or below the base on a segment boundary for launchers."""
        if iss == self.fhir_base:
            return True
        return self.iss_is_prefix and iss.startswith(self.fhir_base.rstrip("/") + "/") and _plain_path(iss)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacsSettings:
    """One DICOMweb archive behind the gateway; ``name`` stands in paths (``/imaging/{ehr}/dicom-web/{name}/…``)."""

    name: str
    """Stands in the gateway's paths and in the names of environment variables: a-z, 0-9 and hyphens."""
    dicomweb_root: str
    """Root URL without trailing slash; ``/studies`` follows it."""
    user: str | None = None
    """For HTTP Basic at the archive; callers never see this credential."""
    password: str | None = field(default=None, repr=False)
    """For HTTP Basic at the archive."""
    bearer_token: str | None = field(default=None, repr=False)
    """For archives that want a fixed bearer token instead of a user."""
    max_connections: int = 16
    """Open connections of one worker to the archive; further requests wait."""
    connect_timeout_s: float = 5.0
    """How long the archive may take to accept a connection."""
    read_timeout_s: float = 60.0
    """How long the archive may stay silent during an answer; what is read whole, and each piece of what is passed on, may take
    three times of it."""
    token_url: str | None = None
    """OAuth token endpoint for archives in a cloud; the gateway gets its own bearer token there (RFC 6749 §4.4)."""
    client_id: str | None = None
    """The gateway's client at ``token_url``."""
    client_secret: str | None = field(default=None, repr=False)
    """Secret of that client."""
    client_key: Path | None = None
    """File with that client's private key instead: PEM, or the JSON file of a Google service account; it signs assertions."""
    token_scope: str | None = None
    """Scope to ask for at ``token_url``."""
    token_audience: str | None = None
    """``audience`` to ask for at ``token_url``, for servers that want one; a URI is sent as ``resource`` (RFC 8707) too."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers that the archive wants with each request, such as a tenant or an API key."""
    studies_per_search: int = 40
    """Studies that one search may name; 1 for archives that do not match lists of UIDs, such as Azure's."""
    certificate_authority: Path | None = None
    """PEM file of the authority that signs the certificates of this archive and its ``token_url``, where no public one does."""
    hand_over: HandOver = HandOver.OFF
    """What nginx in front may fetch from this archive itself once a request was let through (``imaging-cds nginx``):
    ``frames``, or ``retrievals`` for whole instances, series and studies as well; the bytes are the archive's own, and nginx
    opens as many connections again as ``max_connections`` of all workers."""
    keeps_hierarchy: bool = False
    """This archive itself answers 404 for an instance that is not in the study and series of the address, as Orthanc does;
    nginx keeps decisions by series (``--mode auth-request``) only for archives of which this is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """Where state lives that all worker processes share."""

    state_dir: Path
    """A directory that only this user may read (0700): keys, and the SQLite file where no other database is named."""
    database_url: str | None = field(default=None, repr=False)
    """SQLAlchemy URL; None = SQLite inside ``state_dir``."""


def origin_of(url: str) -> str:
    """``scheme://host[:port]`` of a URL, lower case, without the scheme's default port; ValueError when it has none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http(s) URL: {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_web_address(url: str) -> bool:
    """Whether ``origin_of`` can tell the origin of a URL."""
    try:
        return bool(origin_of(url))
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine by name: localhost, 127.0.0.0/8 or ::1."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def find_ehr_by_iss(ehrs: tuple[EhrSettings, ...], iss: str) -> EhrSettings | None:
    """The configured EHR that ``iss`` names; None when nobody configured it (then nothing may be sent there)."""
    exact = next((ehr for ehr in ehrs if ehr.fhir_base == iss), None)
    return exact or next((ehr for ehr in ehrs if ehr.recognises(iss)), None)


def _plain_path(url: str) -> bool:
    """No dot segments, queries or encoded slashes that could lead out of the configured base."""
    parts = urlsplit(url)
    segments = parts.path.split("/")
    return not parts.query and not parts.fragment and "%" not in parts.path and not {".", ".."} & set(segments)
