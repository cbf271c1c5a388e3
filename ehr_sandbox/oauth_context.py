"""What a launch carries and what a grant holds."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ehr_sandbox.faults import Faults, faults_from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchContext:
    """The context of one launch, as the EHR knows it; ids are bare FHIR logical ids."""

    patient: str | None = None
    encounter: str | None = None
    user: str | None = None
    """`Type/id` of the signed-in user; None lets the login page ask."""
    app_context: str | None = None
    """The `appContext` of a CDS Hooks smart link, passed through unchanged."""
    intent: str | None = None
    tenant: str | None = None
    fhir_context: tuple[dict[str, Any], ...] = ()
    """Items of `fhirContext`, e.g. `{"reference": "ImagingStudy/demo-a-ct-2026"}`."""
    need_patient_banner: bool | None = True
    """None leaves the parameter out of the token response."""
    smart_style: bool = True
    smart_messaging_origin: str | None = None
    ask_consent: bool = False
    faults: Faults = field(default_factory=Faults)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)


def launch_context_from_json(fields: dict[str, Any]) -> LaunchContext:
    """The context that `to_json` wrote."""
    fhir_context = tuple(fields["fhir_context"])
    return LaunchContext(**{**fields, "fhir_context": fhir_context, "faults": faults_from_json(fields["faults"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a user allowed a client: all tokens of one launch share it, and it is revoked as a whole."""

    grant_id: str
    client_id: str
    scope: tuple[str, ...]
    context: LaunchContext
    created_at: float
    nonce: str | None = None

    @property
    def user(self) -> str:
        """`Type/id` of the user who granted."""
        return self.context.user or ""

    @property
    def subject(self) -> str:
        """The `sub` of tokens: the user, without a name in it, or the service that acts by itself (RFC 9068 §2.2)."""
        return self.user.partition("/")[2] or self.client_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAuthorization:
    """An authorization request that was found right and waits for login, patient or consent."""

    client_id: str
    redirect_uri: str
    state: str | None
    scope: tuple[str, ...]
    code_challenge: str
    nonce: str | None
    context: LaunchContext
    is_ehr_launch: bool

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)


def pending_from_json(fields: dict[str, Any]) -> PendingAuthorization:
    """The request that `to_json` wrote."""
    context = launch_context_from_json(fields["context"])
    return PendingAuthorization(**{**fields, "scope": tuple(fields["scope"]), "context": context})


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """Tokens as handed to a client; never logged."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
