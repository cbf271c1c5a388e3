"""Fetch the OHIF viewer from npm, check it, and lay it out to be served beneath `/ohif/`.

The package's `dist/` is the whole built viewer with the public path `/` fixed in every entry and worker bundle, in
`index.html` and in a style sheet. The install step rewrites all of them, leaves out what is not used, compresses the
text beforehand, writes a manifest, and renames the finished directory into place, so that a half-made viewer is never
served. Once there it needs no network.
"""

import base64
import gzip
import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imaging_cds.viewer_fetch import fetch_tarball
from imaging_cds.viewer_progress import InstallStep, ProgressReport, ViewerInstallError
from smart_app.ohif_release import (
    FIRST_IMAGE_CHUNKS,
    MANIFEST_NAME,
    OHIF_VERSION,
    PUBLIC_PATH,
    RELEASE,
    Asset,
    ViewerManifest,
    ViewerNotInstalled,
    read_manifest,
    release_dir,
)

OHIF_INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="

# On-device AI models (ort), microscopy, sign-in pages that name foreign hosts, and the service worker.
_LEFT_OUT_FOLDERS = frozenset({"ort", "dicom-microscopy-viewer", "customizations", "assets"})
_LEFT_OUT_FILES = frozenset(
    {
        "_headers",
        "_redirects",
        "app-config.js",
        "es6-shim.min.js",
        "google.js",
        "index.html",
        "init-service-worker.js",
        "manifest.json",
        "oidc-client.min.js",
        "polyfill.min.js",
        "serve.json",
        "silent-refresh.html",
        "sw.js",
    }
)
_COMPRESSED_SUFFIXES = frozenset({".js", ".css", ".svg", ".wasm"})
_LARGEST_FILE_BYTES = 64 * 1024 * 1024

_FIXED_PUBLIC_PATH = b'__webpack_require__.p = "/";'
_CODEC_WORKER_MARK = b"dicom-image-loader/dist/esm/decodeImageFrameWorker.js"
_ABSOLUTE_STYLE_URL = re.compile(rb"url\((['\"]?)/(?!/)")
_ENTRY_SCRIPT = re.compile(r'<script defer src="/(app\.bundle\.[0-9a-f]+\.js)">')
_ENTRY_STYLE = re.compile(r'<link href="/(app\.bundle\.css)" rel="stylesheet">')

Report = Callable[[ProgressReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unpacked:
    """What the pass over the tarball found."""

    index_html: str
    assets: dict[str, Asset]
    rewritten: tuple[str, ...]
    codec_workers: tuple[str, ...]


def is_installed(viewer_dir: Path) -> bool:
    """Whether this release stands there with every file of its manifest in its full size."""
    try:
        manifest = read_manifest(viewer_dir)
    except ViewerNotInstalled:
        return False
    root = release_dir(viewer_dir)
    return all(
        (root / path).is_file() and (root / path).stat().st_size == asset.size for path, asset in manifest.assets.items()
    )


def install_viewer(
    viewer_dir: Path,
    *,
    from_file: Path | None = None,
    report: Report = lambda _: None,
    integrity: str = OHIF_INTEGRITY,
) -> ViewerManifest:
    """Make sure that the viewer stands in `viewer_dir`; does nothing when it already does.

    Without `from_file` the package is fetched with npm. Raises ViewerInstallError, whose text names the remedy.
    `integrity` is npm's Subresource-Integrity string of the tarball.
    """
    if is_installed(viewer_dir):
        report(ProgressReport(step=InstallStep.READY))
        return read_manifest(viewer_dir)
    viewer_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=viewer_dir) as scratch_name:
        scratch = Path(scratch_name)
        tarball = from_file or fetch_tarball(f"@ohif/app@{OHIF_VERSION}", scratch, report)
        check_integrity(tarball, integrity, report)
        staging = scratch / RELEASE
        manifest = _lay_out(tarball, staging, report)
        (staging / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        _put_in_place(staging, release_dir(viewer_dir))
    report(ProgressReport(step=InstallStep.READY))
    return manifest


def check_integrity(tarball: Path, integrity: str, report: Report = lambda _: None) -> None:
    """Raises ViewerInstallError unless the file's SHA-512 is the pinned one."""
    report(ProgressReport(step=InstallStep.CHECKING))
    try:
        with tarball.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha512").digest()
    except OSError as error:
        raise ViewerInstallError(f"The viewer's tarball {tarball} cannot be read: {error.strerror}.") from error
    found = f"sha512-{base64.b64encode(digest).decode('ascii')}"
    if found != integrity:
        raise ViewerInstallError(
            f"The tarball {tarball.name} is not the pinned @ohif/app {OHIF_VERSION}: its checksum is {found}, "
            f"expected is {integrity}. Fetch it again; if it differs again, do not use it."
        )


def _lay_out(tarball: Path, staging: Path, report: Report) -> ViewerManifest:
    unpacked = _unpack(tarball, staging, report)
    script = _ENTRY_SCRIPT.search(unpacked.index_html)
    style = _ENTRY_STYLE.search(unpacked.index_html)
    if script is None or style is None or script[1] not in unpacked.rewritten or len(unpacked.codec_workers) != 1:
        raise ViewerInstallError(
            f"The tarball does not look like @ohif/app {OHIF_VERSION}: its entry, style sheet or codec worker is missing."
        )
    return ViewerManifest(
        release=RELEASE,
        entry_script=script[1],
        entry_style=style[1],
        codec_worker=unpacked.codec_workers[0],
        workers=tuple(sorted(name for name in unpacked.rewritten if name != script[1])),
        first_image=tuple(
            sorted(filter(_is_for_first_image, unpacked.assets), key=lambda name: unpacked.assets[name].size, reverse=True)
        ),
        assets=unpacked.assets,
    )


def _is_for_first_image(name: str) -> bool:
    return name.endswith(".woff2") or (name.endswith((".js", ".css")) and name.split(".")[0] in FIRST_IMAGE_CHUNKS)


def _unpack(tarball: Path, staging: Path, report: Report) -> _Unpacked:
    index_html = ""
    assets: dict[str, Asset] = {}
    rewritten: list[str] = []
    codec_workers: list[str] = []
    total = tarball.stat().st_size
    with tarball.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:gz") as archive:
        for path, content in _dist_files(archive):
            if path == "index.html":
                index_html = content.decode("utf-8")
            if _is_left_out(path):
                continue
            if _FIXED_PUBLIC_PATH in content:
                rewritten.append(path)
                if _CODEC_WORKER_MARK in content and not path.startswith("app.bundle."):
                    codec_workers.append(path)
            assets[path] = _write_asset(staging / path, rewrite(path, content))
            report(ProgressReport(step=InstallStep.UNPACKING, done_bytes=packed.tell(), total_bytes=total))
    return _Unpacked(index_html=index_html, assets=assets, rewritten=tuple(rewritten), codec_workers=tuple(codec_workers))


def _dist_files(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """The regular files beneath `package/dist/`, by their path there; anything that would leave it is refused."""
    for member in archive:
        path = PurePosixPath(member.name)
        if path.parts[:2] != ("package", "dist") or not member.isfile():
            continue
        relative = path.relative_to("package/dist")
        if ".." in relative.parts or relative.is_absolute() or member.size > _LARGEST_FILE_BYTES:
            raise ViewerInstallError(f"The tarball holds an entry that is not allowed: {member.name!r}.")
        if relative.parts[0] in _LEFT_OUT_FOLDERS:
            continue
        stream = archive.extractfile(member)
        if stream is not None:
            with stream:
                yield str(relative), stream.read()


def _is_left_out(path: str) -> bool:
    return path in _LEFT_OUT_FILES or PurePosixPath(path).parts[0] in _LEFT_OUT_FOLDERS


def rewrite(path: str, content: bytes) -> bytes:
    """One file with the viewer's fixed public path `/` replaced by the address it is served from."""
    public_path = PUBLIC_PATH.encode("ascii")
    if path.endswith(".js"):
        return content.replace(_FIXED_PUBLIC_PATH, b'__webpack_require__.p = "%s";' % public_path)
    if path.endswith(".css"):
        return _ABSOLUTE_STYLE_URL.sub(rb"url(\1" + public_path, content)
    return content


def _write_asset(path: Path, content: bytes) -> Asset:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    gzipped = path.suffix in _COMPRESSED_SUFFIXES and len(content) > 1024
    if gzipped:
        # A fixed mtime keeps the bytes, and with them any backup or image layer, the same on every install.
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    return Asset(sha256=hashlib.sha256(content).hexdigest(), size=len(content), gzipped=gzipped)


def _put_in_place(staging: Path, final: Path) -> None:
    """Rename the finished directory into place; a broken or half-removed one of the same release makes way."""
    if final.exists():
        final.rename(staging.with_name("replaced"))
    try:
        staging.rename(final)
    except OSError as error:
        if is_installed(final.parent):  # another process was quicker
            return
        raise ViewerInstallError(f"The viewer cannot be put at {final}: {error.strerror}.") from error
    for other in final.parent.iterdir():
        if other.is_dir() and re.fullmatch(r"[0-9.]+-r[0-9]+", other.name) and other != final:
            shutil.rmtree(other, ignore_errors=True)
