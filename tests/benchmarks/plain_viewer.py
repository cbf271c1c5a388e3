"""The same OHIF files without us: its own page and its default configuration, pointed straight at a PACS of another origin.

``python -m tests.benchmarks.plain_viewer viewer|pacs …`` serves until it is stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from flask import Flask, Response

from imaging_cds.server import ServerSettings, serve
from smart_app.ohif_assets import asset_response, viewer_manifest
from smart_app.ohif_release import PUBLIC_PATH

BEARER = "bench-token"
"""What the PACS asks for, and what the viewer is given in its address, as its documentation has it."""

PAGE = """<!doctype html>
<html lang="en" class="dark"><head><meta charset="utf-8"><title>OHIF Viewer</title>
<link rel="icon" href="data:,">
<script>window.PUBLIC_URL = "/"; window.browserImportFunction = (address) => import(address);</script>
<script src="/app-config.js"></script>
<script defer src="{script}"></script>
<link href="{style}" rel="stylesheet">
</head><body><div id="react-portal"></div><div id="root"></div></body></html>
"""


def plain_viewer(viewer_dir: Path, dicomweb_root: str) -> Flask:
    """OHIF as its build has it. The files are served as ours are: compressed beforehand, immutable."""
    app = Flask("bench_plain_viewer", static_folder=None)
    manifest = viewer_manifest(viewer_dir)
    page = PAGE.format(script=PUBLIC_PATH + manifest.entry_script, style=PUBLIC_PATH + manifest.entry_style)
    config = f"window.config = {json.dumps(default_configuration(dicomweb_root))};"

    app.add_url_rule("/", "list", lambda: page)
    app.add_url_rule("/viewer", "viewer", lambda: page)
    app.add_url_rule("/app-config.js", "configuration", lambda: Response(config, mimetype="text/javascript"))
    app.add_url_rule("/ohif/<path:name>", "file", lambda name: asset_response(viewer_dir, name))
    return app


def default_configuration(dicomweb_root: str) -> dict[str, object]:
    """OHIF's ``config/default.js`` with this archive as its data source."""
    return {
        "routerBasename": None,
        "extensions": [],
        "modes": [],
        "customizationService": {},
        "showStudyList": True,
        "maxNumberOfWebWorkers": 3,
        "showWarningMessageForCrossOrigin": True,
        "showCPUFallbackMessage": True,
        "showLoadingIndicator": True,
        "experimentalStudyBrowserSort": False,
        "strictZSpacingForVolumeViewport": True,
        "groupEnabledModesFirst": True,
        "allowMultiSelectExport": False,
        "maxNumRequests": {"interaction": 100, "thumbnail": 75, "prefetch": 25},
        "defaultDataSourceName": "pacs",
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": "pacs",
                "configuration": {
                    "friendlyName": "PACS",
                    "name": "pacs",
                    "wadoUriRoot": dicomweb_root,
                    "qidoRoot": dicomweb_root,
                    "wadoRoot": dicomweb_root,
                    "qidoSupportsIncludeField": False,
                    "imageRendering": "wadors",
                    "thumbnailRendering": "wadors",
                    "enableStudyLazyLoad": True,
                    "supportsFuzzyMatching": False,
                    "supportsWildcard": False,
                    "staticWado": False,
                    "singlepart": "bulkdata,video",
                    "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
                    "omitQuotationForMultipartRequest": True,
                },
            }
        ],
    }


def open_pacs(directory: Path, dicom_dir: Path, port: int, origin: str) -> Flask:
    """The same sandbox archive with the same files, which a page of ``origin`` may ask with the bearer."""
    from ehr_sandbox.pacs import PacsSettings, create_pacs

    return create_pacs(
        PacsSettings(
            base_url=f"http://127.0.0.1:{port}/dicom-web",
            data_dir=directory,
            bearer_token=BEARER,
            cors_origins=(origin,),
            import_dirs=(dicom_dir,),
        )
    )


def main() -> None:
    """Serves one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("viewer", "pacs"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--viewer-dir", type=Path)
    parser.add_argument("--dicomweb-root", default="")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--dicom-dir", type=Path)
    parser.add_argument("--origin", default="")
    told = parser.parse_args()
    if told.what == "viewer":
        settings = ServerSettings(host="localhost", port=told.port, workers=2)
        serve(lambda: plain_viewer(told.viewer_dir, told.dicomweb_root), settings)
    else:
        settings = ServerSettings(host="127.0.0.1", port=told.port, workers=1)
        serve(lambda: open_pacs(told.directory, told.dicom_dir, told.port, told.origin), settings)


if __name__ == "__main__":
    main()
