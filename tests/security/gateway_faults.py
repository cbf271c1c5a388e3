"""A gateway whose ways to its counterparts can be cut, stopped or filled with noise, at the level of TCP, and mended again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from flask import Flask

from fhir_imaging.clients.breaker import BreakerSettings
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.log_watch import is_secret
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import StubEhr, StubPacs

TIMEOUT_S = 1.5
"""Of a question to a counterpart: much more than a healthy one takes to answer on a busy machine."""
LEAK = "SYNTHETIC^Alma at pacs.internal.example"
NOISE = b"\x00\xff\x16\x03\x01 " + LEAK.encode() + b"\r\n\r\n" + bytes(range(256))
_PAGE = f"<html>{LEAK}</html>".encode()
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(_PAGE) + _PAGE
_WRONG = f'{{"active": "{LEAK}", "resourceType": "Bundle", "entry": 7, "keys": 7'.encode()
HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n" + _WRONG


class Fault(StrEnum):
    """What is wrong with a line."""

    GONE = "gone"
    """Nothing listens, and open connections were cut."""
    SLOW = "slow"
    """Connections are taken, and nothing comes out of them."""
    NOISE = "noise"
    """Bytes of no protocol."""
    PAGE = "page"
    """An HTML page with status 200, as a proxy's sign-in page has it."""
    HALF = "half"
    """The beginning of an answer of the wrong shape, and then the connection ends."""


_SAID = {Fault.NOISE: NOISE, Fault.PAGE: PAGE, Fault.HALF: HALF}


class Line:
    """A TCP way to ``target``; ``fault`` = None while all is well."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.port = free_port_number()
        self.url = f"http://127.0.0.1:{self.port}"
        self._mended = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._fault: Fault | None = None
        self.mend()

    def break_(self, fault: Fault) -> None:
        """From now on, for connections that are open as for new ones."""
        self._fault = fault
        self._mended.clear()
        if fault is Fault.GONE:
            self._stop_listening()
        if fault is not Fault.SLOW:
            self._cut()

    def mend(self) -> None:
        """All is well again; what was cut stays cut."""
        self._fault = None
        self._mended.set()
        if self._listener is None:
            listener = self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Ends it for good."""
        self._mended.set()
        self._stop_listening()
        self._cut()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _cut(self) -> None:
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller, self._kept(caller), contextlib.suppress(OSError):
            said = _SAID.get(self._fault) if self._fault else None
            if said is not None:
                caller.recv(65536)
                caller.sendall(said)
                return
            with socket.create_connection(self._target, timeout=10) as server, self._kept(server):
                server.settimeout(None)
                answers = threading.Thread(target=self._pump, args=(server, caller), daemon=True)
                answers.start()
                self._pump(caller, server)
                answers.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if self._fault is Fault.SLOW:
                    self._mended.wait()
                sink.sendall(piece)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _kept(self, one: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(one)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(one)


@dataclass
class Troubled(World):
    """EHR ``north`` introspects, EHR ``south`` signs; every way out of the gateway is a line."""

    lines: dict[str, Line] = field(default_factory=dict)

    def opaque(self, patient: str = "pat-a") -> str:
        """A token that only introspection can tell about."""
        claims = self.north.claims(patient)
        token = is_secret(f"opaque.{claims['jti']}")
        self.north.introspected[token] = {**claims, "active": True}
        return token


@contextmanager
def a_troubled_world(state: StateSettings, *, decision_cache_s: float) -> Iterator[Troubled]:
    """A running gateway behind lines, with short timeouts and a breaker that opens and closes within a test."""
    with ExitStack() as stack:
        north, south, pacs = StubEhr("north"), StubEhr("south"), StubPacs()
        lines: dict[str, Line] = {}
        for counterpart, ways in ((north, ("fhir", "authorization")), (south, ("south", "keys")), (pacs, ("pacs",))):
            url = stack.enter_context(serving(counterpart.app(), free_port_number()))
            lines.update((name, Line(url)) for name in ways)
            counterpart.base = lines[ways[0]].url
        for line in lines.values():
            stack.callback(line.close)
        store = Store.open(state)
        stack.callback(store.close)
        store.migrate()
        port = free_port_number()
        settings = ImagingServerSettings(
            public_base_url=f"http://127.0.0.1:{port}",
            decision_cache_s=decision_cache_s,
            ehr_timeout_s=TIMEOUT_S,
            breaker=BreakerSettings(outages=3, window_s=30, cool_down_s=0.4),
        )
        introspection = {
            "jwks_url": None,
            "introspection_url": f"{lines['authorization'].url}/auth/introspect",
            "introspection_client_id": "imaging-server",
            "introspection_client_secret": "introspection-secret",
        }
        ehrs = (north.settings(**introspection), south.settings(jwks_url=f"{lines['keys'].url}/auth/jwks"))
        archives = (pacs.settings(connect_timeout_s=TIMEOUT_S, read_timeout_s=TIMEOUT_S),)
        services = build_services(settings, ehrs, archives, store=store)
        stack.callback(services.close)
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(services), *error_surfaces(services)])
        app.register_blueprint(create_blueprint(services))
        url = stack.enter_context(serving(app, port))
        world = Troubled(url, north, south, pacs, services, store, lines)
        world.start_anew()
        yield world
