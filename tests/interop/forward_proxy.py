"""A site's forward proxy and a package registry that only it can find: CONNECT and absolute-form at the wire (RFC 9110 §9.3.6,
RFC 9112 §3.2.2)."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response
from werkzeug.exceptions import NotFound

REGISTRY_NAME = "registry.hospital.invalid"
"""Nobody's name (RFC 6761): no machine finds it but by asking the proxy."""


@dataclass
class ForwardProxy:
    """Lets through to ``known`` names, whoever shows ``credentials`` (``name:password``; none: everybody)."""

    known: Mapping[str, int]
    """The loopback port that stands for each name."""
    credentials: str = ""
    address: str = ""
    """``host:port``."""
    asked: list[str] = field(default_factory=list)
    """First line of each request that was let through."""
    refused: list[str] = field(default_factory=list)

    @contextmanager
    def up(self, port: int) -> Iterator[ForwardProxy]:
        with _Server(("127.0.0.1", port), _Handler) as server:
            server.proxy = self
            self.address = f"127.0.0.1:{port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def lets_through(self, head: list[str]) -> bool:
        wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        shown = [line.partition(":")[2].strip() for line in head if line.lower().startswith("proxy-authorization:")]
        return not self.credentials or shown == [wanted]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    proxy: ForwardProxy


class _Handler(socketserver.StreamRequestHandler):
    """One request, or one tunnel, a connection."""

    server: _Server

    def handle(self) -> None:
        proxy = self.server.proxy
        head = self._head()
        if not head:
            return
        method, target, _ = head[0].split(" ")
        where = urlsplit(f"//{target}" if method == "CONNECT" else target)
        if not proxy.lets_through(head):
            proxy.refused.append(head[0])
            self._says('407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="site"')
        elif where.hostname not in proxy.known:
            proxy.refused.append(head[0])
            self._says("502 Bad Gateway")
        else:
            proxy.asked.append(head[0])
            with socket.create_connection(("127.0.0.1", proxy.known[where.hostname]), timeout=20) as onward:
                if method == "CONNECT":
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    onward.sendall(_origin_form(method, where.path, head))
                self._passes(onward)

    def _head(self) -> list[str]:
        lines: list[str] = []
        while line := self.rfile.readline(65536).decode("latin-1").rstrip("\r\n"):
            lines.append(line)
        return lines

    def _says(self, status: str) -> None:
        self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def _passes(self, onward: socket.socket) -> None:
        back = threading.Thread(target=_pump, args=(onward, self.connection), daemon=True)
        back.start()
        _pump(self.connection, onward)
        back.join(20)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(65536):
            target.sendall(some)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _origin_form(method: str, path: str, head: list[str]) -> bytes:
    """As the registry is asked: without what was meant for the proxy, and for this one answer."""
    kept = [line for line in head[1:] if not line.lower().startswith(("proxy-", "connection:"))]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")


def registry_of(package: str, version: str, tarball: bytes, base: str) -> Flask:
    """A registry of one package, as npm asks it."""
    app = Flask("registry", static_folder=None)
    file_name = f"{package.rpartition('/')[2]}-{version}.tgz"
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(tarball).digest()).decode()}"
    told: dict[str, Any] = {"name": package, "version": version}
    told["dist"] = {"tarball": f"{base}/{package}/-/{file_name}", "integrity": integrity}
    document = {"name": package, "dist-tags": {"latest": version}, "versions": {version: told}}

    @app.get("/<path:asked>")
    def _answer(asked: str) -> Response:
        if asked == package:
            return Response(json.dumps(document), mimetype="application/json")
        if asked == f"{package}/-/{file_name}":
            return Response(tarball, mimetype="application/octet-stream")
        raise NotFound

    return app
