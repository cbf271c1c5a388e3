"""Servers that an EHR names and this site does not allow, in the audit trail: once for each session and server.

The page says so where the studies stand; the record is for those who decide what is allowed, and for those who look for an EHR
that was made to name somebody else's server.

Spec: SMART Imaging Access security group 25 (a refused endpoint is visible in UI and audit).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fhir_imaging.audit import ORIGIN_NOT_ALLOWED, AuditAction, AuditLog, AuditOutcome, AuditRecord, user_at
from fhir_imaging.settings import origin_of
from fhir_imaging.web import request_reference
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession

NO_WEB_ADDRESS = "not a web address"
"""What is recorded in place of an address that has no origin, such as ``javascript:``."""
_PLAIN_ORIGIN = re.compile(r"https?://[a-z0-9._:\[\]-]{1,260}")


class RefusedEndpoints:
    """The audit trail of one session's refused servers. Of an address only the origin is kept: a path may be a capability."""

    def __init__(self, services: SmartAppServices, live: LiveSession) -> None:
        self._services = services
        self._live = live
        self._known: set[str] = set()

    def record(self, addresses: Iterable[str]) -> None:
        """Records the servers of these addresses that this session has no record of yet."""
        origins = {_origin_in_words(address) for address in addresses} - self._known
        for origin in sorted(origins):
            self._record(origin)
        self._known |= origins

    def _record(self, origin: str) -> None:
        session, now = self._live.session, self._services.now()
        record = AuditRecord(
            recorded_at=now,
            ehr=session.ehr,
            action=AuditAction.ENDPOINT_REFUSED,
            outcome=AuditOutcome.DENIED,
            reason=f"{ORIGIN_NOT_ALLOWED}: {origin}",
            patient_id=session.patient,
            user=user_at(session.user, session.iss),
            issuer=session.iss,
            request_id=request_reference(),
        )
        key = f"endpoint-refused {self._live.session_id} {origin}"
        AuditLog(self._services.store).append_once(record, key=key, until=session.session_expires_at, now=now)


def _origin_in_words(address: str) -> str:
    """The origin, as it may stand in a log: nothing that a terminal or a table would take for more than a name."""
    try:
        origin = origin_of(address)
    except ValueError:
        return NO_WEB_ADDRESS
    return origin if _PLAIN_ORIGIN.fullmatch(origin) else NO_WEB_ADDRESS
