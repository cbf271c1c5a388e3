"""The gateway on the product's own server before an archive that keeps its connections, where the server passes frames on by
itself (``standing_frames``)."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask

from fhir_imaging.web import RequestSummary, install, observe
from imaging_server.rate_limit import RateLimitSettings
from imaging_server.views import create_blueprint, error_surface
from tests.kept_archive import KeptPacs, a_kept_archive
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import FRAME
from tests.worker_here import Caller, RunningWorker, a_worker

ONE_FORM = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
ROOT = "/imaging/north/dicom-web/main"
PATH = f"{ROOT}{FRAME}"
UNLIMITED = {"decision_cache_s": 60.0, "rate_limit": RateLimitSettings(requests_per_second=0.0)}
EACH_S = 0.02
NOTICED_S = 8.0


def wait_for(is_so: Callable[[], bool], seconds: float = NOTICED_S) -> bool:
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(EACH_S)
    return is_so()


@dataclass(repr=False)
class Ward:
    """The gateway on the product's own server, before an archive that keeps its connections."""

    world: World
    pacs: KeptPacs
    running: RunningWorker
    told: list[RequestSummary] = field(default_factory=list)

    def viewer(self, token: str | None = None, **headers: str) -> Caller:
        """A viewer with a token, on a connection of its own."""
        caller = self.running.caller({"Accept": ONE_FORM} | {name.replace("_", "-"): value for name, value in headers.items()})
        caller.headers["Authorization"] = f"Bearer {token or self.world.north.token()}"
        return caller

    def turns(self, number: int) -> list[bool]:
        """Of so many requests, whether each was answered so; it is noted when the answer was sent."""
        wait_for(lambda: len(self.running.in_turn) >= number)
        return self.running.in_turn

    def let_in(self, viewer: Caller) -> Caller:
        """As far as further frames are passed on by the server."""
        before = len(self.told)
        assert [viewer.ask(PATH).status for _ in range(3)] == [200] * 3
        assert wait_for(lambda: len(self.told) == before + 3), "it is told of an answer when that was sent"
        assert wait_for(lambda: self.running.in_turn[-1:] == [True])
        self.running.in_turn.clear()
        self.pacs.asked.clear()
        self.told.clear()
        return viewer


@contextmanager
def a_ward(
    directory: Path,
    *,
    archive: dict[str, Any] | None = None,
    tls: ssl.SSLContext | None = None,
    also: Callable[[Flask], None] = lambda _: None,
    **changes: Any,
) -> Iterator[Ward]:
    """``tls``: what the archive shows; ``also``: what else is installed in the application."""
    with ExitStack() as stack:
        pacs = stack.enter_context(a_kept_archive(tls))
        world = stack.enter_context(a_world(directory, pacs=pacs, archive=archive, **changes))
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(world.services)])
        told: list[RequestSummary] = []
        observe(app, told.append)
        app.register_blueprint(create_blueprint(world.services))
        also(app)
        yield Ward(world, pacs, stack.enter_context(a_worker(app)), told)


def in_bytes(viewer: Caller) -> bytes:
    lines = [f"GET {PATH} HTTP/1.1", f"Host: 127.0.0.1:{viewer.port}", "Accept-Encoding: identity"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in viewer.headers.items()), "", ""]).encode()
