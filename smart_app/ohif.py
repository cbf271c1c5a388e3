"""The OHIF viewer of one launch: its page, its configuration, its files, and what may be loaded ahead of it.

The page stands at `/s/{session}/ohif/viewer`, its configuration at `/s/{session}/ohif/app-config.js`, the files that
never change at `/ohif/…`. The study comes in the viewer's own query
(`viewer?StudyInstanceUIDs=…&initialSeriesInstanceUID=…&initialSOPInstanceUID=…`), the token by a same-origin POST.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlencode

from flask import render_template

from smart_app.ohif_assets import asset_response, viewer_manifest
from smart_app.ohif_config import OhifConfig, WadoRoot, render_app_config
from smart_app.ohif_policy import page_headers
from smart_app.ohif_release import PUBLIC_PATH, ViewerManifest, ViewerNotInstalled

__all__ = [
    "COMPARE_PROTOCOL",
    "OhifConfig",
    "ShellPage",
    "ViewerNotInstalled",
    "WadoRoot",
    "app_config_headers",
    "asset_response",
    "prefetch_links",
    "render_app_config",
    "render_shell",
    "viewer_path",
]


COMPARE_PROTOCOL = "imaging-cds-compare"
"""How the viewer hangs two studies side by side; static/viewer/compare_protocol.js defines it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellPage:
    """The viewer's page and the headers that it must be sent with."""

    html: str
    headers: dict[str, str]


def render_shell(viewer_dir: Path, config: OhifConfig) -> ShellPage:
    """The page for `/s/{session}/ohif/` and every client-side path beneath it. Needs a Flask application context.

    It holds no token, no patient and no study. Raises ViewerNotInstalled.
    """
    manifest = viewer_manifest(viewer_dir)
    html = render_template(
        "viewer/ohif_shell.html",
        entry_script=PUBLIC_PATH + manifest.entry_script,
        entry_style=PUBLIC_PATH + manifest.entry_style,
        static_path=config.static_path,
        app_config=f"{config.router_basename}/app-config.js",
    )
    return ShellPage(html=html, headers={**page_headers(config), "Link": _preloads(manifest)})


def _preloads(manifest: ViewerManifest) -> str:
    """What the first image waits for, as a Link header: all of it is fetched at once, not the chunks after the entry script."""
    kinds = {".js": "script", ".css": "style", ".woff2": "font; crossorigin"}
    files = [name for name in manifest.first_image if name not in manifest.workers]
    return ", ".join(f"<{PUBLIC_PATH}{name}>; rel=preload; as={kinds[PurePosixPath(name).suffix]}" for name in files)


def app_config_headers() -> dict[str, str]:
    """Headers of `app-config.js`."""
    return {
        "Content-Type": "text/javascript; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        # A page of another origin must not read a launch's addresses by including them as a script.
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def viewer_path(
    config: OhifConfig,
    study_instance_uid: str,
    *,
    source: str | None = None,
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    beside: str | None = None,
) -> str:
    """The path and query that open one study, on one instance where named, from one data source where named.

    ``beside`` is a second study, which the same data source must hold, to hang next to the first.
    """
    query = {"StudyInstanceUIDs": study_instance_uid if beside is None else f"{study_instance_uid},{beside}"}
    if series_instance_uid is not None:
        query["initialSeriesInstanceUID"] = series_instance_uid
    if sop_instance_uid is not None:
        query["initialSOPInstanceUID"] = sop_instance_uid
    if beside is not None:
        query["hangingProtocolId"] = COMPARE_PROTOCOL
    route = "viewer" if source is None else f"viewer/{source}"
    return f"{config.router_basename}/{route}?{urlencode(query, safe=',')}"


def prefetch_links(viewer_dir: Path) -> list[str]:
    """Addresses that a page should fetch while the clinician still reads, for `<link rel="prefetch">`.

    They are what the viewer loads before its first image (about 5 MB compressed). Raises ViewerNotInstalled.
    """
    return [PUBLIC_PATH + name for name in viewer_manifest(viewer_dir).first_image]
