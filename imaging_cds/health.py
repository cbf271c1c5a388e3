"""Operations: is the process alive, and can it do its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.clients.breaker import Breaker, State
from fhir_imaging.store.engine import Store
from imaging_cds.worker import STOPPING

_WORDS = {State.CLOSED: "is asked", State.HALF_OPEN: "is tried again", State.OPEN: "is left alone"}


def create_blueprint(store: Store, breakers: Callable[[], Sequence[Breaker]] = tuple) -> Blueprint:
    """``/healthz``: this worker answers. ``/readyz``: its database answers too; 503 otherwise, without saying why.

    ``/readyz`` also says which of the servers that the imaging server asks are left alone. That makes no worker unready: the
    others would fare no better with it, and other EHRs and archives are served all the while.

    A worker that is stopping is not ready. Only a proxy with a connection from before can ask it: it takes no other.
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
        said = {"servers": servers, "database": "answers" if ready else "does not answer"}
        is_stopping = current_app.extensions.get(STOPPING, False)
        response = jsonify({**said, "server": "is stopping"} if is_stopping else said)
        response.status_code = 200 if ready and not is_stopping else 503
        return response

    return health
