"""A patient's numbers, read from the EHR once for all workers.

Spec: SMART Imaging Access F2, F11, group 23.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fhir_imaging.clients.http import OutboundSession
from imaging_server.answer_forms import NUMBERS
from imaging_server.kept_answers import KeptAnswers
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import BackendTokens, PatientNumbers
from imaging_server.settings import PatientIdentifierRule
from imaging_server.shared_decisions import SharedDecisions


class SharedNumbers(PatientNumbers):
    """``PatientNumbers`` that keeps what was found with the other workers, and "none" by itself for its few seconds."""

    def __init__(
        self,
        rules: Mapping[str, PatientIdentifierRule],
        session: OutboundSession,
        backend: BackendTokens | None,
        shared: SharedDecisions,
        *,
        keep_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(rules, session, backend, keep_s=0, clock=clock)
        self._shared_for_s = keep_s
        self._now = clock
        self._shared: KeptAnswers[frozenset[str]] = KeptAnswers(NUMBERS, shared, max_entries=1000, clock=clock)

    def of(self, caller: Caller) -> frozenset[str]:
        """As ``PatientNumbers.of``."""
        if self.rule(caller) is None:
            return frozenset()
        return self._shared.get(
            caller.key(),
            lambda: super(SharedNumbers, self).of(caller),
            seconds=lambda found: caller.keep_for(self._shared_for_s, now=self._now()) if found else 0,
        )
