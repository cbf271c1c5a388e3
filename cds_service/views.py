"""CDS Hooks over HTTP: discovery, service calls, feedback, and a page about them.

Spec: CDS Hooks 2.0 R1, R4, R8, R34-R40. Preflights are answered before authentication, CORS headers stand on every answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from flask import Blueprint, Response, jsonify, render_template, request
from werkzeug.exceptions import MethodNotAllowed

from cds_service.bodies import compressed, json_body
from cds_service.card_parts import CardContext, IssuedCard
from cds_service.certificates import StatedCertificate
from cds_service.client_auth import CallingClient
from cds_service.definitions import ServiceDefinition
from cds_service.documentation import documented_services
from cds_service.documented_access import documented_access
from cds_service.documented_rules import documented_rules
from cds_service.evaluate import at_most, cards_for, services_on
from cds_service.feedback import parse_feedback
from cds_service.gather import fhir_client_for
from cds_service.outgoing import encoded, readable, sound
from cds_service.protocol import HookRequest
from cds_service.runtime import CdsServices
from cds_service.validator import faults_of
from fhir_imaging import texts
from fhir_imaging.errors import ImagingError, InvalidRequest, NotFound
from fhir_imaging.web import ERROR_PAGE_POLICY, ErrorShape, ErrorSurface, allow_cors, request_reference

log = logging.getLogger("imaging_cds.cds")

PREFIX = "/cds-services"
DOCUMENTATION = "/cds-documentation"


def create_blueprint(services: CdsServices, offered: Mapping[str, ServiceDefinition] | None = None) -> Blueprint:
    """The routes of the ``offered`` services by id (None = all); the composition root also installs ``error_surface``."""
    if offered is None:
        policy = services.policy
        offered = services_on(services.settings.study_complete_hook, release=policy.release, actionable=policy.packs.actionable)
    blueprint = Blueprint("cds_service", __name__)
    # Its page for people extends the one that all pages share, whose words are translated.
    blueprint.record(lambda setup: texts.install(setup.app.jinja_env))

    @blueprint.before_request
    def _limit() -> None:
        request.max_content_length = services.settings.max_body_bytes

    @blueprint.after_request
    def _cors(response: Response) -> Response:
        return compressed(request, decorate(services, response))

    @blueprint.get(PREFIX, strict_slashes=False)
    def discovery() -> Response:
        _caller(services)
        settings = services.settings
        page = f"{settings.public_base_url}{DOCUMENTATION}"
        return jsonify({"services": [service.discovery_entry(settings.specification, page) for service in offered.values()]})

    @blueprint.post(f"{PREFIX}/<service_id>")
    def call(service_id: str) -> Response:
        caller = _caller(services)
        service = _service(offered, service_id)
        hook_request = service.request_in(json_body(request, services.settings.max_body_bytes))
        for warning in hook_request.warnings:
            log.warning("%s: a request to %s: %s", request_reference(), service_id, warning)
        cards, body = _answer(services, service, hook_request, caller)
        services.feedback.remember(cards, service_id=service_id, client=caller.iss, now=services.now())
        return Response(body, mimetype="application/json")

    @blueprint.post(f"{PREFIX}/<service_id>/feedback")
    def feedback(service_id: str) -> Response:
        caller = _caller(services)
        service = _service(offered, service_id)
        entries = parse_feedback(json_body(request, services.settings.max_body_bytes), services.clock())
        services.feedback.record(entries, service_id=service.service_id, client=caller.iss, now=services.now())
        taken = Response(status=200)
        del taken.headers["Content-Type"]  # no body is defined (R34), and none is no page
        return taken

    @blueprint.get(DOCUMENTATION, strict_slashes=False)
    def documentation() -> Response:
        return _page_for_people(services, offered)

    return blueprint


def _page_for_people(services: CdsServices, offered: Mapping[str, ServiceDefinition]) -> Response:
    """R40. It names no client and no patient, so that an analyst can read it before anybody has keys."""
    page = render_template(
        "cds_documentation.html",
        base=services.settings.public_base_url,
        settings=services.settings,
        services=documented_services(offered.values()),
        rules=documented_rules(services.policy),
        access=documented_access(services.settings, offered.values()),
    )
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = ERROR_PAGE_POLICY
    return response


def error_surface(services: CdsServices) -> ErrorSurface:
    """How errors below ``/cds-services`` are told: OperationOutcome, with CORS, and a bare 401."""
    return ErrorSurface(PREFIX, ErrorShape.OPERATION_OUTCOME, lambda response: decorate(services, response))


def decorate(services: CdsServices, response: Response) -> Response:
    """CORS for browser clients, no caching, and a 401 without any body (R38)."""
    response.headers.setdefault("Cache-Control", "no-store")
    if response.status_code == 401:
        response.set_data(b"")
        response.headers.remove("Content-Type")
        response.headers["WWW-Authenticate"] = "Bearer"
    _say_what_is_offered(response)
    return allow_cors(
        response,
        allowed_origins=services.settings.cors_origins,
        methods="GET, POST, OPTIONS",
        headers="Authorization, Content-Type, Content-Encoding",
        expose="X-Request-Id",
    )


def _say_what_is_offered(response: Response) -> None:
    """Spec: RFC 9110 §15.5.6 (Allow on 405), §15.5.16 (Accept-Encoding on 415)."""
    refused = request.routing_exception
    if response.status_code == 405 and isinstance(refused, MethodNotAllowed) and refused.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(refused.valid_methods))
    if response.status_code == 415:
        response.headers["Accept-Encoding"] = "gzip, identity"
        response.headers["Accept-Post"] = "application/json"


def _caller(services: CdsServices) -> CallingClient:
    # The path as the route has it: a trailing slash on discovery is not part of the address that clients sign.
    path = request.path.rstrip("/")
    return services.authenticator.authenticate(
        request.headers.get("Authorization"), path, _certificate(services), reference=request_reference()
    )


def _certificate(services: CdsServices) -> StatedCertificate | None:
    header = services.authenticator.certificate_header
    value = request.headers.get(header) if header else None
    # The connection's own peer: ProxyFix has put what a header claims in the place of REMOTE_ADDR.
    connection = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    return StatedCertificate(value=value, peer=connection.get("REMOTE_ADDR") or "") if value else None


def _service(offered: Mapping[str, ServiceDefinition], service_id: str) -> ServiceDefinition:
    service = offered.get(service_id)
    if service is None:
        raise NotFound("There is no CDS service of that id.")
    return service


def _answer(
    services: CdsServices, service: ServiceDefinition, hook_request: HookRequest, caller: CallingClient
) -> tuple[tuple[IssuedCard, ...], bytes]:
    """The cards, and the answer that carries them."""
    try:
        cards = _cards(services, service, hook_request, caller)
        try:
            body = encoded({"cards": [card.card for card in cards]})
        except (ValueError, RecursionError):
            cards = readable(cards)
            body = encoded({"cards": [card.card for card in cards]})
        if _faults(cards, services):
            cards = sound(cards, services.new_uuid)
            body = encoded({"cards": [card.card for card in cards]})
            if not cards or _faults(cards, services):
                raise ImagingError("The service made an answer that is not valid.", code="invalid-answer")
        return cards, body
    except RecursionError as exc:
        # Nothing here is nested but what came in: a resource hundreds of levels deep that the JSON parser still took.
        raise InvalidRequest("The body is nested too deeply.") from exc


def _cards(
    services: CdsServices, service: ServiceDefinition, hook_request: HookRequest, caller: CallingClient
) -> tuple[IssuedCard, ...]:
    context = CardContext(
        request=hook_request,
        app_url=services.settings.app_url,
        ehr_name=services.ehr_name(hook_request.fhir_server),
        now=services.clock(),
        new_uuid=services.new_uuid,
        policy=services.policy,
    )
    client = fhir_client_for(hook_request, services.allowed_fhir_servers(caller), services.outbound)
    return at_most(cards_for(service, context, client, services.budgets), services.settings.max_cards)


def _faults(cards: tuple[IssuedCard, ...], services: CdsServices) -> tuple[str, ...]:
    """What the outbound validator finds wrong, where the site wants it asked: a wrong card is a fault of ours."""
    faults = faults_of({"cards": [card.card for card in cards]}) if services.settings.validate_responses else ()
    if faults:
        # Places and requirement ids only: the validator quotes nothing of a card's content.
        log.error("%s: outgoing cards are invalid: %s", request_reference(), "; ".join(faults)[:1000])
    return faults
