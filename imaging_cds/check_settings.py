"""Whether what this installation says of an EHR fits what the EHR says of itself.

Spec: SMART App Launch 2.2 (A4, A13, A15, A16, A24, A26); smart-launch.md §4 (frames), §6 (vendors).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.client_assertions import assertion_algorithm
from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.scopes import ScopeContext, parse_scopes
from fhir_imaging.settings import ClientAuth
from fhir_imaging.tolerant import texts
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from smart_app.launch import LaunchKind, LaunchRequest, scopes_for

AREA = Area("This installation's settings")
_CAPABILITY = {
    ClientAuth.PUBLIC: "client-public",
    ClientAuth.SECRET_BASIC: "client-confidential-symmetric",
    ClientAuth.PRIVATE_KEY_JWT: "client-confidential-asymmetric",
}


def check_settings(context: CheckContext, document: Mapping[str, Any], metadata: SmartMetadata) -> Iterator[Finding]:
    """Client authentication, scopes, frames."""
    if context.is_configured:
        yield AREA.ok(f"The issuer is configured as {context.ehr.title} (client {context.ehr.client_id}).")
    yield from _check_client(context, document)
    yield from _check_assertions(context, metadata)
    yield from _check_scopes(context, document, metadata)
    if not context.ehr.frame_ancestors:
        yield AREA.note(
            "frame_ancestors is empty: the application refuses to be shown in a frame of this EHR.",
            "If the EHR embeds applications, add the origin of its pages to frame_ancestors.",
        )


def _check_client(context: CheckContext, document: Mapping[str, Any]) -> Iterator[Finding]:
    auth = context.ehr.client_auth
    methods, capabilities = (texts(document.get(n)) for n in ("token_endpoint_auth_methods_supported", "capabilities"))
    if auth is ClientAuth.SECRET_BASIC and context.ehr.client_secret is None:
        yield AREA.fault("client_auth is client_secret_basic and no secret is given.", "Give client_secret by the environment.")
    # A public client sends nothing that a list could contradict.
    if auth is not ClientAuth.PUBLIC and methods and auth.value not in methods:
        yield AREA.fault(
            f"client_auth is {auth.value}, and the EHR takes {', '.join(methods)}.",
            "Set client_auth of this EHR as it is registered there.",
        )
    elif capabilities and _CAPABILITY[auth] not in capabilities:
        yield AREA.warning(
            f"client_auth is {auth.value}, and the EHR does not list {_CAPABILITY[auth]}.",
            "Compare client_auth with the registration at the EHR.",
        )
    else:
        yield AREA.ok(f"The EHR takes {auth.value} clients, or does not say which it takes.")


def _check_assertions(context: CheckContext, metadata: SmartMetadata) -> Iterator[Finding]:
    if context.ehr.client_auth is not ClientAuth.PRIVATE_KEY_JWT:
        return
    algorithm = assertion_algorithm(context.ehr, metadata, context.assertion_algorithm)
    listed = metadata.token_signing_algorithms
    if listed and algorithm not in listed:
        yield AREA.fault(
            f"Client assertions are signed with {algorithm}, and the EHR takes {', '.join(listed)}.",
            "Set assertion_algorithm of this EHR to one of them that the application can make (ES384, RS384).",
        )


def _check_scopes(context: CheckContext, document: Mapping[str, Any], metadata: SmartMetadata) -> Iterator[Finding]:
    """What a launch from the chart would ask for, against what is offered."""
    words = scopes_for(LaunchRequest(ehr=context.ehr, iss=context.issuer, kind=LaunchKind.EHR), metadata.capabilities)
    asked = words.split()
    if not parse_scopes(words).granting("ImagingStudy", "s", contexts=(ScopeContext.PATIENT, ScopeContext.USER)):
        yield AREA.fault("The scopes do not ask for searching ImagingStudy.", "Add patient/ImagingStudy.rs to scopes (C1).")
    yield from _check_scope_version(metadata.capabilities, asked)
    supported = texts(document.get("scopes_supported"))
    missing = [scope for scope in asked if supported and not _is_covered(scope, supported)]
    if missing:
        yield AREA.note(
            f"scopes_supported does not list {', '.join(missing)}; lists are often incomplete, so they are asked for.",
            "Make sure that the registration at the EHR holds them.",
        )
    if not {"online_access", "offline_access"} & set(asked):
        yield AREA.note(
            "No refresh token is asked for: the images disappear when the access token ends.",
            "Add online_access to scopes if the EHR offers it.",
        )


def _check_scope_version(capabilities: tuple[str, ...], asked: list[str]) -> Iterator[Finding]:
    if "permission-v1" not in capabilities or "permission-v2" in capabilities:
        return
    if _has_v2(asked):
        yield AREA.warning(
            "The EHR lists scopes of version 1 only, and version 2 is asked for.",
            "Set scope_style of this EHR to auto, which then asks for patient/ImagingStudy.read and so on.",
        )
    else:
        yield AREA.ok("The EHR lists scopes of version 1 only, and is asked for those.")


def _has_v2(scopes: list[str]) -> bool:
    return any("/" in one and one.rpartition(".")[2] not in ("read", "write", "*") for one in scopes)


def _is_covered(scope: str, supported: tuple[str, ...]) -> bool:
    if scope in supported or "/" not in scope:
        return scope in supported
    asked, offered = parse_scopes(scope).clinical, parse_scopes(" ".join(supported)).clinical
    return all(
        any(
            other.context is one.context and other.covers(one.resource_type) and one.letters <= other.letters
            for other in offered
        )
        for one in asked
    )
