"""What a site says about its imaging server, beside the EHRs and archives themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from urllib.parse import urlsplit

from fhir_imaging.clients.breaker import BreakerSettings
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import EhrSettings, Ownership, PacsSettings, origin_of
from imaging_server.archive_settings import archive_problems
from imaging_server.rate_limit import RateLimitSettings

MAX_DECISION_CACHE_S = 60
LEAST_HANDED_S = 2
"""nginx counts in whole seconds, and one of them is lost to its rounding."""
LONGEST_PASS_S = 1.0
"""A viewer that reads a series asks for its next frame sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientIdentifierRule:
    """How a FHIR patient is named in the archives: an identifier system and the Issuer of Patient ID that belongs to it."""

    system: str
    """``Patient.identifier.system`` whose value is the archives' PatientID (0010,0020)."""
    issuer_of_patient_id: str | None = None
    """What IssuerOfPatientID (0010,0021) must say where the archive says anything; None = it is not looked at, or,
    with is_only_issuer, may not be named at all."""
    is_only_issuer: bool = False
    """The archives hold numbers of this issuer only: images that name no issuer then count as its, and those that name another
    as another patient's. Where the archives name it, say issuer_of_patient_id too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingServerSettings:
    """The gateway's own settings. ``public_base_url`` is the application's address as browsers see it, without path."""

    public_base_url: str
    """Where viewers reach the gateway: the address that the EHR's Endpoints name, without path."""
    allowed_origins: tuple[str, ...] = ()
    """Browser origins of viewers that may call the gateway, beside the application's own."""
    decision_cache_s: float = 30.0
    """How long a decision may be reused, at most 60 s; also the longest time until a revocation is noticed."""
    shared_decisions: bool = False
    """Keeps decisions in the database, sealed, so that all workers together ask an EHR once about a token and a study."""
    handed_decision_s: float = 0.0
    """How much of ``decision_cache_s`` nginx may keep a decision (``imaging-cds nginx --mode auth-request``); 0 = never."""
    audit_window_s: int = 3600
    """A study opened by one token is recorded once in this time, and each denial always."""
    token_leeway_s: int = 30
    """Clock skew accepted between an authorization server and this one."""
    ehr_timeout_s: float = 5.0
    """How long an EHR may take to answer before the answer is 503; a list of studies may take three times as long, in which its
    server is never silent for this time."""
    small_body_bytes: int = 4 * 1024 * 1024
    """Archive answers below this are read whole, which is faster; larger ones are streamed."""
    max_json_bytes: int = 128 * 1024 * 1024
    """The largest metadata or search answer that is accepted from an archive: it is held in memory to be rewritten."""
    rate_limit: RateLimitSettings = field(default_factory=RateLimitSettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    pacs_by_ehr: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which archives an EHR's tokens may reach, by name; an EHR that is not listed reaches all of them."""
    patient_identifiers: Mapping[str, PatientIdentifierRule] = field(default_factory=dict)
    """By EHR name: cross-check each study's PatientID in the archive with the patient's identifier in FHIR."""

    def base_of(self, ehr: str) -> str:
        """The imaging server's own base for one EHR, which tokens may name as their audience."""
        return f"{self.public_base_url.rstrip('/')}/imaging/{ehr}"

    def dicomweb_root(self, ehr: str, pacs: str) -> str:
        """The DICOMweb address that clients see: ``Endpoint.address`` of the EHR's studies."""
        return f"{self.base_of(ehr)}/dicom-web/{pacs}"

    def fhir_base_of(self, ehr: str) -> str:
        """The imaging FHIR endpoint for one EHR: ``url`` of its associated endpoint."""
        return f"{self.base_of(ehr)}/fhir"

    def own_audiences(self, ehr: str) -> tuple[str, ...]:
        """What a token may name as its audience to mean this imaging server."""
        return (self.base_of(ehr), self.fhir_base_of(ehr))

    def audiences_of(self, ehr: EhrSettings) -> frozenset[str]:
        """What a token of this EHR may name as its audience, byte for byte."""
        return frozenset({ehr.fhir_base, *self.own_audiences(ehr.name), *ehr.accepted_audiences})

    def may_reach(self, ehr: str, pacs: str) -> bool:
        """Whether this EHR's tokens may be used at this archive at all."""
        allowed = self.pacs_by_ehr.get(ehr)
        return allowed is None or pacs in allowed

    @property
    def pass_s(self) -> float:
        """How long the gate remembers that it let a token through to a series: one after the other, its frames come sooner."""
        return min(LONGEST_PASS_S, (self.decision_cache_s - self.handed_decision_s) / 10)

    def kept_here(self) -> ImagingServerSettings:
        """The settings for what this process keeps of others' answers: how long nginx and the gate may keep what was made of
        them is taken off, so that all together keep the bound."""
        kept_s = self.decision_cache_s - self.handed_decision_s - self.pass_s
        return replace(self, decision_cache_s=kept_s, handed_decision_s=0.0)

    @property
    def browser_origins(self) -> frozenset[str]:
        """Every origin that CORS lets read answers."""
        return frozenset(self.allowed_origins) | {origin_of(self.public_base_url)}


def check_settings(settings: ImagingServerSettings, ehrs: tuple[EhrSettings, ...], archives: tuple[PacsSettings, ...]) -> None:
    """ConfigurationError that lists everything in the settings that cannot work."""
    problems = [*_own_problems(settings), *_ehr_problems(settings, ehrs), *_archive_problems(settings, archives)]
    if problems:
        raise ConfigurationError(problems)


def _own_problems(settings: ImagingServerSettings) -> list[str]:
    problems = []
    parts = urlsplit(settings.public_base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        problems.append("public_base_url must be an http(s) address without query or fragment.")
    if not 0 < settings.decision_cache_s <= MAX_DECISION_CACHE_S:
        problems.append(f"decision_cache_s must be above 0 and at most {MAX_DECISION_CACHE_S}.")
    if settings.handed_decision_s and not LEAST_HANDED_S <= settings.handed_decision_s < settings.decision_cache_s:
        problems.append(f"handed_decision_s must be 0, or from {LEAST_HANDED_S} to less than decision_cache_s.")
    if not 0 <= settings.token_leeway_s <= 120:
        problems.append("token_leeway_s must be between 0 and 120.")
    if settings.audit_window_s < 1:
        problems.append("audit_window_s must be at least 1.")
    problems += [*settings.rate_limit.problems(), *settings.breaker.problems()]
    for origin in settings.allowed_origins:
        if not _is_origin(origin):
            problems.append(f"allowed_origins: {origin!r} is not an origin such as https://viewer.example; '*' is not offered.")
    return problems


def _ehr_problems(settings: ImagingServerSettings, ehrs: tuple[EhrSettings, ...]) -> list[str]:
    problems = [
        f"EHR {ehr.name}: ownership = 'identifier' needs imaging_server.patient_identifiers.{ehr.name} with "
        "issuer_of_patient_id, or is_only_issuer where the archives hold numbers of one issuer only."
        for ehr in ehrs
        if ehr.ownership is Ownership.IDENTIFIER and not _can_prove(settings.patient_identifiers.get(ehr.name))
    ]
    problems += [
        f"EHR {ehr.name}: ownership = 'fhir' asks this imaging server itself (imaging_base); use 'identifier'."
        for ehr in ehrs
        if ehr.ownership is Ownership.FHIR and _is_below(ehr.studies_base, settings.public_base_url)
    ]
    problems += [
        f"EHR {ehr.name}: imaging_base_has_ehr_ids says nothing without an imaging_base."
        for ehr in ehrs
        if ehr.imaging_base_has_ehr_ids and ehr.imaging_base is None
    ]
    problems += [problem for ehr in ehrs for problem in _token_problems(ehr)]
    problems += _shared_number_problems(settings, ehrs)
    problems += [
        f"patient_identifiers.{name}: system must not be empty."
        for name, rule in settings.patient_identifiers.items()
        if not rule.system.strip()
    ]
    names = {ehr.name for ehr in ehrs}
    for setting, named in (
        ("pacs_by_ehr", settings.pacs_by_ehr.keys()),
        ("patient_identifiers", settings.patient_identifiers.keys()),
    ):
        problems += [f"{setting} names the EHR {name}, which is not configured." for name in sorted(set(named) - names)]
    return problems


def _shared_number_problems(settings: ImagingServerSettings, ehrs: tuple[EhrSettings, ...]) -> Iterator[str]:
    """EHRs whose numbers an archive would not tell apart where it names no issuer."""
    only = [ehr.name for ehr in ehrs if (rule := settings.patient_identifiers.get(ehr.name)) and rule.is_only_issuer]
    for one, other in combinations(only, 2):
        archives, others = settings.pacs_by_ehr.get(one), settings.pacs_by_ehr.get(other)
        is_shared = archives is None or others is None or not set(archives).isdisjoint(others)
        if is_shared and settings.patient_identifiers[one].system != settings.patient_identifiers[other].system:
            yield (
                f"patient_identifiers: the EHRs {one} and {other} both say is_only_issuer of an archive that both reach, and "
                "their numbers are of different systems: one patient's number may be another patient's of the other EHR."
            )


def _token_problems(ehr: EhrSettings) -> list[str]:
    """Ways of checking tokens that contradict each other, or of which one half is missing."""
    problems = []
    client = (ehr.introspection_client_id, ehr.introspection_client_secret)
    if ehr.opaque_tokens and (ehr.jwks_url or ehr.introspection_url or any(client)):
        problems.append(
            f"EHR {ehr.name}: opaque_tokens is for tokens that nobody else can check; leave out jwks_url and introspection."
        )
    if any(client) != all(client) or (ehr.introspection_url and not all(client)):
        problems.append(
            f"EHR {ehr.name}: introspection needs introspection_client_id and introspection_client_secret, or its tokens "
            "would be checked by another means than the one that is configured."
        )
    return problems


def _can_prove(rule: PatientIdentifierRule | None) -> bool:
    return rule is not None and (rule.issuer_of_patient_id is not None or rule.is_only_issuer)


def _is_below(url: str, base: str) -> bool:
    return f"{url.rstrip('/')}/".startswith(f"{base.rstrip('/')}/imaging/")


def _archive_problems(settings: ImagingServerSettings, archives: tuple[PacsSettings, ...]) -> list[str]:
    problems = []
    names = {archive.name for archive in archives}
    used = {name for allowed in settings.pacs_by_ehr.values() for name in allowed}
    problems += [f"pacs_by_ehr names the archive {name}, which is not configured." for name in sorted(used - names)]
    problems += [problem for archive in archives for problem in archive_problems(archive)]
    return problems


def _is_origin(text: str) -> bool:
    try:
        return origin_of(text) == text
    except ValueError:
        return False
