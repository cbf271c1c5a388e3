"""The ways in which the chart can launch an app wrongly on purpose, in words, for a developer to choose from (S11).

Those of discovery concern the whole server: they stand from the launch that asks for them until the next one that does not.
"""

from dataclasses import dataclass, field
from typing import Literal

from ehr_sandbox.faults import DiscoveryFaults, Faults

Names = Literal["study", "studies", "background", "report", "order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchVariant:
    """One way to launch. `names`: what of the patient's record stands in `fhirContext`; `banner`: `need_patient_banner`."""

    key: str
    group: str
    title: str
    faults: Faults = field(default_factory=Faults)
    discovery: DiscoveryFaults | None = None
    names: Names | None = None
    banner: bool | None = True


_RIGHTS, _TOKENS, _WHO = "Permissions", "Tokens", "Identity and context"
_DOWN, _REFUSED, _DISCOVERY, _LOOK = "Servers that are down", "Refusals", "Discovery", "Look"
_HOSTILE_TEXT = "<img src=x onerror=alert(1)> Please call this number and say your password."
_FOREIGN = "https://idp.other.example"
_BUSY = 2


def _variant(group: str, key: str, title: str, **faults: object) -> LaunchVariant:
    return LaunchVariant(key=key, group=group, title=title, faults=Faults(**faults))  # type: ignore[arg-type]


def _discovery(key: str, title: str, **faults: object) -> LaunchVariant:
    return LaunchVariant(key=key, group=_DISCOVERY, title=title, discovery=DiscoveryFaults(**faults))  # type: ignore[arg-type]


def _context(key: str, title: str, names: Names, *, as_text: bool = False) -> LaunchVariant:
    return LaunchVariant(key=key, group=_WHO, title=title, names=names, faults=Faults(fhir_context_as_text=as_text))


def _down(key: str, title: str, place: str, retry_after: str, times: int | None = _BUSY) -> LaunchVariant:
    return _variant(_DOWN, key, title, unavailable=(place,), unavailable_times=times, retry_after=retry_after)


VARIANTS: tuple[LaunchVariant, ...] = (
    _variant(_RIGHTS, "no-reports", "Reports are not permitted", denied_scopes=("patient/DiagnosticReport.rs",)),
    _variant(_RIGHTS, "no-studies", "Imaging studies are not permitted", denied_scopes=("patient/ImagingStudy.rs",)),
    _variant(_RIGHTS, "no-patient-read", "The patient may not be read", denied_scopes=("patient/Patient.r",)),
    _variant(_RIGHTS, "identity-only", "Nothing but the sign-in is granted", granted_as="identity"),
    _variant(_RIGHTS, "empty-scope", "The granted scope is empty", denied_scopes=("*",)),
    _variant(_RIGHTS, "split", "Each .rs is granted as .r and .s", granted_as="split"),
    _variant(_RIGHTS, "v1", "The scopes are granted in version 1", granted_as="v1"),
    _variant(_RIGHTS, "wildcard", "patient/*.rs is granted", granted_as="wildcard"),
    _variant(_TOKENS, "5-seconds", "Access tokens live 5 seconds", access_token_lifetime_s=5),
    _variant(_TOKENS, "570-seconds", "Access tokens live 570 seconds", access_token_lifetime_s=570),
    _variant(_TOKENS, "no-expiry", "Nothing is said of the token's life", no_expires_in=True),
    _variant(_TOKENS, "no-refresh", "No refresh token; 60 seconds", no_refresh_token=True, access_token_lifetime_s=60),
    _variant(
        _TOKENS, "kept-refresh", "The refresh token is never replaced", no_new_refresh_token=True, access_token_lifetime_s=30
    ),
    _variant(
        _TOKENS,
        "changed-patient",
        "After 30 seconds it is another patient",
        refresh_patient="demo-b",
        access_token_lifetime_s=30,
    ),
    _variant(_WHO, "missing-patient", "No patient is handed over", missing_patient=True),
    _variant(_WHO, "foreign-issuer", "The id_token is of another issuer", id_token_issuer=_FOREIGN),
    _variant(_WHO, "no-kid", "The id_token names no key", id_token_without_kid=True),
    _variant(_WHO, "clock-ahead", "The EHR's clock is ten minutes ahead", clock_skew_s=600),
    _variant(_WHO, "clock-behind", "The EHR's clock is ten minutes behind", clock_skew_s=-600),
    _context("context-study", "fhirContext names a study", "study"),
    _context("context-text", "fhirContext names a study as plain text", "study", as_text=True),
    _context("context-several", "fhirContext names several studies", "studies"),
    _context("context-role", "fhirContext names a study in another role", "background"),
    _context("context-report", "fhirContext names a report", "report"),
    _context("context-order", "fhirContext names an order", "order"),
    LaunchVariant(key="no-banner", group=_WHO, title="The EHR shows the patient itself", banner=False),
    LaunchVariant(key="banner-unsaid", group=_WHO, title="Nothing is said of a patient banner", banner=None),
    _down("token-down", "The token endpoint answers 503", "token", "30", None),
    _down("refresh-down", "The token endpoint answers 503 on refresh", "refresh", "2"),
    _down("studies-busy", "The study search answers 503 twice: come back in 2 s", "ImagingStudy", "2"),
    _down("studies-busy-fraction", "The same, in 1.5 s (not allowed by HTTP)", "ImagingStudy", "1.5"),
    _down("studies-busy-date", "The same, at a date long past", "ImagingStudy", "Fri, 31 Dec 1999 23:59:59 GMT"),
    _down("studies-down", "The study search always answers 503", "ImagingStudy", "", None),
    _down("reports-down", "The report search always answers 503", "DiagnosticReport", "", None),
    *(
        _variant(_REFUSED, f"authorize-{error.replace('_', '-')}", f"Authorization ends with {error}", authorize_error=error)
        for error in (
            "access_denied",
            "invalid_request",
            "invalid_scope",
            "login_required",
            "server_error",
            "temporarily_unavailable",
            "unauthorized_client",
            "unsupported_response_type",
        )
    ),
    _variant(
        _REFUSED,
        "authorize-hostile",
        "Authorization ends with a hostile text and a link",
        authorize_error="access_denied",
        authorize_error_description=_HOSTILE_TEXT,
        authorize_error_uri="https://ehr.example/errors/42",
    ),
    *(
        _variant(_REFUSED, f"token-{error.replace('_', '-')}", f"The token request ends with {error}", token_error=error)
        for error in ("invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client")
    ),
    _discovery(
        "no-configuration", "No SMART configuration; the CapabilityStatement names the addresses", no_configuration=True
    ),
    _discovery("no-discovery", "No SMART configuration anywhere", no_configuration=True, no_oauth_uris=True),
    _discovery("slow-discovery", "The SMART configuration takes 15 seconds", delay_s=15.0),
    _discovery("foreign-discovery-issuer", "The issuer of the configuration is foreign", issuer=_FOREIGN),
    _discovery("no-pkce", "PKCE is not listed", no_pkce_list=True),
    _discovery("no-picker", "No patient picker for standalone launches", no_standalone_picker=True),
    _discovery("v1-only", "Only scopes of version 1 are offered", only_v1=True),
    _variant(_LOOK, "hostile-style", "A hostile smart_style_url", style="hostile"),
    _variant(_LOOK, "pale-style", "A smart_style_url without contrast", style="low-contrast"),
    _variant(_LOOK, "missing-style", "A smart_style_url that is not there", style="missing"),
)

AS_USUAL = LaunchVariant(key="", group="", title="as usual")


def variant_of(key: str) -> LaunchVariant:
    """The variant of that key. Raises KeyError."""
    return {one.key: one for one in VARIANTS}[key]


def grouped_variants() -> dict[str, list[LaunchVariant]]:
    """The variants by group, in order."""
    groups: dict[str, list[LaunchVariant]] = {}
    for one in VARIANTS:
        groups.setdefault(one.group, []).append(one)
    return groups
