"""Tokens checked once for many requests, and refused as soon as an administrator has ended their access.

Spec: SMART Imaging Access F5, groups 6 and 23; DESIGN §8.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotAuthenticated, UpstreamError
from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.launched_tokens import LaunchedTokens
from imaging_server.access import AccessGrant, BearerToken
from imaging_server.answer_forms import read_grant, write_grant
from imaging_server.kept_answers import KeptAnswers
from imaging_server.revocations import Marks, Revocations
from imaging_server.settings import ImagingServerSettings
from imaging_server.shared_decisions import Form, SharedDecisions
from imaging_server.token_authorities import TokenAuthorities
from imaging_server.tokens import TokenVerifier

REVOKED = "token-revoked-here"


@dataclass(frozen=True, slots=True)
class _Checked:
    """What a token opens, and the newest revocation concerning it that was known before anybody was asked about it."""

    grant: AccessGrant
    revision: int


def _write(checked: _Checked) -> list[Any]:
    return [write_grant(checked.grant), checked.revision]


def _read(written: Any) -> _Checked:
    grant, revision = written
    return _Checked(read_grant(grant), int(revision))


_FORM: Form[_Checked] = Form("token", _write, _read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Where what is known of tokens comes from, beside the EHRs; ``shared`` is None where each worker is for itself."""

    revocations: Revocations
    shared: SharedDecisions | None = None
    clock: Callable[[], float] = time.time


class KeptTokens(TokenVerifier):
    """Keeps what the checks of ``TokenVerifier`` say, which itself keeps refusals only. Thread-safe."""

    def __init__(
        self,
        settings: ImagingServerSettings,
        session: OutboundSession,
        authorities: TokenAuthorities,
        launched: LaunchedTokens,
        memory: Memory,
        *,
        digest: Callable[[str], str],
    ) -> None:
        # The check itself keeps nothing that opens: kept twice, an answer could live twice as long.
        settings_of_check = replace(settings, decision_cache_s=0)
        super().__init__(settings_of_check, session, authorities, launched, digest=digest, clock=memory.clock)
        self._keep_s = settings.decision_cache_s
        self._memory = memory
        self._kept: KeptAnswers[_Checked] = KeptAnswers(_FORM, memory.shared, clock=memory.clock)

    def verify(self, ehr: EhrSettings, token: BearerToken) -> AccessGrant:
        """As ``TokenVerifier.verify``; UpstreamError too while nobody can say whether access was ended."""
        marks = self._memory.revocations.current()
        checked = self._checked(ehr, token, marks)
        needed = marks.concerning(checked.grant)
        if checked.revision < needed:
            checked = self._checked(ehr, token, marks, str(needed))
        if marks.refuses(checked.grant):
            raise NotAuthenticated("This token's access was ended here.", challenge="invalid_token", code=REVOKED)
        return replace(checked.grant, revision=needed) if needed else checked.grant

    def still_holds(self, grant: AccessGrant) -> bool:
        """Whether no mark has come that ``verify`` would heed; False too while that cannot be read, which it then tells."""
        try:
            marks = self._memory.revocations.current()
        except UpstreamError:
            return False
        return _let_stand(marks, grant)

    def is_known_to_hold(self, grant: AccessGrant) -> bool:
        """As ``still_holds``, by what is known: nothing is looked up, so a no may mean that it is time to."""
        marks = self._memory.revocations.known()
        return marks is not None and _let_stand(marks, grant)

    def _checked(self, ehr: EhrSettings, token: BearerToken, marks: Marks, *since: str) -> _Checked:
        def ask() -> _Checked:
            grant = super(KeptTokens, self).verify(ehr, token)
            # Not the newest of all: a smaller number may show later than a larger one, and is as new.
            return _Checked(grant, marks.concerning(grant))

        return self._kept.get((ehr.name, token.fingerprint, *since), ask, seconds=self._seconds_of)

    def _seconds_of(self, checked: _Checked) -> float:
        return min(self._keep_s, checked.grant.expires_at - self._memory.clock())


def _let_stand(marks: Marks, grant: AccessGrant) -> bool:
    return marks.concerning(grant) == grant.revision and not marks.refuses(grant)
