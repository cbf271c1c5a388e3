"""Sandbox PACS: DICOMweb over Part-10 files in a directory.

Spec: PS3.18 (QIDO-RS, WADO-RS, WADO-URI, STOW-RS). It shares no code with the product that talks to it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, InternalServerError

from ehr_sandbox import (
    pacs_bulkdata,
    pacs_frames,
    pacs_qido,
    pacs_rendered,
    pacs_stow,
    pacs_tape_views,
    pacs_wado,
    pacs_wado_uri,
)
from ehr_sandbox.dicomweb_resource import ResourceUrls, UidConverter
from ehr_sandbox.pacs_access import AccessRules, guard, problem_response
from ehr_sandbox.pacs_archive import Archive
from ehr_sandbox.pacs_index import PacsIndex
from ehr_sandbox.pacs_pixels import UndecodableFrame
from ehr_sandbox.pacs_tokens import SmartTokens

_GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class PacsSettings:
    """Settings of the sandbox PACS.

    `base_url` is the DICOMweb root as clients see it, such as ``http://127.0.0.1:8002/dicom-web``; the
    archive answers below its path and builds every URL from it. `data_dir` holds the index and what STOW-RS
    stored; `import_dirs` are indexed in place at start. Without a credential set, none is demanded.
    `smart_tokens` names an EHR whose access tokens count as well, each for its own patient.
    """

    base_url: str
    data_dir: Path
    bearer_token: str | None = field(default=None, repr=False)
    basic_credential: tuple[str, str] | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    smart_tokens: SmartTokens | None = None
    import_dirs: tuple[Path, ...] = ()
    max_body_bytes: int = 4 * _GIBIBYTE


def create_pacs(settings: PacsSettings) -> Flask:
    """The archive as a WSGI application, its index brought up to date with its files."""
    app = Flask("ehr_sandbox.pacs", static_folder=None)
    app.url_map.converters["uid"] = UidConverter
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    base_url = settings.base_url.rstrip("/")
    index = PacsIndex(settings.data_dir / "index.sqlite3")
    for directory in (settings.data_dir / "stored", *settings.import_dirs):
        index.import_directory(directory)
    home = Archive(index=index, urls=ResourceUrls(base_url=base_url), storage_dir=settings.data_dir)
    home.install(app.extensions)
    guard(
        app,
        AccessRules(
            bearer_token=settings.bearer_token,
            basic_credential=settings.basic_credential,
            cors_origins=settings.cors_origins,
            smart_tokens=settings.smart_tokens,
        ),
    )
    root = urlsplit(base_url).path or None
    for part in (pacs_qido, pacs_wado, pacs_frames, pacs_bulkdata, pacs_rendered, pacs_stow):
        app.register_blueprint(part.blueprint, url_prefix=root)
    # WADO-URI is one address beside the DICOMweb root, as archives have it; so is what its operators do.
    beside = root.rpartition("/")[0] or None if root else None
    for part in (pacs_wado_uri, pacs_tape_views):
        app.register_blueprint(part.blueprint, url_prefix=beside)
    app.register_error_handler(UndecodableFrame, _undecodable)
    app.register_error_handler(HTTPException, _problem)
    return app


def _undecodable(error: UndecodableFrame) -> Response:
    return problem_response(500, "Internal Server Error", f"A stored image is damaged: {error}.")


def _problem(error: HTTPException) -> Response:
    # What an unforeseen error says is for the log, not for a client.
    detail = "The archive failed." if isinstance(error, InternalServerError) else error.description or ""
    response = problem_response(error.code or 500, error.name, detail)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response
