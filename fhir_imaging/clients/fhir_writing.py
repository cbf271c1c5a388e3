"""Writing FHIR as plain JSON: never over a change that was not seen, and never twice.

What a server says about a refusal may repeat what was sent, so of its OperationOutcomes only the issue codes are kept.

Spec: FHIR R4 RESTful API §3.1.0.4 to §3.1.0.11 (update, version-aware update, conditional create and update, transaction).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests

from fhir_imaging.clients.bodies import whole_body
from fhir_imaging.clients.fhir import FHIR_JSON, MAX_BODY_BYTES
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.retry_after import seconds_to_wait
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_dict, dicts

OVERTAKEN = frozenset({409, 412})
"""Somebody else was faster, or there are several where one was expected: what stands has to be looked at again."""
_COMES_BACK = frozenset({404, 408, 409, 410, 412, 423, 425, 429})
"""Of the refusals, those that another attempt may not meet again: also of what was deleted since it was read."""
_EXACT_LABELS = {"X-Meta-Snapshot-Mode": "SECURITY_LABEL"}
"""HAPI adds labels to those of the former version, unless told so: what a program asserted would stay so for ever."""
_ISSUE_CODE = re.compile(r"[a-z][a-z-]{1,29}", re.ASCII)
_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]{1,63})/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?$", re.ASCII)
_ETAG = re.compile(r'(?:W/)?"([^"]{1,64})"', re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What stands after a write. ``version`` is None where the server keeps none; ``is_new``: this very request made it.

    ``content`` is what the server has made of the resource, where it says so.
    """

    id: str
    version: str | None
    is_new: bool
    content: Mapping[str, Any] | None = None


class FhirWriter:
    """Writes to one FHIR server, with one bearer token or none.

    Every method raises UpstreamError: with ``status`` 409 or 412 and ``retryable`` where somebody else was faster,
    ``retryable`` for 429 and 5xx too, and UpstreamRefused for other 4xx. Its words name the issue codes.
    """

    def __init__(self, base_url: str, session: OutboundSession, *, access_token: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = session
        self._token = access_token

    def create(self, resource: Mapping[str, Any], *, if_none_exist: Sequence[tuple[str, str]] = ()) -> Written:
        """Creates it, unless something matches the search; then that stands and ``is_new`` is False."""
        headers = {"If-None-Exist": urlencode(if_none_exist)} if if_none_exist else {}
        return self._write("POST", resource["resourceType"], resource, headers)

    def update(self, resource: Mapping[str, Any], *, if_match: str | None = None, is_first: bool = False) -> Written:
        """Writes it under its own id. ``if_match``: only over this version; ``is_first``: only where nothing is yet."""
        headers = {"If-Match": f'W/"{if_match}"'} if if_match else {}
        if is_first:
            headers["If-None-Match"] = "*"
        return self._write("PUT", f"{resource['resourceType']}/{resource['id']}", resource, headers)

    def update_matching(self, resource: Mapping[str, Any], params: Sequence[tuple[str, str]]) -> Written:
        """Writes over the one resource that matches, or creates it; 412 where several match."""
        return self._write("PUT", f"{resource['resourceType']}?{urlencode(params)}", resource, {})

    def transaction(self, entries: Sequence[Mapping[str, Any]]) -> tuple[Written, ...]:
        """All of these or none: what stands of each, in their order."""
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
        with self._sent("POST", self.base_url, bundle, {}) as response:
            answers = dicts(_json(response).get("entry"))
            if len(answers) != len(entries):
                raise _odd(response, "The FHIR server answered a transaction with something else.")
            return tuple(_entry_written(one, response) for one in answers)

    def _write(self, method: str, path: str, resource: Mapping[str, Any], headers: Mapping[str, str]) -> Written:
        with self._sent(method, f"{self.base_url}/{path}", resource, headers) as response:
            content = _json(response)
            if content.get("resourceType") != resource["resourceType"]:
                content = {}  # nothing, or an OperationOutcome
            location = _LOCATION.search(response.headers.get("Location", "").rstrip("/"))
            etag = _ETAG.fullmatch(response.headers.get("ETag", "").strip())
            found = content.get("id") or (location[2] if location else None) or resource.get("id")
            if not isinstance(found, str):
                raise _odd(response, "The FHIR server did not say where it put a resource.")
            stated = as_dict(content.get("meta")).get("versionId") or (etag[1] if etag else location[3] if location else None)
            return Written(
                id=found,
                version=stated if isinstance(stated, str) else None,
                is_new=response.status_code == 201,
                content=content or None,
            )

    def _sent(self, method: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> requests.Response:
        sent = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON, "Prefer": "return=minimal", **_EXACT_LABELS, **headers}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        response = self._session.request(method, url, data=content, headers=sent, stream=True)
        if not 200 <= response.status_code < 300:
            with response:
                raise _failure(response.status_code, response, _issue_codes(response))
        return response


def _failure(status: int, response: requests.Response, codes: Sequence[str]) -> UpstreamError:
    why = f"HTTP {status}: {', '.join(codes)}" if codes else f"HTTP {status}"
    server, words = origin_of(response.url), f"The FHIR server did not take a resource ({why})."
    wait_s = seconds_to_wait(response.headers)
    if status >= 500 or status in _COMES_BACK:
        return UpstreamError(words, server=server, status=status, retryable=True, retry_after_s=wait_s)
    return UpstreamRefused(words, server=server, status=status, retry_after_s=wait_s)


def _entry_written(entry: Mapping[str, Any], response: requests.Response) -> Written:
    answer = as_dict(entry.get("response"))
    status = str(answer.get("status", ""))[:3]
    if status not in ("200", "201"):
        codes = _codes_of(as_dict(answer.get("outcome")))
        raise _failure(int(status) if status.isascii() and status.isdigit() else 500, response, codes)
    location = _LOCATION.search(str(answer.get("location", "")).rstrip("/"))
    content = as_dict(entry.get("resource"))
    if location is None:
        raise _odd(response, "The FHIR server did not say where it put a resource.")
    etag = _ETAG.fullmatch(str(answer.get("etag", "")).strip())
    version = etag[1] if etag else location[3]
    return Written(id=location[2], version=version, is_new=status == "201", content=content or None)


def _json(response: requests.Response) -> Mapping[str, Any]:
    """What was answered; empty for no body. UpstreamError for a body that is no JSON object: somebody else's page."""
    body = whole_body(response, at_most=MAX_BODY_BYTES, of="The FHIR server")
    if body is None:
        raise _odd(response, "The FHIR server's answer is too large.")
    if not body.strip():
        return {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        words = "What answered a write is no FHIR server."
        raise UpstreamError(words, server=origin_of(response.url), status=response.status_code, retryable=True)
    return content


def _issue_codes(response: requests.Response) -> tuple[str, ...]:
    try:
        return _codes_of(_json(response))
    except UpstreamError:
        return ()  # its status says enough


def _codes_of(outcome: Mapping[str, Any]) -> tuple[str, ...]:
    stated = (one.get("code") for one in dicts(outcome.get("issue"))[:20])
    return tuple(dict.fromkeys(one for one in stated if isinstance(one, str) and _ISSUE_CODE.fullmatch(one)))


def _odd(response: requests.Response, words: str) -> UpstreamError:
    return UpstreamError(words, server=origin_of(response.url), status=response.status_code)
