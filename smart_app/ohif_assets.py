"""Serve the viewer's immutable files: only those of the manifest, compressed beforehand, cached for ever."""

from functools import lru_cache
from pathlib import Path, PurePosixPath

from flask import Request, Response, request

from smart_app.ohif_policy import worker_policy
from smart_app.ohif_release import MANIFEST_NAME, RELEASE, ViewerManifest, read_manifest, release_dir

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


def asset_response(viewer_dir: Path, path: str) -> Response:
    """The answer to `/ohif/{path}`; 404 for whatever the manifest does not list. Needs a Flask request context.

    Raises ViewerNotInstalled when there is no viewer at all.
    """
    manifest = viewer_manifest(viewer_dir)
    name = path.removeprefix(f"{RELEASE}/")
    asset = manifest.assets.get(name)
    if asset is None or name == path:
        return Response("No such viewer file.\n", status=404, mimetype="text/plain")
    gzipped = asset.gzipped and _accepts_gzip(request)
    file = release_dir(viewer_dir) / (f"{name}.gz" if gzipped else name)
    # One ETag per representation (RFC 9110 §8.8.3): the compressed bytes are not the plain ones.
    etag = f"{asset.sha256[:32]}{'-gzip' if gzipped else ''}"
    response = Response(status=304) if etag in request.if_none_match else Response(_content(file, request))
    response.headers.update(_headers(manifest, name))
    response.set_etag(etag)
    if asset.gzipped:
        response.headers["Vary"] = "Accept-Encoding"
    if response.status_code == 200:
        response.headers["Content-Length"] = str(file.stat().st_size)
        if gzipped:
            response.headers["Content-Encoding"] = "gzip"
    return response


def viewer_manifest(viewer_dir: Path) -> ViewerManifest:
    """The installed viewer's manifest, read once per file version. Raises ViewerNotInstalled."""
    try:
        changed = (release_dir(viewer_dir) / MANIFEST_NAME).stat().st_mtime_ns
    except OSError:
        return read_manifest(viewer_dir)
    return _manifest_as_of(viewer_dir, changed)


@lru_cache(maxsize=8)
def _manifest_as_of(viewer_dir: Path, _changed_ns: int) -> ViewerManifest:
    return read_manifest(viewer_dir)


def _content(file: Path, asked: Request) -> bytes:
    return b"" if asked.method == "HEAD" else file.read_bytes()


def _accepts_gzip(asked: Request) -> bool:
    return asked.accept_encodings.quality("gzip") > 0


def _headers(manifest: ViewerManifest, name: str) -> dict[str, str]:
    headers = {
        "Content-Type": _MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream"),
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if name in manifest.workers:
        headers["Content-Security-Policy"] = worker_policy(is_codec_worker=name == manifest.codec_worker)
    return headers
