"""Operations: is the process alive, and can it do its work."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.store.engine import Store


def create_blueprint(store: Store) -> Blueprint:
    """``/healthz``: this worker answers. ``/readyz``: its database answers too; 503 otherwise, without saying why."""
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
        response = jsonify(database="answers" if ready else "does not answer")
        response.status_code = 200 if ready else 503
        return response

    return health
