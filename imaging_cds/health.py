"""Operations: is the process alive, and can it do its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.clients.breaker import Breaker, State
from fhir_imaging.store.engine import Store

_WORDS = {State.CLOSED: "is asked", State.HALF_OPEN: "is tried again", State.OPEN: "is left alone"}


def create_blueprint(store: Store, breakers: Callable[[], Sequence[Breaker]] = tuple) -> Blueprint:
    """``/healthz``: this worker answers. ``/readyz``: its database answers too; 503 otherwise, without saying why.

    ``/readyz`` also says which of the servers that the imaging server asks are left alone. That makes no worker unready: the
    others would fare no better with it, and other EHRs and archives are served all the while.
    """
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @health.get("/readyz")
    def readyz() -> Response:
        try:
            ready = store.is_reachable()
        except SQLAlchemyError:
            ready = False
        servers = {one.server: _WORDS[one.state] for one in breakers()}
        response = jsonify(servers=servers, database="answers" if ready else "does not answer")
        response.status_code = 200 if ready else 503
        return response

    return health
