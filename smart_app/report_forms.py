"""One attached form of a report, fetched for a reader: from the EHR only, and never as anything that could run in a page.

Spec: FHIR R4/R5 DiagnosticReport.presentedForm, Attachment, Binary; SMART Imaging Access group 25 (who gets the token).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from fhir_imaging.clients.bodies import whole_body
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import dicts, text
from smart_app.report_text import attached_bytes, text_of_attachment

LARGEST_FORM_BYTES = 30 * 1024 * 1024
FORM_SECONDS = 30.0
"""The longest that one form may take, to its last byte."""

# What a browser shows without running anything, by how such a file begins.
_SHOWN = {"application/pdf": b"%PDF-", "image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
_ENDINGS = {
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
    "text/plain": "txt",
    "text/rtf": "rtf",
    "application/rtf": "rtf",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
}


@dataclass(frozen=True, slots=True)
class FormContent:
    """What a form holds, as its source calls it."""

    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ServedForm:
    """How a form is handed out: shown by the browser, or kept as a file where ``is_download``."""

    content_type: str
    content: bytes
    file_name: str
    is_download: bool


def form_at(report: Mapping[str, Any], position: int) -> Mapping[str, Any] | None:
    """The attachment at a position of ``presentedForm``."""
    forms = dicts(report.get("presentedForm"))
    return forms[position] if 0 <= position < len(forms) else None


def content_of(form: Mapping[str, Any], fhir_base: str, outbound: OutboundSession, token: str) -> FormContent:
    """The form's own data, or what its address in the EHR's FHIR API gives for the session's token.

    UpstreamRefused for an address anywhere else: it gets neither the token nor a request.
    """
    content_type = text(form.get("contentType")) or "application/octet-stream"
    data = attached_bytes(text(form.get("data")))
    if data is not None:
        return FormContent(content_type, data)
    base = fhir_base.rstrip("/") + "/"
    url = urljoin(base, text(form.get("url")) or "")
    if not url.startswith(base) or len(url) == len(base) or _may_lead_elsewhere(url):
        raise UpstreamRefused("The report's document is on another server, so it was not asked.", server=origin_of(base))
    fetched = _fetched(url, outbound, {"Accept": f"{content_type}, */*;q=0.5", "Authorization": f"Bearer {token}"})
    return _unwrapped(fetched) or FormContent(fetched.content_type or content_type, fetched.content)


def _may_lead_elsewhere(url: str) -> bool:
    """Whether some server could read a path as one above where it begins: dot segments, however often they are encoded.

    An encoded slash is one to some servers and a character to others; after ``;`` some see parameters of the segment.
    """
    stated = path = urlsplit(url).path
    while (plain := unquote(path)) != path:
        path = plain
    segments = {segment.partition(";")[0] for segment in path.split("/")}
    return bool(segments & {".", ".."}) or "\\" in path or path.count("/") != stated.count("/")


def served(form: FormContent) -> ServedForm:
    """The form as it may reach a browser: text as plain text, PDF and pictures only if they are what they say, else a file."""
    media_type = form.content_type.partition(";")[0].strip().lower()
    words = text_of_attachment(form.content_type, form.content)
    if words is not None:
        return ServedForm("text/plain; charset=utf-8", words.encode(), "report.txt", is_download=False)
    name = f"report.{_ENDINGS.get(media_type, 'bin')}"
    if media_type in _SHOWN and form.content.startswith(_SHOWN[media_type]):
        return ServedForm(media_type, form.content, name, is_download=False)
    return ServedForm("application/octet-stream", form.content, name, is_download=True)


def _fetched(url: str, outbound: OutboundSession, headers: Mapping[str, str]) -> FormContent:
    server = origin_of(url)
    with outbound.ask(url, headers=headers, timeout_s=FORM_SECONDS) as response:
        if response.status_code in (404, 410):
            raise NotFound("The EHR no longer has the document.", server=server)
        if not 200 <= response.status_code < 300:
            error = UpstreamRefused if 400 <= response.status_code < 500 else UpstreamError
            raise error("The EHR does not give the document.", server=server, status=response.status_code)
        content = whole_body(response, at_most=LARGEST_FORM_BYTES, of="The EHR")
        if content is None:
            raise UpstreamError("The document is too large to be shown.", server=server)
        return FormContent(response.headers.get("Content-Type", ""), content)


def _unwrapped(fetched: FormContent) -> FormContent | None:
    """The content of a FHIR Binary, which some servers send whatever was asked for."""
    if "json" not in fetched.content_type.lower():
        return None
    try:
        resource = json.loads(fetched.content)
    except ValueError:
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") != "Binary":
        return None
    data = attached_bytes(text(resource.get("data")))
    return FormContent(text(resource.get("contentType")) or "application/octet-stream", data) if data is not None else None
