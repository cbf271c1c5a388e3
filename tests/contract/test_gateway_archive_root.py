"""Where the gateway looks for an archive: at the root that is configured, whatever an archive's default is (X10)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask, jsonify, request

from fhir_imaging.settings import PacsSettings
from imaging_server.resource import parse_path
from imaging_server.upstream import Archive, UpstreamRequest
from imaging_server.upstream_answers import read_datasets


@pytest.mark.parametrize("root", ["/dicom-web", "/dcm4chee-arc/aets/DCM4CHEE/rs", "/dicomweb/", ""])
def test_x10_every_request_goes_below_the_configured_root(
    serve: Callable[[Flask, int], str], free_port: int, root: str
) -> None:
    asked: list[str] = []
    app = Flask("archive")

    @app.get("/<path:path>")
    def answer(path: str) -> object:
        asked.append(request.path)
        response = jsonify([])
        response.content_type = "application/dicom+json"
        return response

    archive = Archive(PacsSettings(name="main", dicomweb_root=serve(app, free_port) + root))
    resource = parse_path("/studies/2.25.1/metadata")
    assert resource is not None
    try:
        read_datasets(archive.ask(UpstreamRequest(resource=resource, accept="application/dicom+json")), limit=1000, server="x")
    finally:
        archive.close()

    assert asked == [f"{root.rstrip('/')}/studies/2.25.1/metadata"]
