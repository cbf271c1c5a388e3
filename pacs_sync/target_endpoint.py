"""The Endpoint that says where an archive's images are: found or made in the FHIR server, and kept as the settings have it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.fhir_mapping.endpoint import SyncedEndpoint, endpoint_identifier, synced_endpoint
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.settings import origin_of
from pacs_sync.result_steps import Key
from pacs_sync.settings import ResourceIds, SyncSettings
from pacs_sync.standing import Mark, differs, has_other_maker
from pacs_sync.target_search import TargetSearch
from pacs_sync.target_writing import TargetWriting

KEPT_S = 600.0


class TargetEndpoint:
    """Of one synchronisation. Thread-safe: it is made once."""

    def __init__(
        self,
        settings: SyncSettings,
        search: TargetSearch,
        writing: TargetWriting,
        *,
        version: Callable[[], FhirVersion],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._search = search
        self._writing = writing
        self._version = version
        self._clock = clock
        self._mark = Mark(settings.name)
        self._lock = threading.Lock()
        self._known: tuple[str | None, float] = None, 0.0

    def reference(self) -> str:
        """``Endpoint/id``; looked at again after some minutes, and when the server refuses what refers to it."""
        with self._lock:
            known, until = self._known
            if known is None or self._clock() >= until:
                known = self._made()
                self._known = known, self._clock() + KEPT_S
            return known

    @contextmanager
    def doubted(self) -> Iterator[None]:
        """A server may refuse a study because somebody deleted the Endpoint: the next attempt looks for it."""
        try:
            yield
        except UpstreamRefused:
            with self._lock:
                self._known = None, 0.0
            raise

    def standing(self) -> Mapping[str, Any] | None:
        """By its id where we give one, else by its address: a server may have given ours an id of its own."""
        given = self._given_id()
        if given is not None and (stands := self._search.one("Endpoint", given)) is not None:
            return stands
        known = self._writing.standing(self._key())
        return known if known is not None and (given is None or self._mark.is_on(known)) else None

    def _made(self) -> str:
        settings, given = self._settings, self._given_id()
        made = SyncedEndpoint(
            address=settings.endpoint_address, name=settings.pacs, source=self._mark.source, resource_id=given
        )
        wanted = self._mark.put_on(synced_endpoint(made, self._version()))
        stands = self.standing()
        if stands is None:
            return f"Endpoint/{self._writing.created(self._key(), wanted).id}"
        is_ours = self._mark.is_on(stands) or (
            stands.get("address") != wanted["address"] and not has_other_maker(stands, self._mark)
        )
        if is_ours and differs(wanted, stands):
            self._writing.updated(wanted, stands)
        elif stands.get("address") != wanted["address"]:
            words = f"Endpoint/{given} is another system's, of other images."
            raise UpstreamError(words, server=origin_of(settings.target.fhir_base))
        return f"Endpoint/{stands['id']}"

    def _given_id(self) -> str | None:
        return self._settings.pacs if self._settings.target.ids is ResourceIds.STUDY_UID else None

    def _key(self) -> Key:
        return Key("Endpoint", *endpoint_identifier(self._settings.endpoint_address))
