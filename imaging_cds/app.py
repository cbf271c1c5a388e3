"""Composition root: one Flask application out of the configured components."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from fhir_imaging.store.engine import Store
from imaging_cds import health
from imaging_cds.settings import ApplicationSettings

_HERE = Path(__file__).parent


def create_app(settings: ApplicationSettings) -> Flask:
    """The application of one worker. Make it after the fork; nothing of it is shared between processes but the database.

    ConfigurationError when the database is not of this version or a component's settings cannot work.
    """
    app = Flask("imaging_cds", template_folder=str(_folder("templates")), static_folder=str(_folder("static")))
    store = Store.open(settings.state)
    store.check_migrated()
    app.extensions["imaging_cds_store"] = store
    app.register_blueprint(health.create_blueprint(store))
    return app


def _folder(name: str) -> Path:
    """``templates`` or ``static``: beside the packages in a checkout, inside this package in an installed wheel."""
    packaged = _HERE / name
    return packaged if packaged.is_dir() else _HERE.parent / name
