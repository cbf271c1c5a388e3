"""The DICOMweb gateway over HTTP: parse, pass the gate, ask the archive, answer.

``/imaging/{ehr}/dicom-web/{pacs}/studies/…`` and ``…/wado?…``; the imaging FHIR endpoint stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, g, request
from flask.blueprints import BlueprintSetupState

from fhir_imaging.errors import InvalidRequest, NotFound, NotPermitted
from fhir_imaging.in_front import sending
from fhir_imaging.settings import EhrSettings
from fhir_imaging.uids import StudyInstanceUID, is_uid
from fhir_imaging.web import ErrorShape, ErrorSurface, allow_cors, note_for_log, request_reference, tell
from imaging_server.answers import Answer, json_answer, placed
from imaging_server.asking import Way, ways_to_ask
from imaging_server.fhir_views import create_blueprint as create_fhir_blueprint
from imaging_server.frame_lane import FrameLane
from imaging_server.gateway_headers import EXPOSED_HEADERS, GUARDING_HEADERS, METHODS, REQUEST_HEADERS, VARIES_BY
from imaging_server.handed_decisions import add_routes as add_handed_decisions
from imaging_server.handover import KEY_HEADER
from imaging_server.media_types import upstream_accept
from imaging_server.payloads import matches_for_caller
from imaging_server.policy import Reason
from imaging_server.queries import RetrieveQuery, SearchQuery, parse_query, parse_retrieval, parse_search
from imaging_server.ranges import range_of
from imaging_server.refused_methods import RefusedMethods
from imaging_server.resource import DicomResource, Kind, Level, from_pieces
from imaging_server.retrieval import Call, Retrievals
from imaging_server.routes import GATEWAY_PREFIX, ROUTES, Route, add_converters
from imaging_server.search import STUDY_SEARCH, find_below, find_studies, page_of, without_conflicts
from imaging_server.services import ImagingServerServices
from imaging_server.standing_frames import RAISED
from imaging_server.streams import StreamedBody
from imaging_server.upstream import Archive, Matches, UpstreamRequest
from imaging_server.wado_uri import WADO_URI_PATH, parse_wado_uri

INCOMPLETE = '299 imaging-cds "There is more than this answer holds."'
LITERAL = '299 imaging-cds "The fuzzymatching parameter is not supported. Only literal matching has been performed."'


def create_blueprint(services: ImagingServerServices) -> Blueprint:
    """The gateway's routes. Each answers GET, HEAD and OPTIONS, and 405 to all else (group 16)."""
    blueprint = Blueprint("imaging_server", __name__)
    views = GatewayViews(services)

    @blueprint.record
    def _set_up(state: BlueprintSetupState) -> None:
        app = cast(Flask, state.app)  # no other kind of application has blueprints of flask's
        add_converters(app.url_map)
        app.register_blueprint(create_fhir_blueprint(services))
        endpoint = f"{blueprint.name}.{_FRAMES_ENDPOINT}"
        told, sent = partial(tell, app), partial(sending, app)
        app.wsgi_app = FrameLane(app.wsgi_app, services, endpoint=endpoint, observe=told, sending=sent)  # type: ignore[method-assign]

    for number, route in enumerate(ROUTES):
        blueprint.add_url_rule(
            GATEWAY_PREFIX + route.rule,
            endpoint=_endpoint_of(number, route),
            view_func=views.view_of(route),
            methods=["GET", "HEAD", "OPTIONS"],
            provide_automatic_options=False,
            # A redirect to "the right" address would repeat what the caller sent; odd addresses are simply not there.
            merge_slashes=False,
        )
    blueprint.add_url_rule(
        GATEWAY_PREFIX + WADO_URI_PATH,
        endpoint="wado-uri",
        view_func=views.by_wado_uri,
        methods=["GET", "HEAD", "OPTIONS"],
        provide_automatic_options=False,
        merge_slashes=False,
    )
    add_handed_decisions(blueprint, services)
    blueprint.before_app_request(RefusedMethods(services).record)
    blueprint.after_request(views.finish)
    return blueprint


def error_surface(services: ImagingServerServices) -> ErrorSurface:
    """Errors below ``/imaging`` are problem documents, which viewers on configured origins may read."""
    return ErrorSurface("/imaging", ErrorShape.PROBLEM_JSON, GatewayViews(services).finish)


class GatewayViews:
    """The view functions with the services that they work with."""

    def __init__(self, services: ImagingServerServices) -> None:
        self._services = services
        self._retrievals = Retrievals(services)
        self._origins = services.settings.browser_origins

    def view_of(self, route: Route) -> Callable[..., Response]:
        """The view function of one route."""

        def view(ehr: str, pacs: str, **pieces: str) -> Response:
            if not route.bound:
                return self._answered(ehr, pacs, STUDY_SEARCH, partial(self._search_root, route.level))
            resource = from_pieces(route.kind, route.level, pieces)
            return self._answered(ehr, pacs, resource, partial(self._below, resource))

        return view

    def by_wado_uri(self, ehr: str, pacs: str) -> Response:
        """One object by its UIDs in the query."""
        named = request.args.get("studyUID", "")
        study = StudyInstanceUID(named) if is_uid(named) else None
        asked = DicomResource(kind=Kind.RETRIEVE, level=Level.STUDY, study=study) if study else STUDY_SEARCH
        return self._answered(ehr, pacs, asked, self._wado_uri)

    def _answered(
        self, ehr: str, pacs: str, resource: DicomResource, answer: Callable[[EhrSettings, Archive], Answer | Response]
    ) -> Response:
        if request.method == "OPTIONS":
            return Response(status=204, headers={"Allow": METHODS})
        known, archive = self._named(ehr, pacs, resource)
        try:
            if (raised := request.environ.pop(RAISED, None)) is not None:
                raise raised  # in the lane for frames, which has asked and recorded all there is
            answered = answer(known, archive)
            return answered if isinstance(answered, Response) else _response(answered)
        except NotPermitted as refusal:
            if refusal.code == Reason.INSUFFICIENT_SCOPE:
                g.bearer_challenge = 'Bearer error="insufficient_scope"'
            raise

    def finish(self, response: Response) -> Response:
        """Headers of every answer: CORS for configured viewers, nothing kept by anybody, nothing run by a browser."""
        for name, value in GUARDING_HEADERS:
            response.headers[name] = value
        response.vary.update(VARIES_BY)
        if "bearer_challenge" in g and response.status_code == 403:
            response.headers["WWW-Authenticate"] = g.bearer_challenge
        return allow_cors(
            response,
            allowed_origins=self._origins,
            methods=METHODS,
            headers=REQUEST_HEADERS,
            expose=EXPOSED_HEADERS,
        )

    def _named(self, ehr: str, pacs: str, resource: DicomResource) -> tuple[EhrSettings, Archive]:
        """Both that an address names. An archive that this EHR's tokens may not reach is refused like one that is not there."""
        known, archive = self._services.ehrs.get(ehr), self._services.archives.get(pacs)
        if known is None:
            raise NotFound("There is nothing at this address.")  # nobody's patients are there
        if archive is None or not self._services.settings.may_reach(ehr, pacs):
            attempt = self._retrievals.attempt(known, resource, _call(), query="")
            self._services.gate.refuse_archive(request.headers.get("Authorization"), attempt)
            raise NotFound("There is nothing at this address.")
        note_for_log(ehr=ehr, pacs=pacs)
        return known, archive

    def _search_root(self, level: Level, ehr: EhrSettings, archive: Archive) -> Answer:
        """``/studies``, and ``/series`` or ``/instances`` when the query names the one study that they are about."""
        query = parse_search(parse_query(request.query_string), level)
        if level is Level.STUDY:
            return self._search_studies(ehr, archive, query)
        if query.studies is None or len(query.studies) != 1:
            raise InvalidRequest(
                "Name the one study to search in by StudyInstanceUID, or search below /studies/{study}.",
                code="search-too-wide",
            )
        below = DicomResource(kind=Kind.SEARCH, level=level, study=query.studies[0])
        return self._search_below(ehr, archive, below, query)

    def _below(self, resource: DicomResource, ehr: EhrSettings, archive: Archive) -> Answer | Response:
        """Everything below one study."""
        pairs = parse_query(request.query_string)
        if resource.kind is not Kind.SEARCH:
            return self._retrieve(ehr, archive, resource, parse_retrieval(pairs, resource))
        query = parse_search(pairs, resource.level)
        if query.studies not in (None, (resource.study,)):
            raise InvalidRequest("The query names another study than the path.", code="two-studies")
        return self._search_below(ehr, archive, resource, query)

    def _search_studies(self, ehr: EhrSettings, archive: Archive, query: SearchQuery) -> Answer:
        resource = DicomResource(kind=Kind.SEARCH, level=Level.STUDY)
        upstream_accept(resource, query.accept or request.headers.get("Accept"))
        attempt = self._retrievals.attempt(ehr, resource, _call())
        opened = self._services.gate.open_search(ehr, archive, request.headers.get("Authorization"), attempt, query)
        found = find_studies(archive, query, opened.studies, limit=self._services.limits.json_body)
        matches = matches_for_caller(
            self._services.gate.of_person(opened, without_conflicts(found.datasets)),
            resource,
            frozenset(opened.studies),
            self._services.addresses(ehr.name, archive),
            server=archive.server,
        )
        remark = _remark(found, complete=opened.complete and found.complete)
        take_place = partial(self._services.downloads.take, opened.caller.grant, attempt, archive.name)
        return placed(json_answer(page_of(matches, query), warning=remark), take_place)

    def _search_below(self, ehr: EhrSettings, archive: Archive, resource: DicomResource, query: SearchQuery) -> Answer:
        upstream_accept(resource, query.accept or request.headers.get("Accept"))
        try:
            take_place = self._retrievals.open(ehr, archive, resource, _call())
        except NotFound as nothing:
            if nothing.code != Reason.NO_IMAGES_YET.value:
                raise
            # The archive is not asked: whose it is, what it might have by now, was not compared.
            return json_answer([])
        found = find_below(archive, resource, query, limit=self._services.limits.json_body)
        visible = frozenset({resource.study} if resource.study else ())
        addresses = self._services.addresses(ehr.name, archive)
        matches = matches_for_caller(found.datasets, resource, visible, addresses, server=archive.server)
        return placed(json_answer(matches, warning=_remark(found, complete=found.complete)), take_place)

    def _retrieve(self, ehr: EhrSettings, archive: Archive, resource: DicomResource, query: RetrieveQuery) -> Answer | Response:
        ways, call = ways_to_ask(resource, query.accept or request.headers.get("Accept")), _call()
        take_place = self._retrievals.open(ehr, archive, resource, call)
        directions = self._handed_over(archive, resource, ways)
        if directions is not None:
            return directions
        byte_range, if_range = range_of(resource, ways[0].accept, request.headers)
        asked = UpstreamRequest(
            resource=resource, accept=ways[0].accept, query=query.options, byte_range=byte_range, if_range=if_range
        )
        return self._retrievals.passed_on(ehr, archive, asked, ways, take_place=take_place, call=call)

    def _handed_over(self, archive: Archive, resource: DicomResource, ways: tuple[Way, ...]) -> Response | None:
        """Where nginx gets the bytes itself, now that the gate has let the request through; None for every other caller."""
        if request.method != "GET" or request.query_string:
            return None
        directions = self._services.handover.directions_for(request.headers.get(KEY_HEADER), archive, resource, ways)
        if directions is None:
            return None
        response = Response(headers=directions)
        del response.headers["Content-Type"]  # nginx would tell it of the archive's answer
        return response

    def _wado_uri(self, ehr: EhrSettings, archive: Archive) -> Answer:
        """The same object by WADO-RS, with the same decision; a file comes without its multipart wrapping."""
        asked, call = parse_wado_uri(parse_query(request.query_string), request.headers.get("Accept")), _call()
        take_place = self._retrievals.open(ehr, archive, asked.resource, call, query=urlencode(asked.options, safe=","))
        request_of_rs = UpstreamRequest(resource=asked.resource, accept=asked.ways[0].accept, query=asked.options)
        return self._retrievals.passed_on(ehr, archive, request_of_rs, asked.ways, take_place=take_place, call=call)


def _call() -> Call:
    """The present request."""
    return Call(
        authorization=request.headers.get("Authorization"),
        client_address=request.remote_addr,
        reference=request_reference(),
        query=request.query_string.decode("ascii", "replace"),
        only_head=request.method == "HEAD",
    )


def _response(answer: Answer) -> Response:
    """An answer for the framework."""
    streams = isinstance(answer.body, StreamedBody)
    response = Response(answer.body, answer.status, headers=answer.headers, direct_passthrough=streams)
    response.automatically_set_content_length = answer.body is not None  # HEAD: not known
    if answer.at_end is not None:
        response.call_on_close(answer.at_end)
    return response


def _endpoint_of(number: int, route: Route) -> str:
    return f"{number:02}-{route.kind.value}-of-{route.level.value}"


_FRAMES_ENDPOINT = next(_endpoint_of(number, route) for number, route in enumerate(ROUTES) if route.kind is Kind.FRAMES)


def _remark(found: Matches, *, complete: bool) -> str | None:
    remarks = [*([] if complete else [INCOMPLETE]), *([LITERAL] if found.is_literal else [])]
    return ", ".join(remarks) or None
