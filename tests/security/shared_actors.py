"""Two gateways with one database between the same EHRs and the same archive, and how each answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.security.gateway_actors import VIEWER_ORIGIN, World
from tests.security.gateway_stubs import StubEhr, StubPacs


@dataclass
class TwoWorkers:
    """Both have the same counterparts, each its own memory and its own connections to the database."""

    one: World
    other: World

    @property
    def both(self) -> tuple[World, World]:
        return self.one, self.other


@contextmanager
def two_workers(
    state: StateSettings, *, north: dict[str, Any] | None = None, server: dict[str, Any] | None = None
) -> Iterator[TwoWorkers]:
    """``north`` and ``server`` change settings; decisions live for a minute and are shared."""
    with ExitStack() as stack:
        north_ehr, south_ehr, pacs = StubEhr("north"), StubEhr("south"), StubPacs()
        for counterpart in (north_ehr, south_ehr, pacs):
            counterpart.base = stack.enter_context(serving(counterpart.app(), free_port_number()))
        ehrs = (north_ehr.settings(**(north or {})), south_ehr.settings())
        worlds = []
        for _ in range(2):
            store = Store.open(state)
            stack.callback(store.close)
            store.migrate()
            port = free_port_number()
            chosen = {"decision_cache_s": 60.0, "shared_decisions": True, **(server or {})}
            settings = ImagingServerSettings(
                public_base_url=f"http://127.0.0.1:{port}", allowed_origins=(VIEWER_ORIGIN,), **chosen
            )
            services = build_services(settings, ehrs, (pacs.settings(),), store=store)
            stack.callback(services.close)
            app = Flask("gateway", static_folder=None)
            install(app, [error_surface(services), *error_surfaces(services)])
            app.register_blueprint(create_blueprint(services))
            url = stack.enter_context(serving(app, port))
            worlds.append(World(url, north_ehr, south_ehr, pacs, services, store))
        worlds[0].start_anew()
        yield TwoWorkers(*worlds)
