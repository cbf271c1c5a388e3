"""Composition root: one Flask application out of the configured components."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from flask import Flask

import cds_service.views
import imaging_server.fhir_views
import imaging_server.views
import smart_app.views
from cds_service.runtime import CdsServices, clock_in
from fhir_imaging import web
from fhir_imaging.clients.breaker import Breaker
from fhir_imaging.store.engine import Store
from fhir_imaging.web import ErrorSurface, RequestSummary
from imaging_cds import health
from imaging_cds.audit_trail import delivery_of, open_store
from imaging_cds.backend_signer import signer_of
from imaging_cds.metrics_workers import waiting_records
from imaging_cds.server import ENDING
from imaging_cds.settings import ApplicationSettings, Component
from imaging_cds.site_rules import site_policy
from imaging_cds.static_files import StaticFiles
from imaging_cds.trusted_proxies import TrustedProxies
from imaging_findings.site_policy import SitePolicy
from imaging_server.services import ImagingServerServices, build_services
from pacs_sync.counts import counts
from smart_app.patient_match import IdentifierSystem
from smart_app.services import SmartAppServices

IMAGING_SERVER = "imaging_server"
"""Where ``app.extensions`` has the imaging server's services, where it runs here."""
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What every component of one application shares."""

    settings: ApplicationSettings
    store: Store
    policy: SitePolicy


def create_app(
    settings: ApplicationSettings,
    policy: SitePolicy | None = None,
    *,
    write_line: Callable[[RequestSummary], None] | None = None,
) -> Flask:
    """The application of one worker. Make it after the fork; nothing of it is shared between processes but the database.

    ``policy`` are the site's rules where they have been read already, so that all workers judge alike; ``write_line`` writes
    the log's line of each request (``web.install``).
    ConfigurationError when the database is not of this version, or settings or the site's rules cannot work.
    """
    policy = policy or site_policy(settings.rules)
    app = Flask("imaging_cds", template_folder=str(_folder("templates")), static_folder=None)
    StaticFiles.read(_folder("static")).install(app)
    ending = app.extensions[ENDING] = ExitStack()  # the last that is begun ends first
    at_last = ending.enter_context(ExitStack())  # has what is left of a worker's time to end
    store = open_store(settings)
    ending.callback(store.close)
    store.check_migrated()
    breakers: list[Breaker] = []
    app.register_blueprint(health.create_blueprint(store, lambda: breakers))
    parts = _Parts(settings=settings, store=store, policy=policy)
    surfaces = [surface for component in settings.components for surface in _register(app, component, parts)]
    if settings.server.trusted_proxies:  # before anything that a component has put before the application
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.server.trusted_proxies)  # type: ignore[method-assign]
    imaging: ImagingServerServices | None = app.extensions.get(IMAGING_SERVER)
    breakers += imaging.breakers if imaging else ()
    if settings.metrics.is_on:
        surfaces.append(_measure(app, settings, store, imaging))
    web.install(app, surfaces, write_line=write_line)
    if settings.telemetry.is_on:
        _trace(app, settings, at_last)
    delivery = delivery_of(settings, store)
    delivery.start()
    ending.callback(delivery.stop)
    return app


def close_app(app: Flask) -> None:
    """Ends what ``create_app`` began: deliveries first, then all connections. A worker of the server does it by itself."""
    app.extensions[ENDING].close()


def _register(app: Flask, component: Component, parts: _Parts) -> list[ErrorSurface]:
    """Registers one component's routes and says how it tells its callers of errors."""
    settings, store, policy = parts.settings, parts.store, parts.policy
    if component is Component.CDS_SERVICE:
        cds = CdsServices.assemble(settings.cds, settings.ehr, store, policy=policy)
        app.extensions[ENDING].callback(cds.outbound.close)
        app.register_blueprint(cds_service.views.create_blueprint(cds))
        return [cds_service.views.error_surface(cds)]
    if component is Component.SMART_APP:
        state_dir = settings.state.state_dir
        clock = clock_in(settings.cds.zone)  # the study list has the days of the cards
        systems = {
            name: IdentifierSystem(
                system=rule.system, issuer_of_patient_id=rule.issuer_of_patient_id, is_only_issuer=rule.is_only_issuer
            )
            for name, rule in settings.imaging_server.patient_identifiers.items()
        }
        smart = SmartAppServices.assemble(
            settings.smart_app, settings.ehr, store, state_dir=state_dir, clock=clock, policy=policy
        )
        smart = replace(smart, identifier_systems=systems)
        app.extensions[ENDING].callback(smart.outbound.close)
        app.register_blueprint(smart_app.views.create_blueprint(smart))
        return []  # people: HTML pages, the default
    imaging = build_services(
        settings.imaging_server, settings.ehr, settings.pacs, store=store, sign_assertion=signer_of(settings)
    )
    app.extensions[IMAGING_SERVER] = imaging
    app.extensions[ENDING].callback(imaging.close)
    app.register_blueprint(imaging_server.views.create_blueprint(imaging))
    return [imaging_server.views.error_surface(imaging), *imaging_server.fhir_views.error_surfaces(imaging)]


def _measure(app: Flask, settings: ApplicationSettings, store: Store, imaging: ImagingServerServices | None) -> ErrorSurface:
    """Counts what the application does, for those that may read it."""
    # prometheus_client looks at its surroundings when it is imported.
    from imaging_cds import metrics, metrics_view, sync_metrics

    syncs = [sync.name for sync in settings.sync]
    figures = [sync_metrics.SyncFigures(lambda: counts(store, syncs, now=time.time()))] if syncs else []
    measured = metrics.Metrics(pending=partial(waiting_records, store), looked_up=figures)
    measured.install(app)
    if imaging is not None:
        measured.knows(one.server for one in imaging.breakers)
        imaging.watched_by(measured.watch)
    proxies = settings.server.trusted_proxies
    app.register_blueprint(metrics_view.create_blueprint(settings.metrics, measured, behind_proxies=proxies))
    return metrics_view.ERRORS


def _trace(app: Flask, settings: ApplicationSettings, ending: ExitStack) -> None:
    """Tells a collector what the application does."""
    from imaging_cds.telemetry import Tracing  # its libraries are an extra

    tracing = Tracing.of(settings)
    tracing.install(app)
    ending.callback(tracing.close)


def _folder(name: str) -> Path:
    """``templates`` or ``static``: beside the packages in a checkout, inside this package in an installed wheel."""
    packaged = _HERE / name
    return packaged if packaged.is_dir() else _HERE.parent / name
