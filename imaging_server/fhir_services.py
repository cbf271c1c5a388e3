"""What the imaging FHIR endpoint works with beside the gate and the archives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.store.engine import Store
from imaging_server.fhir_paging import PageLinks
from imaging_server.fhir_sources import StudySource
from imaging_server.gate import Gate
from imaging_server.settings import ImagingServerSettings
from imaging_server.study_states import StudyStates


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirServices:
    """Holds threads: ``close`` it at the end."""

    source: StudySource
    links: PageLinks
    smart: SmartMetadataClient
    clock: Callable[[], float] = time.time

    def close(self) -> None:
        """Lets the threads go."""
        self.source.close()


def build_fhir_services(
    settings: ImagingServerSettings, store: Store, gate: Gate, smart: SmartMetadataClient, *, clock: Callable[[], float]
) -> FhirServices:
    """The services of one worker."""
    source = StudySource(
        gate, StudyStates(store, clock=clock), keep_s=settings.decision_cache_s, max_json_bytes=settings.max_json_bytes
    )
    return FhirServices(source=source, links=PageLinks(store.sealer, clock=clock), smart=smart, clock=clock)
