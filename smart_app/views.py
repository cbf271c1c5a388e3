"""The SMART app's blueprint: launch, study list, viewer, and one way of explaining what ended."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, request

from fhir_imaging import texts
from fhir_imaging.errors import UpstreamError
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.invoke_display_views import add_display_routes
from smart_app.launch_views import add_landing_routes, add_launch_routes
from smart_app.list_views import add_list_routes
from smart_app.named_views import add_named_routes
from smart_app.ohif import ViewerNotInstalled
from smart_app.pages import explained, refusal_page
from smart_app.recovery_views import add_recovery_routes
from smart_app.report_views import add_report_routes
from smart_app.services import SmartAppServices
from smart_app.session_views import add_session_routes, add_token_routes
from smart_app.settings import TRANSLATIONS
from smart_app.style_views import add_style_routes
from smart_app.support_words import FACT_WORDS
from smart_app.viewer_views import add_shell_routes, add_viewer_routes


def create_blueprint(services: SmartAppServices) -> Blueprint:
    """Every route of the SMART app, at the root of the site."""
    blueprint = Blueprint("smart_app", __name__)
    blueprint.record(lambda setup: texts.install(setup.app.jinja_env))
    blueprint.record(lambda setup: setup.app.jinja_env.globals.update(support_words=FACT_WORDS))
    translations = texts.catalogue(services.settings.language, TRANSLATIONS)
    blueprint.before_request(partial(texts.speak, services.settings.language, translations))
    add_landing_routes(blueprint, services)
    add_launch_routes(blueprint, services)
    add_list_routes(blueprint, services)
    add_named_routes(blueprint, services)
    add_display_routes(blueprint, services)
    add_report_routes(blueprint, services)
    add_session_routes(blueprint, services)
    add_token_routes(blueprint, services)
    add_style_routes(blueprint, services)
    add_viewer_routes(blueprint, services)
    add_recovery_routes(blueprint, services)
    add_shell_routes(blueprint, services)

    @blueprint.errorhandler(ExplainedRefusal)
    def _refused(refusal: ExplainedRefusal) -> Response:
        return refusal_page(services, refusal)

    @blueprint.errorhandler(UpstreamError)
    def _upstream(error: UpstreamError) -> Response:
        return refusal_page(services, explained(error))

    @blueprint.errorhandler(ViewerNotInstalled)
    def _no_viewer(_error: ViewerNotInstalled) -> Response:
        return refusal_page(services, ExplainedRefusal(Reason.VIEWER_MISSING))

    @blueprint.after_request
    def _never_guess(response: Response) -> Response:
        # Explicit here too, so that the blueprint is safe in an application that sets nothing itself.
        if request.blueprint == "smart_app":
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers.setdefault("Referrer-Policy", "no-referrer")
        return response

    return blueprint
