"""An EHR's style over HTTP: fetched here, once for each address, and handed to our pages as a style sheet of ours.

The address itself is the version (SMART App Launch 2.2 "Styling", A31). Pages do without it whenever it cannot be had.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import requests
from flask import Blueprint, Response

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import EhrSettings, origin_of
from smart_app.services import SmartAppServices
from smart_app.session_views import own_session
from smart_app.style import read_style
from smart_app.style_sheet import style_sheet
from smart_app.token_origins import configured_origins

log = logging.getLogger("imaging_cds.launch")
PATIENCE_S = 1.5
MAX_STYLE_BYTES = 16 * 1024
KEPT = 64
AGAIN_AFTER_S = 60.0
"""A style that could not be had is not asked for again in this time: pages wait for their style sheets."""


def add_style_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the style sheet of a session."""
    styles = EhrStyles(services.outbound)

    @blueprint.get("/s/<session_id>/style.css")
    def style(session_id: str) -> Response:
        """The EHR's style for this session's pages; an empty sheet where there is none to use."""
        session = own_session(services, session_id)
        ehr = services.ehr(session.ehr)
        sheet = styles.sheet(ehr, session.style_url) if ehr and session.style_url else None
        response = Response(sheet or "", mimetype="text/css")
        response.headers["Cache-Control"] = "private, max-age=3600" if sheet is not None else "no-store"
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response


class EhrStyles:
    """Style sheets made of EHRs' styles, by address. Thread-safe; holds nothing that matters when a worker is lost."""

    def __init__(self, outbound: OutboundSession, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._outbound = outbound
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str | None, float]] = OrderedDict()

    def sheet(self, ehr: EhrSettings, url: str) -> str | None:
        """The sheet for one address of this EHR; None where it cannot be had, is not the EHR's or makes no sense."""
        if not _is_of(ehr, url):
            log.info("style of ehr %s left out: not one of its own servers", ehr.name)
            return None
        with self._lock:
            sheet, asked_at = self._kept.get(url, (None, float("-inf")))
        if sheet is not None or self._monotonic() - asked_at < AGAIN_AFTER_S:
            return sheet
        sheet = self._made(ehr, url)
        with self._lock:
            self._kept[url] = (sheet, self._monotonic())
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return sheet

    def _made(self, ehr: EhrSettings, url: str) -> str | None:
        try:
            document = self._document(url)
        except (UpstreamError, requests.RequestException, ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            log.info("style of ehr %s left out: it could not be read", ehr.name)
            return None
        return style_sheet(read_style(document))

    def _document(self, url: str) -> object:
        """The JSON behind the address, asked for without any token."""
        with self._outbound.ask(url, headers={"Accept": "application/json"}, timeout_s=PATIENCE_S) as response:
            if response.status_code != 200:
                return None
            body = b""
            for chunk in response.iter_content(4096):
                body += chunk
                if len(body) > MAX_STYLE_BYTES:
                    return None
        return json.loads(body)


def _is_of(ehr: EhrSettings, url: str) -> bool:
    try:
        return origin_of(url) in configured_origins(ehr)
    except ValueError:
        return False
