"""What decides, put together: who checks tokens, who says whose a study is, and what of it all workers share.

Spec: SMART Imaging Access F5-F8; DESIGN §8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_imaging.audit import TOKEN_DIGEST_PREFIX
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.settings import EhrSettings
from fhir_imaging.settings import Ownership as Strategy
from fhir_imaging.store.engine import Store
from fhir_imaging.store.launched_tokens import LaunchedTokens
from imaging_server.archived_persons import ArchivedPersons
from imaging_server.fhir_ownership import LISTS_TAKE, FhirOwnership
from imaging_server.gate import EvidenceSources
from imaging_server.identifier_ownership import IdentifierOwnership
from imaging_server.identity import PatientIdentity
from imaging_server.jwt_tokens import named_part
from imaging_server.kept_tokens import KeptTokens, Memory
from imaging_server.ownership import OwnershipByEhr
from imaging_server.patient_numbers import BackendTokens, PatientNumbers
from imaging_server.revocations import Revocations
from imaging_server.settings import ImagingServerSettings
from imaging_server.shared_decisions import SharedDecisions
from imaging_server.shared_numbers import SharedNumbers
from imaging_server.study_contents import StudyContents
from imaging_server.token_authorities import TokenAuthorities


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterparts:
    """Whom decisions ask: ``ehrs`` by ``session`` and ``metadata``, in our own name by ``backend``."""

    ehrs: tuple[EhrSettings, ...]
    session: OutboundSession
    metadata: SmartMetadataClient
    backend: BackendTokens | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What the gate works with."""

    tokens: KeptTokens
    numbers: PatientNumbers
    sources: EvidenceSources


def build_decisions(
    settings: ImagingServerSettings, store: Store, asked: Counterparts, *, clock: Callable[[], float]
) -> Decisions:
    """The decisions of one worker."""
    patience_s = LISTS_TAKE * settings.ehr_timeout_s  # a list takes longest
    shared = SharedDecisions(store, patience_s=patience_s, clock=clock) if settings.shared_decisions else None
    numbers = _numbers(settings, asked, shared, clock)
    keep_s, limit = settings.decision_cache_s, settings.max_json_bytes
    persons = ArchivedPersons(numbers, keep_s=keep_s, max_json_bytes=limit, clock=clock)
    ownership = OwnershipByEhr(
        {
            Strategy.FHIR: FhirOwnership(asked.session, shared, keep_s=keep_s, clock=clock),
            Strategy.IDENTIFIER: IdentifierOwnership(numbers, persons, keep_s=keep_s, clock=clock),
        }
    )
    tokens = KeptTokens(
        settings,
        asked.session,
        TokenAuthorities(settings, asked.ehrs, asked.session, asked.metadata),
        LaunchedTokens(store),
        Memory(revocations=Revocations(store), shared=shared, clock=clock),
        digest=lambda token: TOKEN_DIGEST_PREFIX + store.sealer.digest("token", named_part(token)),
    )
    contents = StudyContents(keep_s=keep_s, max_json_bytes=limit)
    sources = EvidenceSources(ownership=ownership, identity=PatientIdentity(numbers, persons), contents=contents)
    return Decisions(tokens=tokens, numbers=numbers, sources=sources)


def _numbers(
    settings: ImagingServerSettings, asked: Counterparts, shared: SharedDecisions | None, clock: Callable[[], float]
) -> PatientNumbers:
    rules, keep_s = settings.patient_identifiers, settings.decision_cache_s
    if shared is None:
        return PatientNumbers(rules, asked.session, asked.backend, keep_s=keep_s, clock=clock)
    return SharedNumbers(rules, asked.session, asked.backend, shared, keep_s=keep_s, clock=clock)
