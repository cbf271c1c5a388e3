"""Whose study it is: what every way of finding out has in common, and which way each EHR's callers go.

Spec: SMART Imaging Access F5-F8, W4, groups 9 to 11; DESIGN §8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fhir_imaging.settings import EhrSettings
from fhir_imaging.settings import Ownership as Strategy
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.access import AccessGrant, BearerToken, FhirPatientId
from imaging_server.policy import StudyFacts
from imaging_server.upstream import Archive


@dataclass(frozen=True, slots=True)
class PatientStudies:
    """The patient's studies that this caller may see; ``complete`` is False when there were more than were read."""

    studies: tuple[StudyFacts, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the EHR, the checked grant with its patient, and the token that the EHR itself will check again."""

    ehr: EhrSettings
    grant: AccessGrant
    patient_id: FhirPatientId
    token: BearerToken

    def key(self, *rest: str) -> tuple[str, ...]:
        """What a decision about this caller may be kept under."""
        own = (self.ehr.name, self.grant.issuer, self.patient_id, self.token.fingerprint, str(self.grant.revision))
        return (*own, *rest)

    def keep_for(self, keep_s: float, *, now: float) -> float:
        """Seconds for which such a decision may be kept: never beyond the token. ``now`` in UTC seconds."""
        return min(keep_s, self.grant.expires_at - now)


class Ownership(Protocol):
    """A way to learn whose study it is. Where it cannot be learned, it raises or says no, and never guesses."""

    def study(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> StudyFacts | None:
        """The study when it is the caller's patient's; None when that is not confirmed."""

    def studies(self, caller: Caller, archive: Archive) -> PatientStudies:
        """All studies of the caller's patient, for narrowing a search."""


class OwnershipByEhr:
    """Asks by the way that each EHR's settings choose."""

    def __init__(self, ways: Mapping[Strategy, Ownership]) -> None:
        self._ways = ways

    def study(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> StudyFacts | None:
        """As ``Ownership.study``."""
        return self._ways[caller.ehr.ownership].study(caller, archive, study)

    def studies(self, caller: Caller, archive: Archive) -> PatientStudies:
        """As ``Ownership.studies``."""
        return self._ways[caller.ehr.ownership].studies(caller, archive)
