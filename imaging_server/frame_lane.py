"""The short way of a frame: a viewer asks for thousands of them in the same words, and a third of each was the web framework.

The lane takes requests for frames that are asked for in the plainest way, before the framework sees them. They pass the same
gate, the same archive client and the same rewriting as all others (``Retrievals``) and are told to the same log and metrics.
Whatever else is asked goes to the application; so does every refusal and every fault, with the error that was raised, so that
there is one place which explains errors.

Spec: DICOM PS3.18 §10.4.1.1.3 (frames); PEP 3333; docs/decisions/0007.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from http.client import responses
from typing import TYPE_CHECKING

from fhir_imaging.errors import ImagingError
from fhir_imaging.in_front import REQUEST_STARTED, SAME_WORDS, BodyWatch, SameWords
from fhir_imaging.settings import EhrSettings
from fhir_imaging.web import OF_EVERY_ANSWER, RequestSummary, may_read, reference_of
from imaging_server.answers import Answer
from imaging_server.archive_frames import LONGEST_FRAME
from imaging_server.asking import Way, ways_to_ask
from imaging_server.frame_addresses import FRAMES, INSTANCES, ROUTE, SERIES
from imaging_server.gateway_headers import EXPOSED_HEADERS, GUARDING_HEADERS, VARIES_BY
from imaging_server.handover import KEY_HEADER
from imaging_server.passes import StandingPass
from imaging_server.resource import DicomResource, Kind, Level, from_pieces
from imaging_server.retrieval import Call, Retrievals
from imaging_server.routes import GATEWAY_PREFIX
from imaging_server.services import ImagingServerServices
from imaging_server.standing_directions import REDIRECT, StandingDirections, StandingSeries
from imaging_server.standing_frames import RAISED, SeriesFrames, StandingFrames
from imaging_server.upstream import Archive, UpstreamRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SERIES_KEPT = 1024
_HANDOVER = "HTTP_" + KEY_HEADER.upper().replace("-", "_")
_SAME_FOR_ALL = (*GUARDING_HEADERS, ("Vary", ", ".join(VARIES_BY)), *OF_EVERY_ANSWER)
Headers = tuple[tuple[str, str], ...]
Observe = Callable[[RequestSummary], None]


@dataclass(frozen=True, slots=True)
class _Series:
    """What the first part of an address says, which is the same for all frames of a series."""

    ehr: EhrSettings
    archive: Archive
    resource: DicomResource


@dataclass(frozen=True, slots=True)
class _Frames:
    """What a request asks for, of which archive, by whose tokens."""

    ehr: EhrSettings
    archive: Archive
    series: DicomResource
    resource: DicomResource
    ways: tuple[Way, ...]
    handover_key: str | None
    """What the caller shows who says that it is nginx."""


class FrameLane:
    """A WSGI application in front of the application. Thread-safe."""

    def __init__(
        self, app: WSGIApplication, services: ImagingServerServices, *, endpoint: str, observe: Observe, sending: BodyWatch
    ) -> None:
        """``endpoint`` names the application's own route for frames; ``observe`` is told of each request that ends here, and
        ``sending`` is around each body that the application does not see, by its route and length."""
        self._app = app
        self._services = services
        self._retrievals = Retrievals(services)
        self._origins = services.settings.browser_origins
        self._endpoint = endpoint
        self._observe = observe
        self._sending = sending
        self._series = lru_cache(maxsize=_SERIES_KEPT)(self._series_at)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request for frames, and leaves all others to the application."""
        asked = None if RAISED in environ else self._asked(environ)
        if asked is None:
            return self._app(environ, start_response)
        began: float = environ.get(REQUEST_STARTED) or time.perf_counter()
        call = Call(
            authorization=environ.get("HTTP_AUTHORIZATION"),
            client_address=environ.get("REMOTE_ADDR"),
            reference=reference_of(environ.get("HTTP_X_REQUEST_ID", "")),
        )
        try:
            answer = self._answer(asked, call)
        except Exception as raised:  # the application explains it under the same number
            environ |= {RAISED: raised, REQUEST_STARTED: began, "HTTP_X_REQUEST_ID": call.reference}
            return self._app(environ, start_response)
        self._tell(asked, answer.status, call.reference, time.perf_counter() - began)
        headers = self._headers(answer, call, environ.get("HTTP_ORIGIN"))
        if REDIRECT in answer.headers or (answer.status == 200 and isinstance(answer.body, bytes)):
            self._let_stand(environ, asked, call, answer)
        start_response(f"{answer.status} {responses.get(answer.status, 'Unknown')}", headers)
        return (answer.body,) if isinstance(answer.body, bytes) else answer.body or ()

    def _asked(self, environ: WSGIEnvironment) -> _Frames | None:
        """None for everything that is not plain. Nobody was asked yet, and nothing is on record."""
        if environ["REQUEST_METHOD"] != "GET" or environ.get("QUERY_STRING") or environ.get("SCRIPT_NAME"):
            return None
        head, _, tail = environ.get("PATH_INFO", "").partition(INSTANCES)
        named, series = FRAMES.fullmatch(tail), self._series(head)
        if named is None or series is None:
            return None
        try:
            resource = series.resource.frames_of(named["instance"], named["frames"])
            ways = ways_to_ask(resource, environ.get("HTTP_ACCEPT"))
        except (ValueError, ImagingError):
            return None
        return _Frames(series.ehr, series.archive, series.resource, resource, ways, environ.get(_HANDOVER))

    def _series_at(self, head: str) -> _Series | None:
        """None where there is nothing, or nothing that may be asked for here; the application says so."""
        named = SERIES.fullmatch(head)
        if named is None:
            return None
        pieces = named.groupdict()
        ehr, pacs = pieces.pop("ehr"), pieces.pop("pacs")
        known, archive = self._services.ehrs.get(ehr), self._services.archives.get(pacs)
        if known is None or archive is None or not self._services.settings.may_reach(ehr, pacs):
            return None
        return _Series(known, archive, from_pieces(Kind.RETRIEVE, Level.SERIES, pieces))

    def _answer(self, asked: _Frames, call: Call) -> Answer:
        take_place = self._retrievals.open(asked.ehr, asked.archive, asked.resource, call)
        directions = self._services.handover.directions_for(asked.handover_key, asked.archive, asked.resource, asked.ways)
        if directions is not None:
            return Answer(status=200, headers=directions, body=b"")
        request = UpstreamRequest(resource=asked.resource, accept=asked.ways[0].accept)
        return self._retrievals.passed_on(asked.ehr, asked.archive, request, asked.ways, take_place=take_place, call=call)

    def _headers(self, answer: Answer, call: Call, origin: str | None) -> list[tuple[str, str]]:
        headers = [*answer.headers.items(), *_SAME_FOR_ALL, ("X-Request-Id", call.reference)]
        if isinstance(answer.body, bytes):
            headers.append(("Content-Length", str(len(answer.body))))
        if origin is not None and may_read(origin, self._origins):
            headers += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED_HEADERS)]
        return headers

    def _let_stand(self, environ: WSGIEnvironment, asked: _Frames, call: Call, answer: Answer) -> None:
        """From now on the server may ask the pass itself, where it offers to, and say the same of all frames of the series."""
        same_words: Callable[[], SameWords] | None = environ.get(SAME_WORDS)
        if same_words is None or not self._is_the_same_for_all(asked, answer):
            return
        standing = self._retrievals.standing(asked.ehr, asked.archive, asked.resource, call)
        if standing is None:
            return
        address, origin = environ["PATH_INFO"].partition(INSTANCES)[0], environ.get("HTTP_ORIGIN")
        if REDIRECT in answer.headers:
            told = tuple(self._headers(answer, call, origin))
            StandingDirections.of(same_words()).add(address, self._directions(asked, standing, answer.headers[REDIRECT], told))
        else:
            said = tuple(self._headers(Answer(status=200, headers={}), call, origin))
            StandingFrames.of(same_words()).add(address, self._frames(asked, standing, said))

    def _is_the_same_for_all(self, asked: _Frames, answer: Answer) -> bool:
        if REDIRECT in answer.headers:
            return self._services.handover.stays_the_same(asked.archive.name)
        has_room = isinstance(answer.body, bytes) and len(answer.body) <= LONGEST_FRAME
        return answer.status == 200 and has_room and len(asked.ways) == 1

    def _directions(self, asked: _Frames, standing: StandingPass, place: str, told: Headers) -> StandingSeries:
        return StandingSeries(
            standing=standing,
            archive=asked.archive,
            place=place.partition(INSTANCES)[0],
            headers=told,
            tell=partial(self._tell, asked, 200),
        )

    def _frames(self, asked: _Frames, standing: StandingPass, said: Headers) -> SeriesFrames:
        return SeriesFrames(
            standing=standing,
            archive=asked.archive,
            questions=asked.archive.frames_of(asked.series, asked.ways[0].accept, longest=self._services.limits.small_body),
            series=asked.series,
            example=asked.resource,
            addresses=self._services.addresses(asked.ehr.name, asked.archive),
            headers=said,
            tell=partial(self._tell, asked, 200),
            sending=partial(self._sending, GATEWAY_PREFIX + ROUTE.rule),
        )

    def _tell(self, asked: _Frames, status: int, reference: str, duration_s: float) -> None:
        self._observe(
            RequestSummary(
                reference=reference,
                method="GET",
                route=GATEWAY_PREFIX + ROUTE.rule,
                endpoint=self._endpoint,
                status=status,
                duration_s=duration_s,
                reason=None,
                names={"ehr": asked.ehr.name, "pacs": asked.archive.name},
            )
        )
