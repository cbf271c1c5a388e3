"""What the gateway writes into the audit log: each study once per token and window, each search, each refusal.

Spec: SMART Imaging Access P8, group 35; IHE BALP (the FHIR form is made by ``fhir_imaging.fhir_mapping.audit_event``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, quote_plus

from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.audit import AuditAction, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.errors import TooManyRequests, UpstreamError
from imaging_server.access import AccessGrant
from imaging_server.held_back import HeldBackRecords
from imaging_server.iua import Coding
from imaging_server.policy import NOTHING_THERE
from imaging_server.rate_limit import HeldBack, RequestLimits
from imaging_server.resource import DicomResource, Kind

AUTHORIZATION_UNAVAILABLE = "authorization-unavailable"
METHOD_NOT_ALLOWED = "method-not-allowed"
NO_SUCH_ARCHIVE = "no-such-archive"
_NOBODYS_FAULT = frozenset({AUTHORIZATION_UNAVAILABLE, *(one.value for one in NOTHING_THERE)})
_ACTIONS = {
    Kind.SEARCH: AuditAction.SEARCHED,
    Kind.METADATA: AuditAction.STUDY_DESCRIBED,
    Kind.THUMBNAIL: AuditAction.STUDY_PREVIEWED,
}
"""What a request of this kind discloses; any other opens the study."""
SHORTEST_TOKEN = 8
"""Characters below which a token cannot be told from a word of the query; no authorization server makes such."""
LARGEST_PREVIEW = 256
"""Pixels of the longer side up to which a rendered picture is a preview: lists use it where archives have no thumbnails."""
_WHOLE_VIEWPORT = re.compile(r"([0-9]{1,4}),([0-9]{1,4})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request as the audit log needs it. ``query`` is the raw query of a search, never of anything with a token in it."""

    ehr: str
    resource: DicomResource
    query: str | None
    client_address: str | None
    request_id: str
    refused_method: str | None = None
    """The HTTP method, where it is what is refused."""
    token: str | None = None
    """Fingerprint of a token as presented: refusals are counted by it, and it stands in no record."""


def without_token(query: str, authorization: str | None) -> str:
    """A query as it may be recorded: the token that was presented is left out, should somebody search by it (group 34)."""
    token = (authorization or "").rpartition(" ")[2]
    if len(token) < SHORTEST_TOKEN:
        return query
    return query.replace(token, "(token)").replace(quote_plus(token), "(token)")


@contextmanager
def _recording() -> Iterator[None]:
    """A database that cannot be written to means that nothing is opened, for now (503)."""
    try:
        yield
    except SQLAlchemyError as exc:
        raise UpstreamError(
            "The access could not be recorded, so it was not allowed. Please try again.",
            server="audit log",
            retryable=True,
            cause=type(exc).__name__,
        ) from exc


class AccessAudit:
    """Appends before the answer goes out: an access that cannot be recorded does not happen."""

    def __init__(self, log: AuditLog, *, window_s: int, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._window_s = window_s
        self._clock = clock
        # Spares the database a question for each frame; the shared memory of the log itself decides.
        # Until when (UTC seconds) is what it keeps.
        self._recorded: DecisionCache[int] = DecisionCache()
        self._held_back = HeldBackRecords(self._append)
        self._limits: RequestLimits | None = None

    def limited_by(self, limits: RequestLimits) -> None:
        """From now on ``limits`` is told of each refusal that is recorded."""
        self._limits = limits

    def close(self) -> None:
        """Writes what was counted only."""
        self._held_back.settle(all_of_them=True)

    def allowed(self, attempt: Attempt, grant: AccessGrant) -> None:
        """Records an access: searches for studies each time; what else was done to a study, once in the window."""
        self._held_back.settle()
        study = attempt.resource.study
        if study is None:
            self._append(self._record(attempt, grant, AuditOutcome.ALLOWED, None))
            return
        key = _key(attempt, grant, study)
        if self._recorded.kept(key) is not None:
            return

        def append() -> int:
            now, once = int(self._clock()), "\n".join(key)
            until, record = now + self._window_s, self._record(attempt, grant, AuditOutcome.ALLOWED, None)
            with _recording():
                if self._log.append_once(record, key=once, until=until, now=now):
                    return until
                # Another worker has it on record, and its window ends before one that would begin now.
                return min(until, self._log.once_until(once) or now)

        self._recorded.get(key, append, seconds=lambda until: until - self._clock())

    def is_on_record(self, attempt: Attempt, grant: AccessGrant, study: str) -> Callable[[], bool]:
        """What tells, at any later time, whether ``allowed`` would record nothing more of this study."""
        key = _key(attempt, grant, study)
        return lambda: self._recorded.kept(key) is not None

    def recorded_for(self, attempt: Attempt, grant: AccessGrant) -> float:
        """Seconds for which ``allowed`` would record nothing more of the study; 0 or less where it would."""
        until = self._recorded.kept(_key(attempt, grant, attempt.resource.study or ""))
        return 0.0 if until is None else until - self._clock()

    def denied(self, attempt: Attempt, grant: AccessGrant | None, reason: str) -> None:
        """Records a refusal with its reason; ``grant`` is None when the token did not hold.

        What could not be decided about a token that holds is no refusal: nobody is held back for it, and no flood of it is
        recorded one by one. A token that could not be checked may be any text, and each costs a question: it counts as refused.
        Nor is it the caller's doing that an archive has nothing of their own patient's study.
        """
        self._held_back.settle()
        if reason in _NOBODYS_FAULT and grant is not None:
            self._not_refused(attempt, grant, reason)
            return
        self._count(attempt, grant)
        self._append(self._record(attempt, grant, AuditOutcome.DENIED, reason))

    def held_back(self, attempt: Attempt, grant: AccessGrant | None, held: HeldBack) -> None:
        """Records a request that came too early: a caller's first at once, then one record a minute with their number."""
        self._held_back.settle()
        self._held_back.note(held.caller, self._record(attempt, grant, AuditOutcome.DENIED, TooManyRequests.code))

    def _not_refused(self, attempt: Attempt, grant: AccessGrant, reason: str) -> None:
        """A record of its own as long as the limits allow a refusal one, then one a minute with the number of requests."""
        record = self._record(attempt, grant, AuditOutcome.DENIED, reason)
        above = self._limits.not_refused(grant) if self._limits else None
        if above is None:
            self._append(record)
        else:
            self._held_back.note((reason, *above.caller), record)

    def _count(self, attempt: Attempt, grant: AccessGrant | None) -> None:
        """A refusal costs a record, so nobody has more of them than the limits allow."""
        if self._limits is None:
            return
        if grant is not None:
            self._limits.refused(grant)
        elif attempt.token is not None:
            self._limits.refused_token(attempt.ehr, attempt.token, attempt.client_address)

    def _append(self, record: AuditRecord) -> None:
        with _recording():
            self._log.append(record)

    def _record(self, attempt: Attempt, grant: AccessGrant | None, outcome: AuditOutcome, reason: str | None) -> AuditRecord:
        is_search = attempt.resource.kind is Kind.SEARCH and attempt.refused_method is None
        return AuditRecord(
            recorded_at=int(self._clock()),
            ehr=attempt.ehr,
            action=_action_of(attempt),
            outcome=outcome,
            reason=reason,
            patient_id=grant.patient_id if grant else None,
            user=grant.user if grant else None,
            client_id=grant.client_id if grant else None,
            issuer=grant.issuer if grant else None,
            study_instance_uid=attempt.resource.study,
            query=attempt.query if is_search else None,
            client_address=attempt.client_address,
            request_id=attempt.request_id,
            token_reference=grant.token_reference if grant else None,
            subject_role=_in_tokens(grant.iua.subject_role) if grant else None,
            purpose_of_use=_in_tokens(grant.iua.purpose_of_use) if grant else None,
            method=attempt.refused_method,
        )


def _key(attempt: Attempt, grant: AccessGrant, study: str) -> tuple[str, ...]:
    """What is recorded once in the window, for each who asks: not every server gives each token a ``jti`` of its own."""
    who = [name or "" for name in (grant.patient_id, grant.user, grant.client_id)]
    return (attempt.ehr, _action_of(attempt).value, grant.issuer, grant.token_reference, *who, study)


def _in_tokens(codings: Sequence[Coding]) -> tuple[str, ...] | None:
    """As FHIR searches write codes: ``system|code``, or the code alone."""
    return tuple(f"{one.system}|{one.code}" if one.system else one.code for one in codings) or None


def _action_of(attempt: Attempt) -> AuditAction:
    if attempt.refused_method is not None:
        return AuditAction.METHOD_REFUSED
    if attempt.resource.kind is Kind.RENDERED and _is_preview(attempt.query or ""):
        return AuditAction.STUDY_PREVIEWED
    if attempt.resource.kind is Kind.THUMBNAIL and _viewports(attempt.query or "") and not _is_preview(attempt.query or ""):
        return AuditAction.STUDY_OPENED
    return _ACTIONS.get(attempt.resource.kind, AuditAction.STUDY_OPENED)


def _is_preview(query: str) -> bool:
    """Whether the whole picture is asked for, small; a cut-out of it (PS3.18 §8.3.5.1.3) shows as much as the picture."""
    asked = _viewports(query)
    size = _WHOLE_VIEWPORT.fullmatch(asked[0]) if len(asked) == 1 else None
    return size is not None and all(0 < int(side) <= LARGEST_PREVIEW for side in size.groups())


def _viewports(query: str) -> list[str]:
    """The sizes that are asked for, read as the archive reads them: ``%76iewport`` is a viewport too."""
    return parse_qs(query.partition("?")[2]).get("viewport", [])
