"""``/metrics``: for those that the settings name, and nobody else."""

from __future__ import annotations

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from fhir_imaging.errors import NotAuthenticated, NotPermitted
from fhir_imaging.web import ErrorShape, ErrorSurface
from imaging_cds.metrics import Metrics
from imaging_cds.metrics_settings import MetricsSettings

PATH = "/metrics"
ERRORS = ErrorSurface(PATH, ErrorShape.PROBLEM_JSON)
_OF_PROXIES = ("X-Forwarded-For", "Forwarded", "X-Real-Ip")


def create_blueprint(settings: MetricsSettings, metrics: Metrics, *, behind_proxies: int) -> Blueprint:
    """The one route. ``behind_proxies``: how many proxies are believed (``server.trusted_proxies``)."""
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get(PATH)
    def read() -> Response:
        # A proxy that nobody counts would lend its own address to every client that it has.
        is_lent = not behind_proxies and any(name in request.headers for name in _OF_PROXIES)
        if not settings.is_inside(request.remote_addr) or (settings.networks and is_lent):
            raise NotPermitted("The metrics are not for this client.", code="metrics-network")
        if not settings.knows(request.headers.get("Authorization")):
            raise NotAuthenticated("The metrics need their bearer token.", code="metrics-token")
        return Response(metrics.as_text(), content_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})

    return blueprint
