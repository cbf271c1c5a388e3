"""Serves a Flask application with gunicorn's threaded workers, on both loopback families where the host is ``localhost``.

gunicorn is the choice because it binds several addresses at once, forks workers that share the listening socket and stops
gracefully; the alternatives and what was measured are in ``docs/decisions/0002-gunicorn.md`` and
``0004-gunicorn-measured.md``.
"""

from __future__ import annotations

import gc
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from imaging_cds.logs import LogFormat
from imaging_cds.metrics_workers import worker_ended
from imaging_cds.worker import ENDING_S

_OPEN_FILES = 65536
# A request of 62 kB makes some thousand objects, and a dozen of them may be under way at once; Python's default is 700.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the application is served. Several workers share nothing but the database."""

    host: str = "localhost"
    """Address to listen on; ``localhost`` is the loopback of IPv4 and, where there is one, of IPv6."""
    port: int = 8000
    """TCP port to listen on."""
    workers: int = 2
    """Worker processes."""
    threads: int = 12
    """Threads of each worker: how many requests it answers at a time."""
    timeout_s: int = 120
    """A worker that shows no sign of life for so long is replaced."""
    graceful_timeout_s: int = 10
    """How long requests under way may take to end when the server stops; new ones are refused meanwhile."""
    trusted_proxies: int = 0
    """How many reverse proxies stand in front and set X-Forwarded-*; 0 = nobody's headers are believed."""
    log_format: LogFormat = LogFormat.TEXT
    """How log lines are written to standard error: ``text`` for people, ``json`` for programs, one object a line."""


ENDING = "ending"
"""Where ``app.extensions`` has the ``ExitStack`` of what is to be done before a worker ends."""


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, make_app: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        app = self._make_app()
        _collect_less_often()
        return app


def _collect_less_often() -> None:
    """Spares Python's cycle collector the work that finds nothing: what the application has loaded stays, and a request's JSON
    is no cycle. By default it looks at both again and again, which took about a tenth of a card's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])


def _before_worker_ends(_server: object, worker: Any) -> None:
    """In the worker, after its last request; one that could not load the application has nothing to end."""
    ending = getattr(getattr(worker, "wsgi", None), "extensions", {}).get(ENDING)
    if ending is not None:
        ending.close()


def _on_worker_end(_server: object, worker: Any) -> None:
    """In the process that started it."""
    worker_ended(worker.pid)


def _raise_open_files() -> None:
    """As far as this process may: each caller and each archive's connection takes one, and many systems begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(make_app: Callable[[], Flask], settings: ServerSettings) -> None:
    """Runs until SIGTERM or SIGINT. ``make_app`` is called once in every worker, after the fork."""
    _raise_open_files()
    options: dict[str, Any] = {
        "bind": binds(settings.host, settings.port),
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": "imaging_cds.worker.Worker",
        "timeout": settings.timeout_s,
        "graceful_timeout": settings.graceful_timeout_s + ENDING_S,
        "keepalive": 30,
        # gunicorn would take gunicorn_h1c where that is installed; its 0.6.9 ends lines at a lone line feed, which hides a
        # second request from a proxy in front that does not (group 20).
        "http_parser": "python",
        # gunicorn would believe SCRIPT_NAME, PATH_INFO and X-Forwarded-Proto of loopback; trusted_proxies says whom to believe.
        "forwarded_allow_ips": "",
        "accesslog": None,
        "loglevel": "warning",
        "proc_name": "imaging-cds",
        "control_socket_disable": True,
        "worker_exit": _before_worker_ends,
        "child_exit": _on_worker_end,
    }
    _Gunicorn(make_app, options).run()


def binds(host: str, port: int) -> list[str]:
    """Addresses to listen on: ``localhost`` means 127.0.0.1, and ::1 too where this machine has IPv6."""
    if host != "localhost":
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    return [f"127.0.0.1:{port}", *([f"[::1]:{port}"] if _has_ipv6_loopback() else [])]


def is_port_free(host: str, port: int) -> bool:
    """Whether this process could listen there now."""
    for address in binds(host, port):
        bare = address.rsplit(":", 1)[0].strip("[]")
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((bare, port))
            except OSError:
                return False
    return True


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
