"""What the imaging FHIR endpoint works with beside the gate and the archives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhir_imaging.clients.backend_client import SignAssertion
from fhir_imaging.clients.breaker import Breaker
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.engine import Store
from imaging_server.archive_studies import ArchiveStudies
from imaging_server.fed_servers import FedServers, check_fed_servers
from imaging_server.fed_studies import FedStudies
from imaging_server.fhir_ownership import LISTS_TAKE
from imaging_server.fhir_paging import PageLinks
from imaging_server.fhir_sources import StudySource
from imaging_server.gate import Gate
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.settings import ImagingServerSettings
from imaging_server.study_states import StudyStates


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirServices:
    """Holds threads and connections: ``close`` it at the end."""

    source: StudySource
    links: PageLinks
    smart: SmartMetadataClient
    clock: Callable[[], float] = time.time

    def close(self) -> None:
        """Lets them go."""
        self.source.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirParts:
    """What the endpoint shares with the gateway, or needs of the site beside it."""

    store: Store
    gate: Gate
    smart: SmartMetadataClient
    numbers: PatientNumbers
    servers: FedServers
    clock: Callable[[], float]


def fed_servers(
    settings: ImagingServerSettings,
    ehrs: Sequence[EhrSettings],
    sign: SignAssertion | None,
    make_breaker: Callable[[str], Breaker],
) -> FedServers:
    """The way to those servers that the settings name; ConfigurationError where they cannot work."""
    check_fed_servers(ehrs, settings.public_base_url, settings.patient_identifiers)
    timeout_s = settings.ehr_timeout_s
    return FedServers(ehrs, sign, make_breaker, timeout_s=timeout_s, answer_s=LISTS_TAKE * timeout_s)


def build_fhir_services(settings: ImagingServerSettings, parts: FhirParts) -> FhirServices:
    """The services of one worker."""
    keep_s, states = settings.decision_cache_s, StudyStates(parts.store, clock=parts.clock)
    archives = ArchiveStudies(parts.gate, states, keep_s=keep_s, max_json_bytes=settings.max_json_bytes)
    fed = FedStudies(parts.gate, parts.servers, parts.numbers, states, settings.dicomweb_root, keep_s=keep_s)
    return FhirServices(
        source=StudySource(archives, fed),
        links=PageLinks(parts.store.sealer, clock=parts.clock),
        smart=parts.smart,
        clock=parts.clock,
    )
