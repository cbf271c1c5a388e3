"""What a caller retrieves of one study, however the request came in: through the gate, from the archive, on to the caller.

Spec: DICOM PS3.18 §8.5, §10.4; SMART Imaging Access F5-F9, W3-W5.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

from fhir_imaging.settings import EhrSettings
from imaging_server.answers import (
    Answer,
    Passage,
    file_answer,
    file_head,
    head_answer,
    json_answer,
    placed,
    refused_by_archive,
    streamed,
    warning_of,
)
from imaging_server.asking import Way, ask_in_turn
from imaging_server.auditing import Attempt, without_token
from imaging_server.open_downloads import Place, TakePlace
from imaging_server.passes import StandingPass
from imaging_server.payloads import metadata_for_caller
from imaging_server.ranges import is_multipart
from imaging_server.resource import DicomResource, Kind
from imaging_server.services import ImagingServerServices
from imaging_server.upstream import Archive, UpstreamRequest
from imaging_server.upstream_answers import read_datasets


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as the server received it. ``query`` is raw, ``reference`` the request's number in log and audit."""

    authorization: str | None
    client_address: str | None
    reference: str
    query: str = ""
    only_head: bool = False


class Retrievals:
    """Opens studies and passes on what archives answer. Thread-safe."""

    def __init__(self, services: ImagingServerServices) -> None:
        self._services = services

    def attempt(self, ehr: EhrSettings, resource: DicomResource, call: Call, query: str | None = None) -> Attempt:
        """The request for the audit record; ``query`` where it is not the one that came."""
        asked = call.query if query is None else query
        asked = asked and without_token(asked, call.authorization)
        return Attempt(
            ehr=ehr.name,
            resource=resource,
            query=f"{resource.path.lstrip('/')}?{asked}",
            client_address=call.client_address,
            request_id=call.reference,
        )

    def open(
        self, ehr: EhrSettings, archive: Archive, resource: DicomResource, call: Call, *, query: str | None = None
    ) -> Place:
        """Passes the gate or raises as it does; what is let through may need a place for its body."""
        attempt = self.attempt(ehr, resource, call, query)
        grant = self._services.gate.open_study(ehr, archive, call.authorization, attempt)
        return Place(self._services.downloads, grant, attempt, archive.name)

    def standing(self, ehr: EhrSettings, archive: Archive, resource: DicomResource, call: Call) -> StandingPass | None:
        """For further frames of a series, one of which ``open`` has just let through."""
        return self._services.gate.standing(archive, call.authorization, self.attempt(ehr, resource, call))

    def passed_on(
        self,
        ehr: EhrSettings,
        archive: Archive,
        asked: UpstreamRequest,
        ways: tuple[Way, ...],
        *,
        take_place: Place,
        call: Call,
    ) -> Answer:
        """The archive's answer to what ``open`` has let through. UpstreamError when there is none that can be passed on."""
        passage = self._passage(ehr, archive, take_place, call)
        # Frames are what a reader waits for, and no caller can make them slow.
        with nullcontext() if asked.resource.kind is Kind.FRAMES else take_place.asked():
            answer, way = ask_in_turn(archive, asked, ways, only_head=call.only_head)
            if answer.status == 206 and asked.byte_range is not None and is_multipart(answer.content_type):
                # A piece of a multipart message is no message: its part headers could not be looked at.
                answer.close()
                whole = replace(asked, byte_range=None, if_range=None)
                answer, way = ask_in_turn(archive, whole, (way,), only_head=call.only_head)
        if answer.status not in (200, 206) or (way.unwraps and answer.status != 200):
            return refused_by_archive(answer, passage, names_transfer_syntax=way.names_transfer_syntax)
        if call.only_head:
            return (file_head if way.unwraps else head_answer)(answer, asked.resource, passage)
        if asked.resource.kind is Kind.METADATA:
            datasets = read_datasets(answer, limit=self._services.limits.json_body, server=archive.server)
            rewritten = metadata_for_caller(datasets, asked.resource, passage.addresses, server=archive.server)
            return placed(json_answer(rewritten, status=answer.status, warning=warning_of(answer)), take_place)
        return (file_answer if way.unwraps else streamed)(answer, asked.resource, passage)

    def _passage(self, ehr: EhrSettings, archive: Archive, take_place: TakePlace, call: Call) -> Passage:
        return Passage(
            addresses=self._services.addresses(ehr.name, archive),
            server=archive.server,
            reference=call.reference,
            small_body=self._services.limits.small_body,
            take_place=take_place,
        )
