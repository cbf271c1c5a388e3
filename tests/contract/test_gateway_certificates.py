"""Archives whose certificates a hospital's own authority signs: trusted where the site says so, and there only (group 20)."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask, Response
from werkzeug.serving import make_server

from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import PacsSettings
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive
from tests.conftest import free_port_number
from tests.contract.test_smart_certificates import HospitalAuthority, an_authority


@contextmanager
def a_hospitals_archive(hospital: HospitalAuthority) -> Iterator[str]:
    """An archive and its token endpoint with the hospital's certificate."""
    app = Flask("archive_behind_tls")

    @app.get("/dicom-web/studies")
    def _studies() -> Response:
        return Response("[]", content_type="application/dicom+json")

    app.add_url_rule(
        "/token", view_func=lambda: {"access_token": "t", "token_type": "Bearer", "expires_in": 300}, methods=["POST"]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(hospital.chain)
    server = make_server("127.0.0.1", port := free_port_number(), app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def searched(base: str, authority: Path | None, **more: str) -> int:
    settings = PacsSettings(
        name="main",
        dicomweb_root=f"{base}/dicom-web",
        certificate_authority=authority,
        **more,  # type: ignore[arg-type]
    )
    archive = Archive(settings)
    try:
        return len(archive.search(STUDY_SEARCH, [], limit=1000).datasets)
    finally:
        archive.close()


def test_authority_counts_for_the_archive_and_its_token_endpoint(tmp_path: Path) -> None:
    hospital = an_authority(tmp_path)
    with a_hospitals_archive(hospital) as base:
        assert searched(base, hospital.authority) == 0
        token = {"token_url": f"{base}/token", "client_id": "gateway", "client_secret": "the-secret"}
        assert searched(base, hospital.authority, **token) == 0


def test_without_it_or_with_another_one_nothing_is_sent(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    hospital, other = map(an_authority, folders)
    with a_hospitals_archive(hospital) as base:
        for authority in (None, other.authority):
            with pytest.raises(UpstreamError, match="could not be reached"):
                searched(base, authority)


def test_file_that_is_no_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text("no certificate")

    for path in (tmp_path / "authority.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="certificate_authority"):
            searched("https://pacs.example", path)
