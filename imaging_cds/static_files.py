"""Our own style sheets and scripts: compressed once, cached for ever, named by what is in them.

Their address is `/static/{digest of them all}/{name}`, so that modules find each other by relative paths and a new release is
a new address; `/static/{name}` and addresses of other releases answer too, to be asked for again each time.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""Files of other kinds are not served."""
_COMPRESSIBLE = frozenset({".css", ".js", ".svg"})
_DIGEST_CHARACTERS = 12
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file as it is sent; ``gzipped`` is None where that would spare nothing."""

    content: bytes
    gzipped: bytes | None
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFiles:
    """All files by name, and the digest that stands in their addresses."""

    files: Mapping[str, StaticFile]
    release: str

    @classmethod
    def read(cls, folder: Path) -> StaticFiles:
        """The files beneath the folder as they are now; what is not read here is not served."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in MEDIA_TYPES)
        files = {path.relative_to(folder).as_posix(): _static_file(path) for path in paths}
        named = "\n".join(f"{name} {file.digest}" for name, file in files.items())
        return cls(files=files, release=hashlib.sha256(named.encode()).hexdigest()[:_DIGEST_CHARACTERS])

    def install(self, app: Flask) -> None:
        """Registers the endpoint ``static``, so that ``url_for('static', filename=…)`` names this release."""
        app.add_url_rule("/static/<release>/<path:filename>", "static", self._answer)
        app.add_url_rule("/static/<path:filename>", "static_of_any_release", self._answer)

        @app.url_defaults
        def of_this_release(endpoint: str, values: dict[str, Any]) -> None:
            if endpoint == "static":
                values.setdefault("release", self.release)

    def _answer(self, filename: str, release: str = "") -> Response:
        is_current = release == self.release
        # In an address without a release the first folder of the name stands in its place.
        file = (None if is_current else self.files.get(f"{release}/{filename}")) or self.files.get(filename)
        if file is None:
            return Response("There is no such file.\n", 404, mimetype="text/plain")
        packed = file.gzipped if request.accept_encodings.quality("gzip") > 0 else None
        etag = f"{file.digest[:32]}{'-gzip' if packed else ''}"
        is_known = etag in request.if_none_match
        response = Response(status=304) if is_known else Response(packed or file.content, content_type=file.media_type)
        response.set_etag(etag)
        response.headers["Cache-Control"] = FOR_EVER if is_current else ASK_AGAIN
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if file.gzipped:
            response.headers["Vary"] = "Accept-Encoding"
        if packed and not is_known:
            response.headers["Content-Encoding"] = "gzip"
        return response


def _static_file(path: Path) -> StaticFile:
    content = path.read_bytes()
    packed = gzip.compress(content, mtime=0) if path.suffix in _COMPRESSIBLE else content
    return StaticFile(
        content=content,
        gzipped=packed if len(packed) < len(content) else None,
        media_type=MEDIA_TYPES[path.suffix],
        digest=hashlib.sha256(content).hexdigest(),
    )
