"""Deliberate misbehaviour of the sandbox EHR, for tests of an app and for developers who want to see what theirs does (S11).

`Faults` belong to a launch or to a client and go with the grant; `DiscoveryFaults` belong to the server, because nobody has
launched yet when its discovery is read. Everything is off by default.
"""

import threading
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

GrantedAs = Literal["split", "v1", "wildcard", "identity"]
StyleFault = Literal["hostile", "low-contrast", "missing"]

TOKEN_ENDPOINT = "token"  # noqa: S105 - a place that can be down, no secret
REFRESH = "refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong in one launch, or in every launch of one client."""

    denied_scopes: tuple[str, ...] = ()
    """Scopes that are never granted; `*` denies every scope, so that the granted scope is empty."""
    granted_as: GrantedAs | None = None
    """The same rights in other words: `.rs` as `.r` and `.s`, in v1, as `patient/*.rs`; or none but those of identity."""
    no_refresh_token: bool = False
    """`offline_access` and `online_access` are silently not honoured."""
    no_new_refresh_token: bool = False
    """A refresh brings no new refresh token; the old one stays good."""
    access_token_lifetime_s: int | None = None
    """A lifetime other than the server's, e.g. 5 seconds."""
    no_expires_in: bool = False
    missing_patient: bool = False
    """`patient/` scopes are granted but the token response has no `patient`."""
    refresh_patient: str | None = None
    """From the first refresh on the tokens are for this patient."""
    fhir_context_as_text: bool = False
    """`fhirContext` holds plain strings, as servers of SMART 2.0 wrote it."""
    style: StyleFault | None = None
    """What stands behind `smart_style_url`."""
    id_token_issuer: str | None = None
    """A foreign `iss` of the id_token."""
    id_token_without_kid: bool = False
    clock_skew_s: int = 0
    """By how much the server's clock is ahead when it dates an id_token; negative: behind."""
    authorize_error: str | None = None
    """The authorization request is answered with this OAuth error code."""
    authorize_error_description: str | None = None
    authorize_error_uri: str | None = None
    token_error: str | None = None
    """Every token request is answered with this OAuth error code."""
    unavailable: tuple[str, ...] = ()
    """What answers 503: `token` (the exchange of codes), `refresh`, or FHIR resource types."""
    unavailable_times: int | None = None
    """How often it does so in each launch; None for ever."""
    retry_after: str = "2"
    """The `Retry-After` of a 503, seconds or an HTTP date; empty leaves it out."""

    def over(self, other: "Faults") -> "Faults":
        """These faults, and the other's where these have none."""
        mine = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return replace(other, **mine)


def faults_from_json(stored: dict[str, Any]) -> Faults:
    """The faults that `asdict` wrote."""
    lists = {name: tuple(stored[name]) for name in ("denied_scopes", "unavailable")}
    return Faults(**{**stored, **lists})


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryFaults:
    """What is wrong with the discovery documents of the whole server."""

    no_configuration: bool = False
    """`.well-known/smart-configuration` answers 404."""
    no_oauth_uris: bool = False
    """The CapabilityStatement does not name the endpoints either."""
    delay_s: float = 0.0
    """How long the configuration takes."""
    issuer: str | None = None
    """A foreign `issuer`."""
    other_host: str | None = None
    """Another base URL of this server, under which the whole authorization server is advertised."""
    no_pkce_list: bool = False
    no_standalone_picker: bool = False
    """Nor is there one: a standalone launch is granted without a patient."""
    only_v1: bool = False


@dataclass(slots=True)
class FaultDesk:
    """The faults that are in force now: those of the server, and how often a launch was already refused. Thread-safe."""

    discovery: DiscoveryFaults = DiscoveryFaults()
    _refused: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuses(self, faults: Faults, grant_id: str, place: str) -> bool:
        """Whether this request of the grant is to be answered 503; it is counted."""
        if place not in faults.unavailable:
            return False
        with self._lock:
            count = self._refused.get((grant_id, place), 0)
            self._refused[(grant_id, place)] = count + 1
        return faults.unavailable_times is None or count < faults.unavailable_times


def retry_headers(faults: Faults) -> dict[str, str]:
    """What a 503 says about coming back."""
    return {"Retry-After": faults.retry_after} if faults.retry_after else {}
