"""The DICOMweb gateway over HTTP: parse, pass the gate, ask the archive, answer.

``/imaging/{ehr}/dicom-web/{pacs}/studies/…`` and ``…/wado?…``; the imaging FHIR endpoint stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request
from flask.blueprints import BlueprintSetupState

from fhir_imaging.errors import InvalidRequest, NotFound, NotPermitted
from fhir_imaging.settings import EhrSettings
from fhir_imaging.web import ErrorShape, ErrorSurface, allow_cors, note_for_log, request_reference
from imaging_server.answers import (
    file_answer,
    file_head,
    head_answer,
    json_answer,
    refused_by_archive,
    streamed,
    warning_of,
)
from imaging_server.asking import Way, ask_in_turn, ways_to_ask
from imaging_server.auditing import Attempt, without_token
from imaging_server.fhir_views import create_blueprint as create_fhir_blueprint
from imaging_server.handed_decisions import add_routes as add_handed_decisions
from imaging_server.handover import KEY_HEADER
from imaging_server.media_types import upstream_accept
from imaging_server.open_downloads import LONG_JSON_BYTES, TakePlace
from imaging_server.payloads import matches_for_caller, metadata_for_caller
from imaging_server.policy import Reason
from imaging_server.queries import RetrieveQuery, SearchQuery, parse_query, parse_retrieval, parse_search
from imaging_server.ranges import is_multipart, range_of
from imaging_server.refused_methods import RefusedMethods
from imaging_server.resource import DicomResource, Kind, Level, from_pieces
from imaging_server.routes import GATEWAY_PREFIX, ROUTES, Route, add_converters
from imaging_server.search import find_below, find_studies, page_of, without_conflicts
from imaging_server.services import ImagingServerServices
from imaging_server.upstream import Archive, Matches, UpstreamRequest, read_datasets
from imaging_server.wado_uri import WADO_URI_PATH, parse_wado_uri

METHODS = "GET, HEAD, OPTIONS"
REQUEST_HEADERS = "Authorization, Accept, Range, If-Range, X-Request-Id"
EXPOSED_HEADERS = (
    "Content-Type, Content-Length, Content-Range, Content-Location, Accept-Ranges, Retry-After, Warning, "
    "WWW-Authenticate, X-Request-Id"
)
INCOMPLETE = '299 imaging-cds "There is more than this answer holds."'
LITERAL = '299 imaging-cds "The fuzzymatching parameter is not supported. Only literal matching has been performed."'


def create_blueprint(services: ImagingServerServices) -> Blueprint:
    """The gateway's routes. Each answers GET, HEAD and OPTIONS, and 405 to all else (group 16)."""
    blueprint = Blueprint("imaging_server", __name__)
    views = GatewayViews(services)

    @blueprint.record
    def _converters(state: BlueprintSetupState) -> None:
        add_converters(state.app.url_map)
        state.app.register_blueprint(create_fhir_blueprint(services))

    for number, route in enumerate(ROUTES):
        blueprint.add_url_rule(
            GATEWAY_PREFIX + route.rule,
            endpoint=f"{number:02}-{route.kind.value}-of-{route.level.value}",
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
        self._origins = services.settings.browser_origins

    def view_of(self, route: Route) -> Callable[..., Response]:
        """The view function of one route."""
        answer = self._search_root if not route.bound else self._below

        def view(ehr: str, pacs: str, **pieces: str) -> Response:
            return self._answered(ehr, pacs, lambda known, archive: answer(known, archive, route, pieces))

        return view

    def by_wado_uri(self, ehr: str, pacs: str) -> Response:
        """One object by its UIDs in the query."""
        return self._answered(ehr, pacs, self._wado_uri)

    def _answered(self, ehr: str, pacs: str, answer: Callable[[EhrSettings, Archive], Response]) -> Response:
        if request.method == "OPTIONS":
            return Response(status=204, headers={"Allow": METHODS})
        known, archive = self._named(ehr, pacs)
        try:
            return answer(known, archive)
        except NotPermitted as refusal:
            if refusal.code == Reason.INSUFFICIENT_SCOPE:
                g.bearer_challenge = 'Bearer error="insufficient_scope"'
            raise

    def finish(self, response: Response) -> Response:
        """Headers of every answer: CORS for configured viewers, nothing kept by anybody, nothing run by a browser."""
        response.headers["Cache-Control"] = "private, no-store"
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.vary.add("Authorization")
        if "bearer_challenge" in g and response.status_code == 403:
            response.headers["WWW-Authenticate"] = g.bearer_challenge
        return allow_cors(
            response,
            allowed_origins=self._origins,
            methods=METHODS,
            headers=REQUEST_HEADERS,
            expose=EXPOSED_HEADERS,
        )

    def _named(self, ehr: str, pacs: str) -> tuple[EhrSettings, Archive]:
        known, archive = self._services.ehrs.get(ehr), self._services.archives.get(pacs)
        if known is None or archive is None or not self._services.settings.may_reach(ehr, pacs):
            raise NotFound("There is nothing at this address.")
        note_for_log(ehr=ehr, pacs=pacs)
        return known, archive

    def _search_root(self, ehr: EhrSettings, archive: Archive, route: Route, _pieces: dict[str, str]) -> Response:
        """``/studies``, and ``/series`` or ``/instances`` when the query names the one study that they are about."""
        query = parse_search(parse_query(request.query_string), route.level)
        if route.level is Level.STUDY:
            return self._search_studies(ehr, archive, query)
        if query.studies is None or len(query.studies) != 1:
            raise InvalidRequest(
                "Name the one study to search in by StudyInstanceUID, or search below /studies/{study}.",
                code="search-too-wide",
            )
        below = DicomResource(kind=Kind.SEARCH, level=route.level, study=query.studies[0])
        return self._search_below(ehr, archive, below, query)

    def _below(self, ehr: EhrSettings, archive: Archive, route: Route, pieces: dict[str, str]) -> Response:
        """Everything below one study."""
        resource = from_pieces(route.kind, route.level, pieces)
        pairs = parse_query(request.query_string)
        if resource.kind is not Kind.SEARCH:
            return self._retrieve(ehr, archive, resource, parse_retrieval(pairs, resource))
        query = parse_search(pairs, route.level)
        if query.studies not in (None, (resource.study,)):
            raise InvalidRequest("The query names another study than the path.", code="two-studies")
        return self._search_below(ehr, archive, resource, query)

    def _search_studies(self, ehr: EhrSettings, archive: Archive, query: SearchQuery) -> Response:
        resource = DicomResource(kind=Kind.SEARCH, level=Level.STUDY)
        upstream_accept(resource, query.accept or request.headers.get("Accept"))
        attempt = self._attempt(ehr, resource)
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
        take_place = partial(self._services.downloads.take, opened.caller.grant, attempt)
        return _placed(json_answer(page_of(matches, query), warning=remark), take_place)

    def _search_below(self, ehr: EhrSettings, archive: Archive, resource: DicomResource, query: SearchQuery) -> Response:
        upstream_accept(resource, query.accept or request.headers.get("Accept"))
        try:
            take_place = self._open(ehr, archive, resource)
        except NotFound as nothing:
            if nothing.code != Reason.NO_IMAGES_YET.value:
                raise
            # The archive is not asked: whose it is, what it might have by now, was not compared.
            return json_answer([])
        found = find_below(archive, resource, query, limit=self._services.limits.json_body)
        visible = frozenset({resource.study} if resource.study else ())
        addresses = self._services.addresses(ehr.name, archive)
        matches = matches_for_caller(found.datasets, resource, visible, addresses, server=archive.server)
        return _placed(json_answer(matches, warning=_remark(found, complete=found.complete)), take_place)

    def _retrieve(self, ehr: EhrSettings, archive: Archive, resource: DicomResource, query: RetrieveQuery) -> Response:
        ways = ways_to_ask(resource, query.accept or request.headers.get("Accept"))
        take_place = self._open(ehr, archive, resource)
        directions = self._handed_over(archive, resource, ways)
        if directions is not None:
            return directions
        byte_range, if_range = range_of(resource, ways[0].accept, request.headers)
        asked = UpstreamRequest(
            resource=resource, accept=ways[0].accept, query=query.options, byte_range=byte_range, if_range=if_range
        )
        return self._passed_on(ehr, archive, asked, ways, take_place)

    def _handed_over(self, archive: Archive, resource: DicomResource, ways: tuple[Way, ...]) -> Response | None:
        """Where nginx gets the bytes itself, now that the gate has let the request through; None for every other caller."""
        handover = self._services.handover
        if request.method != "GET" or request.query_string or not handover.knows(request.headers.get(KEY_HEADER)):
            return None
        directions = None if archive.is_left_alone else handover.directions(archive.name, resource, ways)
        if directions is None:
            return None
        response = Response(headers=directions)
        del response.headers["Content-Type"]  # nginx would tell it of the archive's answer
        return response

    def _wado_uri(self, ehr: EhrSettings, archive: Archive) -> Response:
        """The same object by WADO-RS, with the same decision; a file comes without its multipart wrapping."""
        asked = parse_wado_uri(parse_query(request.query_string), request.headers.get("Accept"))
        take_place = self._open(ehr, archive, asked.resource, query=urlencode(asked.options, safe=","))
        request_of_rs = UpstreamRequest(resource=asked.resource, accept=asked.ways[0].accept, query=asked.options)
        return self._passed_on(ehr, archive, request_of_rs, asked.ways, take_place)

    def _passed_on(
        self, ehr: EhrSettings, archive: Archive, asked: UpstreamRequest, ways: tuple[Way, ...], take_place: TakePlace
    ) -> Response:
        """The archive's answer to what the gate has let through."""
        only_head, resource = request.method == "HEAD", asked.resource
        answer, way = ask_in_turn(archive, asked, ways, only_head=only_head)
        if answer.status == 206 and asked.byte_range is not None and is_multipart(answer.content_type):
            # A piece of a multipart message is no message: its part headers could not be looked at.
            answer.close()
            answer, way = ask_in_turn(archive, replace(asked, byte_range=None, if_range=None), (way,), only_head=only_head)
        if answer.status not in (200, 206) or (way.unwraps and answer.status != 200):
            return refused_by_archive(answer, archive.server, names_transfer_syntax=way.names_transfer_syntax)
        addresses, limits = self._services.addresses(ehr.name, archive), self._services.limits
        if only_head:
            return (file_head if way.unwraps else head_answer)(answer, resource, addresses, server=archive.server)
        if resource.kind is Kind.METADATA:
            datasets = read_datasets(answer, limit=limits.json_body, server=archive.server)
            rewritten = metadata_for_caller(datasets, resource, addresses, server=archive.server)
            return _placed(json_answer(rewritten, status=answer.status, warning=warning_of(answer)), take_place)
        make = file_answer if way.unwraps else streamed
        return make(answer, resource, addresses, limits.small_body, server=archive.server, take_place=take_place)

    def _open(self, ehr: EhrSettings, archive: Archive, resource: DicomResource, *, query: str | None = None) -> TakePlace:
        """Passes the gate; what is let through may need a place for its body."""
        attempt = self._attempt(ehr, resource, query)
        caller = self._services.gate.open_study(ehr, archive, request.headers.get("Authorization"), attempt)
        return partial(self._services.downloads.take, caller.grant, attempt)

    def _attempt(self, ehr: EhrSettings, resource: DicomResource, query: str | None = None) -> Attempt:
        """The request for the audit record; ``query`` where it is not the one that came."""
        asked = request.query_string.decode("ascii", "replace") if query is None else query
        asked = asked and without_token(asked, request.headers.get("Authorization"))
        return Attempt(
            ehr=ehr.name,
            resource=resource,
            query=f"{resource.path.lstrip('/')}?{asked}",
            client_address=request.remote_addr,
            request_id=request_reference(),
        )


def _placed(answer: Response, take_place: TakePlace) -> Response:
    """Long JSON with a place of its caller's until it is taken, as large images have; TooManyRequests when there is none."""
    if len(answer.get_data()) >= LONG_JSON_BYTES:
        answer.call_on_close(take_place())
    return answer


def _remark(found: Matches, *, complete: bool) -> str | None:
    remarks = [*([] if complete else [INCOMPLETE]), *([LITERAL] if found.is_literal else [])]
    return ", ".join(remarks) or None
