"""Reading an authorization request, strictly; and what must still happen before it can be answered.

Spec: SMART App Launch 2.2 "Obtain authorization code"; RFC 6749 section 4.1.1; RFC 7636.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from ehr_sandbox.authorization import Authorization
from ehr_sandbox.faults import Faults
from ehr_sandbox.oauth_context import LaunchContext, PendingAuthorization
from ehr_sandbox.oauth_faults import PageFault, RedirectFault
from ehr_sandbox.oauth_scopes import REFRESH_SCOPES, grantable, in_other_words, needs_patient
from ehr_sandbox.settings import RegisteredClient, SandboxSettings

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Step(StrEnum):
    """What the user has to do next."""

    SIGN_IN = "sign-in"
    PICK_PATIENT = "pick-patient"
    CONSENT = "consent"
    DONE = "done"


def client_of_request(settings: SandboxSettings, parameters: Mapping[str, str]) -> RegisteredClient:
    """The client, once its redirect_uri is known to be its own. Raises PageFault: until then nothing is redirected."""
    client = settings.client(parameters.get("client_id", ""))
    if client is None:
        raise PageFault("The app that sent you here is not registered at this EHR (client_id).")
    if parameters.get("redirect_uri") not in client.redirect_uris:
        raise PageFault("The app asked to return to an address that it did not register (redirect_uri).")
    return client


def read_request(authorization: Authorization, client: RegisteredClient, parameters: Mapping[str, str]) -> PendingAuthorization:
    """The request, found right. Raises RedirectFault. Spends the launch handle, and only when all else is right."""
    _check_protocol(parameters)
    _check_audience(authorization.settings, parameters)
    _check_pkce(parameters)
    requested = parameters.get("scope", "").split()
    if not requested:
        raise RedirectFault("invalid_scope", "scope is missing")
    context = _launch_context(authorization, client, parameters, requested)
    context = _with_faults(context, client)
    _fail_deliberately(context.faults)
    scope = grantable(" ".join(requested), client.scopes, context.faults.denied_scopes)
    return PendingAuthorization(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        state=parameters.get("state"),
        scope=in_other_words(_honoured(scope, context, is_ehr_launch="launch" in parameters), context.faults.granted_as),
        code_challenge=parameters["code_challenge"],
        nonce=parameters.get("nonce"),
        context=context,
        is_ehr_launch="launch" in parameters,
    )


def _check_protocol(parameters: Mapping[str, str]) -> None:
    if "request" in parameters or "request_uri" in parameters:
        raise RedirectFault("request_not_supported", "request objects are not supported")
    match parameters.get("response_type"):
        case "code":
            pass
        case None:
            raise RedirectFault("invalid_request", "response_type is missing")
        case _:
            raise RedirectFault("unsupported_response_type", "response_type must be code")
    if not parameters.get("state"):
        raise RedirectFault("invalid_request", "state is missing")


def _check_audience(settings: SandboxSettings, parameters: Mapping[str, str]) -> None:
    if parameters.get("aud") != settings.fhir_base:
        raise RedirectFault("invalid_request", f"aud must be {settings.fhir_base}, byte for byte")


def _check_pkce(parameters: Mapping[str, str]) -> None:
    if "code_challenge" not in parameters:
        raise RedirectFault("invalid_request", "code_challenge is missing: PKCE is required of every client")
    # RFC 7636 reads a missing method as plain, which is refused just the same.
    if parameters.get("code_challenge_method") != "S256":
        raise RedirectFault("invalid_request", "code_challenge_method must be S256")
    if _CHALLENGE.fullmatch(parameters["code_challenge"]) is None:
        raise RedirectFault("invalid_request", "code_challenge is not a SHA-256 in base64url")


def _launch_context(
    authorization: Authorization, client: RegisteredClient, parameters: Mapping[str, str], requested: list[str]
) -> LaunchContext:
    if "launch" not in parameters:
        # A server without a picker grants, and has no patient to name.
        faults = Faults(missing_patient=authorization.faults.discovery.no_standalone_picker)
        return LaunchContext(ask_consent=True, faults=faults)
    if "launch" not in requested:
        raise RedirectFault("invalid_scope", "an EHR launch needs the scope 'launch'")
    context = authorization.records.take_launch(parameters["launch"], client.client_id, time.time())
    if context is None:
        raise RedirectFault("invalid_request", "the launch is unknown, expired, used or another client's")
    return context


def _fail_deliberately(faults: Faults) -> None:
    if faults.authorize_error is not None:
        said = faults.authorize_error_description or "refused on purpose, to see what the app does"
        raise RedirectFault(faults.authorize_error, said, faults.authorize_error_uri)


def _honoured(scope: tuple[str, ...], context: LaunchContext, *, is_ehr_launch: bool) -> tuple[str, ...]:
    dropped = set() if is_ehr_launch else {"launch"}
    if context.faults.no_refresh_token:
        dropped |= set(REFRESH_SCOPES)
    if context.encounter is None:
        # There is no encounter picker, and a scope that cannot be honoured is not granted.
        dropped.add("launch/encounter")
    return tuple(text for text in scope if text not in dropped)


def _with_faults(context: LaunchContext, client: RegisteredClient) -> LaunchContext:
    """A fault of the launch wins over the same one of the client."""
    denied = (*client.faults.denied_scopes, *context.faults.denied_scopes)
    faults = replace(context.faults.over(client.faults), denied_scopes=denied)
    return replace(context, faults=faults, ask_consent=context.ask_consent or client.ask_consent)


def next_step(pending: PendingAuthorization, *, consented: bool = False) -> Step:
    """What is missing before the request can be granted (S8: a `patient/` scope forces a patient)."""
    context = pending.context
    if context.user is None:
        return Step.SIGN_IN
    if context.patient is None and needs_patient(pending.scope) and not context.faults.missing_patient:
        return Step.PICK_PATIENT
    if context.ask_consent and not consented:
        return Step.CONSENT
    return Step.DONE


def with_user(pending: PendingAuthorization, user: str) -> PendingAuthorization:
    """The request of a signed-in user; a patient who signs in is the patient in context."""
    resource_type, _, resource_id = user.partition("/")
    patient = pending.context.patient
    if resource_type == "Patient" and not pending.is_ehr_launch:
        patient = resource_id
    return replace(pending, context=replace(pending.context, user=user, patient=patient))


def with_patient(pending: PendingAuthorization, patient: str) -> PendingAuthorization:
    """The request once a patient was picked."""
    return replace(pending, context=replace(pending.context, patient=patient))
