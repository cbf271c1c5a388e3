"""What the EHR's redirect leads to: a session, made once, or a page that says why not.

Spec: SMART App Launch 2.2 (A10, A20-A22, A27-A28, A34), RFC 6749 §4.1.2, RFC 9207.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from werkzeug.datastructures import MultiDict

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.tolerant import text
from smart_app.active_session import ActiveSession
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.identity import Expectation, Identity, IdentityFault
from smart_app.launch import PendingLaunch, asks_identity, failure_of, is_same_issuer, token_failure_of
from smart_app.named_study import NamedStudy
from smart_app.one_patient import record_bases
from smart_app.pages import explained
from smart_app.services import SmartAppServices
from smart_app.token_response import TokenResponse
from smart_app.tokens import TokenRefused

log = logging.getLogger("imaging_cds.launch")
WAIT_FOR_OTHER_S = 15.0
WAIT_STEP_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackParameters:
    """The redirect's query and this browser's binding. Everything here is untrusted."""

    state: str | None
    code: str | None
    error: str | None
    error_description: str | None
    error_uri: str | None
    iss: str | None
    binding: str | None

    @classmethod
    def of(cls, query: MultiDict[str, str], binding: str | None) -> CallbackParameters:
        """The parameters of a callback request; one that occurs twice counts as absent (RFC 6749 §3.1)."""
        names = ("state", "code", "error", "error_description", "error_uri", "iss")
        return cls(**{name: _only(query, name) for name in names}, binding=binding)


@dataclass(frozen=True, slots=True)
class _Opening:
    """For whom a session is opened, and the FHIR bases that it concerns."""

    binding: str
    bases: frozenset[str]


class Callback:
    """Completes a launch exactly once, however often its callback comes."""

    def __init__(self, services: SmartAppServices) -> None:
        self._services = services

    def complete(self, parameters: CallbackParameters) -> tuple[str, str | None]:
        """The session's id, and the path of the study that the launch points at (None = the list)."""
        pending = self._pending(parameters)
        if not pending.is_finished and self._services.pending.claim(parameters.state or "", now=self._services.now()):
            # Somebody may have finished between our look and the claim.
            pending = self._pending(parameters)
            if not pending.is_finished:
                return self._finish(pending, parameters)
        return self._again(self._finished_by_other(pending, parameters))

    def _pending(self, parameters: CallbackParameters) -> PendingLaunch:
        """The launch of this state, if this very browser began it."""
        now = self._services.now()
        pending = self._services.pending.find(parameters.state, now=now) if parameters.state else None
        if pending is None:
            raise ExplainedRefusal(Reason.STATE_UNKNOWN, facts=_error_facts(parameters))
        if parameters.binding is None or not hmac.compare_digest(parameters.binding, pending.binding):
            raise ExplainedRefusal(Reason.OTHER_BROWSER, facts={"iss": pending.iss})
        if not pending.is_finished and now >= pending.created_at + self._services.settings.pending_lifetime_s:
            raise ExplainedRefusal(Reason.LAUNCH_EXPIRED, facts={"iss": pending.iss})
        return pending

    def _finished_by_other(self, pending: PendingLaunch, parameters: CallbackParameters) -> PendingLaunch:
        waited = 0.0
        while not pending.is_finished:
            if waited >= WAIT_FOR_OTHER_S:
                raise ExplainedRefusal(Reason.EHR_UNAVAILABLE, facts={"iss": pending.iss})
            self._services.sleep(WAIT_STEP_S)
            waited += WAIT_STEP_S
            pending = self._pending(parameters)
        return pending

    def _again(self, pending: PendingLaunch) -> tuple[str, str | None]:
        if pending.session is None:
            raise ExplainedRefusal(Reason(pending.failure or Reason.STATE_UNKNOWN), facts={"iss": pending.iss})
        session = self._services.sessions.find(pending.session, now=self._services.now())
        if session is None:
            raise ExplainedRefusal(Reason.SESSION_UNKNOWN)
        return pending.session, first_study_path(pending.session, session.named_studies)

    def _finish(self, pending: PendingLaunch, parameters: CallbackParameters) -> tuple[str, str | None]:
        expires_at = pending.created_at + self._services.settings.session_lifetime_s
        try:
            session = self._session(pending, parameters)
        except ExplainedRefusal as refusal:
            finished = pending.finished(failure=refusal.reason)
            self._services.pending.finish(parameters.state or "", finished, expires_at=expires_at)
            raise
        self._services.noted_tokens.note(session)
        session_id = self._services.sessions.open(session)
        log.info("session opened at ehr %s, tenant %s, %s launch", session.ehr, session.tenant or "-", pending.kind.value)
        self._services.pending.finish(parameters.state or "", pending.finished(session=session_id), expires_at=expires_at)
        self._note_used(pending, session_id, session)
        return session_id, first_study_path(session_id, session.named_studies)

    def _note_used(self, pending: PendingLaunch, session_id: str, session: ActiveSession) -> None:
        """Kept as long again as the session may live, so that an old launch address is told apart from a new one."""
        if pending.handle is not None:
            expires_at = session.session_expires_at + self._services.settings.session_lifetime_s
            now = self._services.now()
            self._services.used_launches.note(pending.binding, pending.handle, session_id, now=now, expires_at=expires_at)

    def _session(self, pending: PendingLaunch, parameters: CallbackParameters) -> ActiveSession:
        """The new session; ExplainedRefusal for everything that may be wrong, checked before the code is spent."""
        ehr = self._known_ehr(pending)
        try:
            metadata = self._services.metadata.of(pending.iss)
            _check_issuer(ehr, metadata, pending, parameters.iss)
            response = self._exchange(ehr, metadata, pending, _granted_code(pending, parameters))
            identity = self._identity(ehr, metadata, pending, response)
        except UpstreamError as error:
            raise explained(error, iss=pending.iss) from error
        bases = record_bases(ehr, metadata, pending.iss)
        return self._opened(pending, response, identity, _Opening(parameters.binding or "", bases))

    def _known_ehr(self, pending: PendingLaunch) -> EhrSettings:
        """The EHR of the launch, unless the site has taken it away since."""
        ehr = self._services.ehr(pending.ehr)
        if ehr is None:
            raise ExplainedRefusal(Reason.UNKNOWN_EHR, facts={"iss": pending.iss})
        return ehr

    def _exchange(self, ehr: EhrSettings, metadata: SmartMetadata, pending: PendingLaunch, code: str) -> TokenResponse:
        client = self._services.token_client(ehr, metadata)
        try:
            return self._once_more_if_busy(lambda: client.exchange(code, pending.code_verifier))
        except TokenRefused as refused:
            reason = token_failure_of(refused.error)
            facts = {"iss": pending.iss, "aud": pending.iss, "error": refused.error, "said": refused.description or ""}
            if reason is Reason.CLIENT_REJECTED:
                facts["compare"] = client.disagreement or ""
            raise ExplainedRefusal(reason, facts=_bounded(facts)) from refused

    def _once_more_if_busy(self, exchange: Callable[[], TokenResponse]) -> TokenResponse:
        """A server that says it is busy has not taken the code, which lives long enough for one more try."""
        try:
            return exchange()
        except UpstreamError as error:
            wait = float(error.retry_after_s or 1)
            if error.status not in (429, 503) or wait > self._services.settings.busy_wait_s:
                raise
            self._services.sleep(wait)
        return exchange()

    def _identity(
        self, ehr: EhrSettings, metadata: SmartMetadata, pending: PendingLaunch, response: TokenResponse
    ) -> Identity | None:
        """Who signed in; None when the EHR sent no id_token. A wrong one ends the launch (A34)."""
        if response.id_token is None or not asks_identity(pending.scopes):
            return None
        stated = metadata.issuer or pending.iss
        judged = self._services.identity.verify(
            response.id_token,
            Expectation(
                issuers=(stated, *ehr.issuer_aliases),
                client_id=ehr.client_id,
                nonce=pending.nonce,
                jwks_uri=metadata.jwks_uri,
                leeway_s=self._services.settings.id_token_leeway_s,
                now=self._services.now(),
            ),
        )
        if isinstance(judged, IdentityFault):
            raise ExplainedRefusal(
                Reason.IDENTITY_INVALID, facts={"iss": pending.iss, "expected issuer": stated, "fault": judged.fault}
            )
        return judged

    def _opened(
        self, pending: PendingLaunch, response: TokenResponse, identity: Identity | None, opening: _Opening
    ) -> ActiveSession:
        scope = pending.scopes if response.scope is None else response.scope
        if response.patient is None:
            raise ExplainedRefusal(Reason.NO_PATIENT, facts={"iss": pending.iss, "granted scope": scope})
        if response.contradicts(response.patient, opening.bases):
            raise ExplainedRefusal(Reason.TWO_PATIENTS, facts={"iss": pending.iss})
        now = self._services.now()
        ends = now + self._services.settings.session_lifetime_s
        lifetime = response.expires_in_s or self._services.settings.assumed_token_lifetime_s
        asked = (NamedStudy(study_instance_uid=pending.study),) if pending.study else ()
        return ActiveSession(
            ehr=pending.ehr,
            iss=pending.iss,
            patient=response.patient,
            scope=scope,
            access_token=response.access_token,
            refresh_token=response.refresh_token,
            token_issued_at=now,
            token_expires_at=min(now + lifetime, ends),
            created_at=now,
            session_expires_at=ends,
            bindings=(opening.binding,),
            user=identity.fhir_user if identity else None,
            tenant=response.tenant,
            need_patient_banner=response.need_patient_banner,
            style_url=response.style_url,
            named_studies=(*asked, *response.context.studies),
        )


def first_study_path(session_id: str, named: tuple[NamedStudy, ...]) -> str | None:
    """Where a launch that names a study goes first; the page there rechecks it against the patient's own list."""
    return f"/s/{quote(session_id, safe='')}/named" if named else None


def _check_issuer(ehr: EhrSettings, metadata: SmartMetadata, pending: PendingLaunch, answered: str | None) -> None:
    """RFC 9207: an answer that names another server, or none where the EHR promises to name itself, is a mix-up."""
    is_left_out = metadata.states_issuer and answered is None
    if is_left_out or not is_same_issuer(answered, (metadata.issuer, pending.iss, *ehr.issuer_aliases)):
        raise ExplainedRefusal(Reason.ISSUER_MIX_UP, facts={"iss": pending.iss, "answered": answered or ""})


def _granted_code(pending: PendingLaunch, parameters: CallbackParameters) -> str:
    """The code of a redirect that grants; an error, or neither, ends the launch."""
    if parameters.error or not parameters.code:
        raise _declined(parameters, pending)
    return parameters.code


def _only(query: MultiDict[str, str], name: str) -> str | None:
    values = query.getlist(name)
    return text(values[0]) if len(values) == 1 else None


def _declined(parameters: CallbackParameters, pending: PendingLaunch) -> ExplainedRefusal:
    reason = failure_of(parameters.error) if parameters.error else Reason.AUTHORIZATION_FAILED
    facts = {"iss": pending.iss, "aud": pending.iss, **_error_facts(parameters)}
    if reason is Reason.SCOPE_REFUSED:
        facts["asked scopes"] = pending.scopes
    return ExplainedRefusal(reason, facts=facts, more=_web_address(parameters.error_uri))


def _error_facts(parameters: CallbackParameters) -> dict[str, str]:
    return _bounded({"error": parameters.error or "", "said": parameters.error_description or ""})


def _bounded(facts: dict[str, str]) -> dict[str, str]:
    return {name: value[:500] for name, value in facts.items() if value}


def _web_address(uri: str | None) -> str | None:
    """A link that may be offered, never followed by us: http(s) only."""
    if uri is None or len(uri) >= 2000:
        return None
    try:
        origin_of(uri)
    except ValueError:
        return None
    return uri
