"""The imaging FHIR endpoint over HTTP: ``/imaging/{ehr}/fhir``, for EHRs that have no ImagingStudy of their own.

Every request passes the same gate as the images do. A search is for the token's patient or for nobody; each resource is made of
what the archives say at that moment.

Spec: SMART Imaging Access F1-F10, P3, P4; FHIR R4 RESTful API.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, Response, g, request
from flask.blueprints import BlueprintSetupState

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.errors import NotFound, NotPermitted, TooManyRequests, UpstreamError
from fhir_imaging.settings import EhrSettings
from fhir_imaging.uids import study_uid
from fhir_imaging.web import ErrorShape, ErrorSurface, allow_cors, note_for_log
from imaging_server.archive_workers import asking_for
from imaging_server.fhir_bundles import FhirAddresses, page_of, place_of, searchset
from imaging_server.fhir_capability import capability_statement
from imaging_server.fhir_paging import PAGE_PARAMETER, NextPage
from imaging_server.fhir_requests import (
    FhirRequest,
    check_accept,
    fhir_json,
    fhir_request,
    read_attempt,
    search_attempt,
)
from imaging_server.fhir_search import StudySearch, named_patients, offered_pairs, parse_study_search
from imaging_server.fhir_sources import FoundStudy, PatientList
from imaging_server.opened import OpenedPatient
from imaging_server.ownership import Caller
from imaging_server.policy import Reason
from imaging_server.queries import parse_query
from imaging_server.rate_limit import RequestLimits
from imaging_server.routes import add_converters
from imaging_server.services import ImagingServerServices
from imaging_server.upstream import Archive

PREFIX = "/imaging/<ehr>/fhir"
METHODS = "GET, HEAD, POST, OPTIONS"
REQUEST_HEADERS = "Authorization, Accept, Content-Type, Prefer, X-Request-Id"
MAX_WAITING_STRANGERS = 4
"""Requests without a token that may wait for one EHR's configuration at once; what is known already needs no waiting."""
STRANGERS_PATIENCE_S = 0.5
EXPOSED_HEADERS = "Content-Type, Retry-After, WWW-Authenticate, X-Request-Id"


def create_blueprint(services: ImagingServerServices) -> Blueprint:
    """The endpoint's routes; whatever else is asked is 404 or 405 (group 16)."""
    blueprint = Blueprint("imaging_fhir", __name__)
    views = FhirViews(services)

    @blueprint.record
    def _converters(state: BlueprintSetupState) -> None:
        add_converters(state.app.url_map)

    routes: tuple[tuple[str, str, Callable[..., Response], str], ...] = (
        ("/metadata", "capability", views.capability, "GET"),
        ("/ImagingStudy", "search", views.search, "GET"),
        ("/ImagingStudy/_search", "search-by-form", views.search, "POST"),
        ("/ImagingStudy/<dicom_uid:study>", "study", views.study, "GET"),
        ("/Endpoint/<endpoint>", "endpoint", views.endpoint, "GET"),
    )
    for rule, name, view, method in routes:
        blueprint.add_url_rule(
            PREFIX + rule,
            endpoint=name,
            view_func=views.guarded(view, method),
            methods=[method, "OPTIONS"],
            provide_automatic_options=False,
            merge_slashes=False,
        )
    blueprint.after_request(views.finish)
    return blueprint


def error_surfaces(services: ImagingServerServices) -> list[ErrorSurface]:
    """Errors below each EHR's FHIR base are OperationOutcomes."""
    finish = FhirViews(services).finish
    return [ErrorSurface(f"/imaging/{name}/fhir", ErrorShape.OPERATION_OUTCOME, finish) for name in services.ehrs]


class FhirViews:
    """The view functions with the services that they work with."""

    def __init__(self, services: ImagingServerServices) -> None:
        self._services = services
        self._gate = services.gate
        self._fhir = services.fhir
        self._strangers = RequestLimits(services.settings.rate_limit)
        self._waiting = {name: threading.BoundedSemaphore(MAX_WAITING_STRANGERS) for name in services.ehrs}

    def guarded(self, view: Callable[..., Response], method: str) -> Callable[..., Response]:
        """A view with what all have in common: preflights, the EHR's name, and the challenge of a scope that is too small."""
        allowed = "POST, OPTIONS" if method == "POST" else "GET, HEAD, OPTIONS"

        def answer(ehr: str, **pieces: str) -> Response:
            if request.method == "OPTIONS":
                return Response(status=204, headers={"Allow": allowed})
            known = self._services.ehrs.get(ehr)
            if known is None:
                raise NotFound("There is nothing at this address.")
            note_for_log(ehr=ehr)
            try:
                return view(known, **pieces)
            except NotPermitted as refusal:
                if refusal.code == Reason.INSUFFICIENT_SCOPE:
                    g.bearer_challenge = 'Bearer error="insufficient_scope"'
                raise

        return answer

    def finish(self, response: Response) -> Response:
        """Headers of every answer: the statement of what is offered is open to any page, all else to configured ones (P3)."""
        response.headers["Cache-Control"] = "private, no-store"
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.vary.add("Authorization")
        if "bearer_challenge" in g and response.status_code == 403:
            response.headers["WWW-Authenticate"] = g.bearer_challenge
        is_open = request.endpoint == "imaging_fhir.capability"
        return allow_cors(
            response,
            allowed_origins={"*"} if is_open else self._services.settings.browser_origins,
            methods=METHODS,
            headers=REQUEST_HEADERS,
            expose=EXPOSED_HEADERS,
        )

    def capability(self, ehr: EhrSettings) -> Response:
        """What is offered here, and where to get a token; no token is needed to read it."""
        self._hold_back_strangers()
        check_accept(parse_query(request.query_string))
        smart = self._authorization_of(ehr)
        today = datetime.fromtimestamp(self._fhir.clock(), UTC).date().isoformat()
        return fhir_json(capability_statement(self._services.settings.fhir_base_of(ehr.name), date=today, smart=smart))

    def _hold_back_strangers(self) -> None:
        """What needs no token is for everybody, and no more of it than an address may ask without one (group 23)."""
        held = self._strangers.admit_without_token(request.remote_addr)
        if held is not None:
            raise TooManyRequests("These are too many requests; please slow down.", retry_after_s=held.retry_after_s)

    def _authorization_of(self, ehr: EhrSettings) -> SmartMetadata | None:
        """Where the EHR's tokens are got. None where that cannot be read just now: what this server offers does not depend on
        it, and only a few strangers may wait for an EHR that takes its time."""
        known, waiting = self._fhir.smart.known(ehr.fhir_base), self._waiting[ehr.name]
        if known is not None or not waiting.acquire(timeout=STRANGERS_PATIENCE_S):
            return known
        try:
            return self._fhir.smart.of(ehr.fhir_base)
        except UpstreamError:
            return None
        finally:
            waiting.release()

    def search(self, ehr: EhrSettings) -> Response:
        """The patient's studies, by GET, by form or by a link to a further page."""
        asked = fhir_request()
        if not asked.is_of_page:
            check_accept(asked.pairs)
        patients = named_patients(asked.pairs, ehr.fhir_base)
        caller = self._gate.identify(ehr, asked.authorization, search_attempt(ehr, asked.pairs), patients)
        asked, after = self._resumed(caller, asked)
        pairs = offered_pairs(asked.pairs, lenient=asked.lenient)
        search = parse_study_search(pairs)
        archives = self._archives(ehr)
        opened = self._gate.open_patient(caller, archives, search_attempt(ehr, pairs))
        with asking_for(caller.token.fingerprint):
            found = self._found(opened, archives, search)
            page = page_of(found.studies, search, after)
            listed = self._fhir.source.with_series(opened.caller, page.studies, archives)
        addresses = self._addresses(caller)
        links = {"self": addresses.search(asked.sent or pairs)}
        if page.goes_on:
            place = place_of(page.studies[-1], search.sort)
            sealed = NextPage(ehr=ehr.name, token=caller.token.fingerprint, pairs=pairs, after=place)
            links["next"] = addresses.search([(PAGE_PARAMETER, self._fhir.links.seal(sealed))])
        complete = opened.complete and found.complete and listed.complete and all(one.complete for one in listed.studies)
        shown = page.showing(listed.studies)
        return fhir_json(searchset(shown, search, addresses, links=links, complete=complete))

    def study(self, ehr: EhrSettings, study: str) -> Response:
        """One study with its series and instances."""
        asked = fhir_request()
        check_accept(asked.pairs)
        offered_pairs([pair for pair in asked.pairs if pair[0] != "_format"], lenient=False)
        attempt = read_attempt(ehr, study)
        opened = self._gate.open_description(ehr, self._archives(ehr), asked.authorization, attempt)
        with asking_for(opened.caller.token.fingerprint):
            found = self._described(opened.caller, opened.archives, study)
        return fhir_json(self._addresses(opened.caller).study(found))

    def endpoint(self, ehr: EhrSettings, endpoint: str) -> Response:
        """Where the images of one archive are: the gateway."""
        asked = fhir_request()
        check_accept(asked.pairs)
        attempt = search_attempt(ehr, (), what="Endpoint")
        caller = self._gate.open_endpoint(ehr, asked.authorization, attempt)
        if endpoint not in {archive.name for archive in self._archives(ehr)}:
            self._gate.refuse_endpoint(caller, attempt)
            raise NotFound("There is no such Endpoint.")
        return fhir_json(self._addresses(caller).endpoint(endpoint))

    def _resumed(self, caller: Caller, asked: FhirRequest) -> tuple[FhirRequest, tuple[str, str] | None]:
        """The search that a request means: its own, or the one that a link to a further page goes on with."""
        if not asked.is_of_page:
            return asked, None
        value = asked.only_page()
        page = self._fhir.links.open(value, ehr=caller.ehr.name)
        if page.token != caller.token.fingerprint:
            raise self._gate.refuse_page(caller, search_attempt(caller.ehr, page.pairs))
        check_accept(page.pairs)  # as the search was asked for: its link can say nothing beside the page
        return asked.resumed(page.pairs), page.after

    def _found(self, opened: OpenedPatient, archives: list[Archive], search: StudySearch) -> PatientList:
        named = search.named_studies
        visible = dict(opened.studies)
        if named is not None:
            visible = {name: frozenset(one for one in studies if one in named) for name, studies in visible.items()}
        found = self._fhir.source.studies(opened.caller, archives, visible)
        if not search.modalities:
            return found
        # Some archives keep no list of a study's modalities; then only the series tell.
        unknown = [one for one in found.studies if not one.study.listed_modalities]
        told = self._fhir.source.with_series(opened.caller, unknown, archives)
        known = (one for one in found.studies if one.study.listed_modalities)
        return PatientList((*known, *told.studies), found.complete and told.complete)

    def _described(self, caller: Caller, archives: tuple[Archive, ...], study: str) -> FoundStudy:
        visible = {archive.name: frozenset({study_uid(study)}) for archive in archives}
        found = self._fhir.source.studies(caller, archives, visible)
        listed = self._fhir.source.with_series(caller, found.studies, archives)
        if not listed.studies:
            raise NotFound("There is no description of this study here.")
        return self._fhir.source.with_instances(listed.studies[0], archives)

    def _archives(self, ehr: EhrSettings) -> list[Archive]:
        may_reach = self._services.settings.may_reach
        return [archive for name, archive in self._services.archives.items() if may_reach(ehr.name, name)]

    def _addresses(self, caller: Caller) -> FhirAddresses:
        settings, ehr = self._services.settings, caller.ehr
        return FhirAddresses(
            base=settings.fhir_base_of(ehr.name),
            dicomweb_base=f"{settings.base_of(ehr.name)}/dicom-web",
            clinical_base=ehr.fhir_base,
            patient_id=caller.patient_id,
        )
