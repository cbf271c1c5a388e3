"""Whether an EHR's SMART configuration can be read and leads a launch to its end.

Spec: SMART App Launch 2.2 "Conformance" (A1-A3, A11, A26, A33, A34); smart-launch.md §6, §7, §9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from fhir_imaging.clients.smart_metadata import ENDPOINTS, OAUTH_URIS, SmartMetadata, read_smart_configuration, web_address
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.tolerant import as_dict, dicts, text, texts
from imaging_cds.check_context import CheckContext
from imaging_cds.check_probe import Answer
from imaging_cds.check_report import Area, Finding

AREA = Area("SMART configuration")
CLOCK = Area("Clock")
SLOW_MS = 2000.0
SKEW_NOTED_S = 30.0
SKEW_REFUSED_S = 120.0
"""Our client assertions live five minutes and id_tokens are taken with a minute of leeway."""


def read_discovery(context: CheckContext) -> tuple[Answer, Mapping[str, Any] | None]:
    """The SMART configuration as it came; None when there is no JSON object."""
    answer = context.prober.get(f"{context.base}/.well-known/smart-configuration", accept="application/json")
    return answer, answer.document() if answer.status == 200 else None


def check_answer(context: CheckContext, answer: Answer, document: Mapping[str, Any] | None) -> Iterator[Finding]:
    """How the configuration was delivered."""
    if answer.status != 200:
        yield AREA.fault(f"{answer.url}: {answer.said}.", _delivery_remedy(answer))
        yield from _check_legacy(context)
        return
    if document is None:
        yield AREA.fault(f"{answer.url} is not a JSON object.", "The EHR must answer with JSON, whatever Accept says.")
        return
    yield AREA.ok(f"{answer.url} is read in {answer.elapsed_ms:.0f} ms.")
    if not answer.is_json:
        stated = answer.headers.get("Content-Type", "no content type")
        yield AREA.warning(f"It is sent as {stated}.", "The EHR should send application/json; other applications insist.")
    if answer.elapsed_ms > SLOW_MS:
        yield AREA.warning("It comes slowly; every launch waits for it.", "Ask the EHR's operator for a faster answer.")
    if answer.headers.get("Access-Control-Allow-Origin") not in ("*", context.app_origin):
        yield AREA.note("It is not readable by browser applications (no CORS). This application reads it from its server.")


def check_clock(context: CheckContext, answer: Answer) -> Iterator[Finding]:
    """Whether both clocks agree: signed statements are refused where they do not."""
    skew = answer.skew_s(context.prober.clock())
    if skew is None:
        yield CLOCK.note("The EHR does not say what time it has (no Date header).")
        return
    words = f"The EHR's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's."
    remedy = "Let both machines follow a time server (NTP); id_tokens and client assertions are refused otherwise."
    if abs(skew) > SKEW_REFUSED_S:
        yield CLOCK.fault(words, remedy)
    elif abs(skew) > SKEW_NOTED_S:
        yield CLOCK.warning(words, remedy)
    else:
        yield CLOCK.ok("The EHR's clock agrees with this machine's.")


def check_document(context: CheckContext, document: Mapping[str, Any]) -> Iterator[Finding]:
    """What the configuration says, against what a launch needs."""
    for name in ENDPOINTS:
        yield from _check_endpoint(context, document, name)
    yield from _check_pkce(document)
    grants = texts(document.get("grant_types_supported"))
    if grants and "authorization_code" not in grants:
        yield AREA.warning("grant_types_supported lacks authorization_code.", "The EHR must offer it for app launch (D2).")
    if not dicts(document.get("associated_endpoints")) and document.get("associated_endpoints"):
        yield AREA.warning("associated_endpoints is not a list of {url, capabilities}.", "The EHR must correct its shape.")
    yield from _check_launches(texts(document.get("capabilities")))


def metadata_of(context: CheckContext, document: Mapping[str, Any] | None) -> SmartMetadata | None:
    """The configuration as the application reads it."""
    return read_smart_configuration(document or {}, context.issuer)


def offered_by(context: CheckContext, other: EhrSettings) -> SmartMetadata | None:
    """The configuration of another EHR of the installation; None where it cannot be read, which its own check says."""
    answer = context.prober.get(f"{other.fhir_base}/.well-known/smart-configuration", accept="application/json")
    document = answer.document() if answer.status == 200 else None
    return read_smart_configuration(document or {}, other.fhir_base)


def _check_endpoint(context: CheckContext, document: Mapping[str, Any], name: str) -> Iterator[Finding]:
    stated = text(document.get(name))
    if stated is None:
        yield AREA.fault(f"{name} is missing.", "Without it nobody can sign in. The EHR must name it.")
        return
    url = web_address(stated, context.issuer)
    if url is None:
        yield AREA.fault(f"{name} is no http(s) address: {stated}.", "The EHR must correct it.")
        return
    if not urlsplit(stated).scheme:
        yield AREA.warning(
            f"{name} is relative ({stated}).", "It is resolved against the FHIR base; the EHR should write it out."
        )
    if context.is_plain(url):
        yield AREA.fault(f"{name} is plain http: {url}.", "The EHR must offer https (A36).")
    if not context.is_of_ehr(url):
        yield AREA.fault(
            f"{name} is on another origin than the EHR, so nothing and nobody is sent there: {url}.",
            f'If it belongs to the EHR, add "{origin_of(url)}" to server_origins of this EHR.',
        )
    else:
        yield AREA.ok(f"{name} is {url}.")


def _check_pkce(document: Mapping[str, Any]) -> Iterator[Finding]:
    methods = texts(document.get("code_challenge_methods_supported"))
    if "S256" in methods:
        yield AREA.ok("PKCE S256 is offered.")
    else:
        stated = f"lists {', '.join(methods)}" if methods else "is missing"
        yield AREA.warning(
            f"code_challenge_methods_supported {stated}.",
            "The application sends S256 all the same, and servers mostly take it. The EHR should list it.",
        )
    if "plain" in methods:
        yield AREA.note("PKCE plain is offered too; SMART forbids it, and the application never uses it.")


def _check_launches(capabilities: tuple[str, ...]) -> Iterator[Finding]:
    if not capabilities:
        yield AREA.note("capabilities is empty or missing; the application does not depend on it.")
        return
    if "launch-ehr" not in capabilities:
        yield AREA.warning(
            "launch-ehr is not listed.", "Ask whether charts can start the application, or use standalone launches."
        )
    if "launch-standalone" in capabilities and "context-standalone-patient" not in capabilities:
        yield AREA.note("Standalone launches cannot choose a patient here (context-standalone-patient is not listed).")


def _check_legacy(context: CheckContext) -> Iterator[Finding]:
    """Old servers describe their sign-in in the CapabilityStatement only (A3)."""
    statement = context.prober.get(f"{context.base}/metadata?_format=json", accept="application/fhir+json").document() or {}
    securities = [as_dict(rest.get("security")) for rest in dicts(statement.get("rest"))]
    if any(one.get("url") == OAUTH_URIS for security in securities for one in dicts(security.get("extension"))):
        yield AREA.note("The CapabilityStatement names the sign-in (oauth-uris), which the application falls back to.")


def _delivery_remedy(answer: Answer) -> str:
    if answer.failure is not None:
        return answer.remedy or "Check the address, the firewall between here and there, and the certificate's chain."
    if answer.status is not None and 300 <= answer.status < 400:
        if answer.onward is None:
            return "Redirects are not followed. Ask the EHR's operator for the address of its FHIR base."
        return f"Redirects are not followed. Use the address it leads to as FHIR base: {answer.headers['Location']}."
    if answer.status in (401, 403):
        return "The EHR must serve it without sign-in."
    return "Check that the issuer is the FHIR base, byte for byte; the EHR must serve its SMART configuration below it."
