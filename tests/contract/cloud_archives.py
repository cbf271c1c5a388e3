"""Archives in clouds as their public documents describe them, and the token endpoint in front of them.

None of this was seen at the real services: each class names the document that it follows. Where a document is silent, the
stand-in refuses, so that the gateway leans on nothing that is not written down.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from flask import Flask, Response, request

from fhir_imaging.settings import PacsSettings
from tests.security.gateway_stubs import Asked, StubPacs, multipart

CLIENT_ID, CLIENT_SECRET = "gateway:client", "a secret / with + signs"
FILE = b"\x00" * 128 + b"DICM a synthetic object"
STORED = "1.2.840.10008.1.2.4.90"

_UID = r"[0-9.]+"
_STUDY = rf"studies/{_UID}"
_SERIES = rf"{_STUDY}/series/{_UID}"
_INSTANCE = rf"{_SERIES}/instances/{_UID}"


@dataclass
class TokenEndpoint:
    """A token endpoint for client credentials (RFC 6749 §4.4) that records what it is asked."""

    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    lifetime_s: object = 3600
    answer: Callable[[], Response | None] = lambda: None
    delay_s: float = 0.0

    @property
    def url(self) -> str:
        return f"{self.base}/oauth2/token"

    def settings(self, **more: str) -> dict[str, Any]:
        """What the site writes down for an archive behind this endpoint."""
        credential = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return {"user": None, "password": None, "token_url": self.url, **credential, **more}

    def app(self) -> Flask:
        app = Flask("token-endpoint", static_folder=None)

        @app.post("/oauth2/token")
        def _token() -> Any:
            target = request.environ.get("RAW_URI") or request.full_path
            self.asked.append(Asked("POST", target, dict(request.headers), request.get_data(as_text=True)))
            time.sleep(self.delay_s)
            instead = self.answer()
            if instead is not None:
                return instead
            scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
            login = base64.b64decode(encoded).decode().partition(":")
            if scheme != "Basic" or (unquote_plus(login[0]), unquote_plus(login[2])) != (CLIENT_ID, CLIENT_SECRET):
                return {"error": "invalid_client"}, 401
            token = f"archive-token-{len(self.issued) + 1}"
            self.issued.append(token)
            return {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_s}

        return app


@dataclass
class CloudArchive(StubPacs):
    """What the services have in common: a path before DICOMweb, bearer tokens, and 406 for any other Accept than documented."""

    path = ""
    accepts: Callable[[str], bool] = lambda token: True
    """Which tokens count."""
    rules: tuple[tuple[str, str], ...] = ()
    """Paths below the root, and the Accept values there, without spaces and quotation marks. Any other path is 404."""

    @property
    def root(self) -> str:
        return self.base + self.path

    def settings(self, **changes: Any) -> PacsSettings:
        return super().settings(**{"user": None, "password": None, **changes})

    def usual(self, asked: Asked) -> Response:
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not self.accepts(token):
            return Response("who are you", 401, {"WWW-Authenticate": 'Bearer realm="cloud"'})
        below = urlsplit(asked.target).path.removeprefix(f"{self.path}/")
        rule = next((accepted for pattern, accepted in self.rules if re.fullmatch(pattern, below)), None)
        if rule is None or asked.method != "GET":
            return Response("unknown at archive.internal.example", 404 if rule is None else 405)
        if not re.fullmatch(rule, asked.headers.get("Accept", "").replace(" ", "").replace('"', "")):
            return Response("cannot", 406)
        return self.documented(asked, below)

    def documented(self, asked: Asked, below: str) -> Response:
        """The answer to a request that the document allows."""
        if re.fullmatch(_INSTANCE, below):
            if asked.headers["Accept"].startswith("multipart/"):
                return multipart([(FILE, {})], part_type=f"application/dicom; transfer-syntax={STORED}")
            return Response(FILE, content_type="application/dicom")
        return super().usual(asked)


_SYNTAXES = r"(;transfer-syntax=(\*|1\.2\.840\.10008\.1\.2\.1|1\.2\.840\.10008\.1\.2\.4\.(50|90|91)))?"
_JSON = r"application/dicom\+json"
_FILES = rf"multipart/related;type=application/dicom{_SYNTAXES}"
_FRAMES = rf"multipart/related;type=(application/octet-stream|image/jpeg|image/jp2){_SYNTAXES}"
_PICTURES = "image/jpeg|image/png"
_SEARCHES = (
    ("studies|series|instances", _JSON),
    (rf"{_STUDY}/(series|instances)", _JSON),
    (rf"{_SERIES}/instances", _JSON),
)


@dataclass
class Dcm4chee(CloudArchive):
    """dcm4chee-arc 5, secured by Keycloak.

    DICOM Conformance Statement, "WADO-RS Specifications" and "QIDO-RS Specifications"
    (https://dcm4chee-arc-cs.readthedocs.io/, github.com/dcm4che/dcm4chee-arc-cs docs/networking/specs): files as
    application/dicom, transfer syntaxes as stored. Tokens: wiki "Getting OIDC Access Token using curl"
    (https://github.com/dcm4che/dcm4chee-arc-light/wiki/Getting-OIDC-Access-Token-using-curl): client id and secret.
    """

    path = "/dcm4chee-arc/aets/DCM4CHEE/rs"
    rules: tuple[tuple[str, str], ...] = (
        *_SEARCHES,
        (rf"{_STUDY}|{_SERIES}", rf"multipart/related;type=application/(dicom|octet-stream){_SYNTAXES}"),
        (_INSTANCE, rf"{_FILES}|application/dicom{_SYNTAXES}"),
        (rf"({_STUDY}|{_SERIES}|{_INSTANCE})/metadata", _JSON),
        (rf"{_INSTANCE}/frames/[0-9,]+", _FRAMES),
        (rf"({_STUDY}|{_SERIES}|{_INSTANCE})/(rendered|thumbnail)", _PICTURES),
        (rf"{_INSTANCE}/bulkdata/.*", r"\*/\*|application/octet-stream|multipart/related;type=application/octet-stream"),
    )


@dataclass
class GoogleStore(CloudArchive):
    """Google Cloud Healthcare API, v1.

    "DICOM conformance statement" (https://cloud.google.com/healthcare-api/docs/dicom): the Accept values per resource; no
    thumbnails, no URI service. Paths: REST reference of ``dicomStores.studies.series.instances.frames.retrieveFrames``.
    """

    path = "/v1/projects/p/locations/europe-west4/datasets/d/dicomStores/s/dicomWeb"
    rules: tuple[tuple[str, str], ...] = (
        *_SEARCHES,
        (rf"{_STUDY}|{_SERIES}", _FILES),
        (_INSTANCE, rf"{_FILES}|application/dicom;transfer-syntax=.*"),
        (rf"({_STUDY}|{_SERIES}|{_INSTANCE})/metadata", _JSON),
        (rf"{_INSTANCE}/frames/[0-9,]+", _FRAMES),
        (rf"{_INSTANCE}(/frames/[0-9]+)?/rendered", _PICTURES),
        (rf"{_INSTANCE}/bulkdata/.*", r"\*/\*|application/octet-stream"),
    )


@dataclass
class AzureDicom(CloudArchive):
    """DICOM service of Azure Health Data Services, API version 2.

    "DICOM Conformance Statement v2" (https://github.com/microsoft/dicom-server, docs/resources/v2-conformance-statement.md):
    the version in the path, Accept values per resource, 204 for a search that finds nothing, exact matching only (a list of
    UIDs matches nothing), rendered instances and frames only, no bulk data address.
    """

    path = "/v2"
    rules: tuple[tuple[str, str], ...] = (
        *_SEARCHES,
        (
            rf"{_STUDY}|{_SERIES}",
            r"multipart/related;type=application/dicom(;transfer-syntax=(\*|1\.2\.840\.10008\.1\.2\.(1|4\.90)))?",
        ),
        (_INSTANCE, r"(multipart/related;type=)?application/dicom(;transfer-syntax=(\*|1\.2\.840\.10008\.1\.2\.(1|4\.90)))?"),
        (rf"({_STUDY}|{_SERIES}|{_INSTANCE})/metadata", _JSON),
        (rf"{_INSTANCE}/frames/[0-9,]+", rf"{_FRAMES}|application/octet-stream;transfer-syntax=\*"),
        (rf"{_INSTANCE}(/frames/[0-9]+)?/rendered", _PICTURES),
    )

    def documented(self, asked: Asked, below: str) -> Response:
        wanted = asked.query.get("StudyInstanceUID")
        if below == "studies" and wanted is not None and wanted[0] not in self.persons:
            return Response(status=204)
        return super().documented(asked, below)


@dataclass
class AwsHealthImaging(CloudArchive):
    """AWS HealthImaging with OIDC.

    "Retrieving DICOM data", "Searching DICOM data" and "Requirements for JWT authorization"
    (https://docs.aws.amazon.com/healthimaging/latest/devguide/dicomweb-retrieve.html, dicomweb-search.html,
    dicomweb-oidc-requirements.html, dicomweb-retrieve-instance-frames.html): metadata of series and instances, instances,
    frames and bulk data, but nothing for a whole study; instances as single application/dicom; a search for instances names
    its series; 406 for a transfer syntax that is neither stored nor uncompressed.
    """

    path = "/datastore/0123456789abcdef0123456789abcdef"
    rules: tuple[tuple[str, str], ...] = (
        ("studies", _JSON),
        (rf"{_STUDY}/series", _JSON),
        (rf"{_SERIES}/instances", _JSON),
        (rf"({_SERIES}|{_INSTANCE})/metadata", _JSON),
        (_INSTANCE, r"application/dicom(;transfer-syntax=(\*|1\.2\.840\.10008\.1\.2\.(1|4\.90)))?"),
        (
            rf"{_INSTANCE}/frames/[0-9,]+",
            r"multipart/related;type=application/octet-stream(;transfer-syntax=(\*|1\.2\.840\.10008\.1\.2\.(1|4\.90)))?",
        ),
    )
