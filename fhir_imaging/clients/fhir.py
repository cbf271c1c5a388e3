"""Reading FHIR R4 as plain JSON, tolerantly: one odd resource must not hide the others.

Spec: FHIR R4 RESTful API (read, search, paging), SMART App Launch 2.2 (bearer token).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin

import requests

from fhir_imaging.clients.bodies import whole_body
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.retry_after import seconds_to_wait
from fhir_imaging.settings import is_web_address, origin_of
from fhir_imaging.tolerant import dicts

FHIR_JSON = "application/fhir+json"
_FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a searchset: ``matches`` and ``included`` apart, ``outcomes`` are the server's own remarks."""

    matches: tuple[dict[str, Any], ...]
    included: tuple[dict[str, Any], ...] = ()
    outcomes: tuple[dict[str, Any], ...] = ()
    full_urls: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Entries by fullUrl, which response-local ``urn:uuid:`` references need (SMART Imaging Access C4)."""
    next_url: str | None = None
    """Where there are more; as the server wrote it where that is no address."""
    total: int | None = None
    unreadable: int = 0
    """Entries that hold no resource."""


def are_all(pages: Sequence[SearchPage]) -> bool:
    """Whether these pages hold everything that was searched for: the server links no further one, counts no more matches than
    it gave, and says nowhere that it could not look everywhere (issue ``incomplete``) or that something failed.

    Spec: FHIR R4 Bundle.total (matches alone), Search §3.1.1.5.1 (OperationOutcome among the entries), issue-type.
    """
    counted = max((page.total for page in pages if page.total is not None), default=0)
    issues = [one for page in pages for outcome in page.outcomes for one in dicts(outcome.get("issue"))]
    is_lacking = any(one.get("code") == "incomplete" or one.get("severity") in ("error", "fatal") for one in issues)
    return pages[-1].next_url is None and counted <= sum(len(page.matches) for page in pages) and not is_lacking


class FhirClient:
    """One FHIR server, with one bearer token or none. The token is held in memory only, for the client's short life.

    ``timeout_s`` of a question bounds its whole answer, however slowly that drips in: UpstreamTimeout after it. None = the
    session's limit; then ``answer_s`` is the longest that a whole answer may take, and the session's limit how long the server
    may be silent.
    """

    def __init__(
        self, base_url: str, session: OutboundSession, *, access_token: str | None = None, answer_s: float | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = session
        self._token = access_token
        self._answer_s = answer_s

    def read(self, resource_type: str, resource_id: str, *, timeout_s: float | None = None) -> dict[str, Any]:
        """One resource by logical id. NotFound for 404/410, UpstreamRefused for 401/403 and other 4xx."""
        return self._get(f"{self.base_url}/{resource_type}/{resource_id}", None, timeout_s)

    def search(self, resource_type: str, params: Sequence[tuple[str, str]], *, timeout_s: float | None = None) -> SearchPage:
        """The first page of a search."""
        return _page(self._get(f"{self.base_url}/{resource_type}", params, timeout_s), self.base_url)

    def search_by_form(self, resource_type: str, params: Sequence[tuple[str, str]]) -> SearchPage:
        """The first page of a search whose parameters stand in no address, which servers and proxies write down.

        NotFound, or UpstreamError with ``status`` 405, 415 or 501, where the server knows no such searches.

        Spec: FHIR R4 RESTful API §3.1.0.9 (``POST [base]/[type]/_search``).
        """
        url = f"{self.base_url}/{resource_type}/_search"
        headers = {**self._headers(), "Content-Type": _FORM}
        with self._session.request("POST", url, data=urlencode(params), headers=headers, stream=True) as response:
            return _page(_answer(response), self.base_url)

    def follow(self, next_url: str, *, timeout_s: float | None = None) -> SearchPage:
        """The page behind a ``next`` link, which must stay on this server: the token goes nowhere else."""
        if not is_web_address(next_url):
            raise UpstreamRefused("The server's paging link is no address.", server=origin_of(self.base_url))
        if origin_of(next_url) != origin_of(self.base_url):
            raise UpstreamRefused("The server's paging link leads to another server.", server=origin_of(self.base_url))
        return _page(self._get(next_url, None, timeout_s), self.base_url)

    def pages(
        self, resource_type: str, params: Sequence[tuple[str, str]], *, timeout_s: float | None = None
    ) -> Iterator[SearchPage]:
        """All pages, at most ``MAX_PAGES`` of them; the last one yielded still has ``next_url`` if there were more.

        ``timeout_s`` is for each page; whoever wants one time for all asks ``within`` it. A link that is no address, or leads
        to a page that was there before, ends them: what came before it is worth having.
        """
        page = self.search(resource_type, params, timeout_s=timeout_s)
        yield page
        followed: set[str] = set()
        for _ in range(MAX_PAGES - 1):
            if page.next_url is None or page.next_url in followed or not is_web_address(page.next_url):
                return
            followed.add(page.next_url)
            page = self.follow(page.next_url, timeout_s=timeout_s)
            yield page

    def _get(self, url: str, params: Sequence[tuple[str, str]] | None, timeout_s: float | None) -> dict[str, Any]:
        answer_s = self._answer_s if timeout_s is None else None
        response = self._session.ask(url, params or (), headers=self._headers(), timeout_s=timeout_s, answer_s=answer_s)
        with response:
            return _answer(response)

    def _headers(self) -> dict[str, str]:
        return {"Accept": FHIR_JSON, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}


def _answer(response: requests.Response) -> dict[str, Any]:
    _raise_for_status(response)
    return _json_object(response)


def _raise_for_status(response: requests.Response) -> None:
    status = response.status_code
    if status < 300:
        return
    server = origin_of(response.url)
    if status in (404, 410):
        raise NotFound("The FHIR server has no such resource.", server=server)
    if status in (429, 503):
        raise UpstreamError(
            "The FHIR server is busy.", server=server, status=status, retryable=True, retry_after_s=retry_after_s(response)
        )
    if 400 <= status < 500:
        raise UpstreamRefused(f"The FHIR server refused the request (HTTP {status}).", server=server, status=status)
    raise UpstreamError(f"The FHIR server failed (HTTP {status}).", server=server, status=status)


def retry_after_s(response: requests.Response) -> int | None:
    """``Retry-After`` in whole seconds, as ``seconds_to_wait``."""
    return seconds_to_wait(response.headers)


def _json_object(response: requests.Response) -> dict[str, Any]:
    server = origin_of(response.url)
    body = whole_body(response, at_most=MAX_BODY_BYTES, of="The FHIR server")
    if body is None:
        raise UpstreamError("The FHIR server's answer is too large.", server=server, status=response.status_code)
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise UpstreamError("The FHIR server's answer is not JSON.", server=server, status=response.status_code) from exc
    if not isinstance(parsed, dict):
        raise UpstreamError("The FHIR server's answer is not a resource.", server=server, status=response.status_code)
    return parsed


def _page(bundle: Mapping[str, Any], base_url: str) -> SearchPage:
    # A 200 with a bare OperationOutcome is seen in the wild: taken for an empty list it would hide a failure.
    if bundle.get("resourceType") != "Bundle":
        raise UpstreamError("The FHIR server answered a search with something that is no Bundle.", server=origin_of(base_url))
    matches: list[dict[str, Any]] = []
    included: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    full_urls: dict[str, dict[str, Any]] = {}
    stated = _entries(bundle, base_url)
    for entry in dicts(stated):
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            continue
        if isinstance(entry.get("fullUrl"), str):
            full_urls[entry["fullUrl"]] = resource
        search = entry.get("search")
        mode = search.get("mode") if isinstance(search, dict) else None
        if resource.get("resourceType") == "OperationOutcome":
            outcomes.append(resource)
        else:
            (included if mode == "include" else matches).append(resource)
    total = bundle.get("total")
    return SearchPage(
        matches=tuple(matches),
        included=tuple(included),
        outcomes=tuple(outcomes),
        full_urls=full_urls,
        next_url=_next_link(bundle, base_url),
        total=total if isinstance(total, int) else None,
        unreadable=len(stated) - len(matches) - len(included) - len(outcomes),
    )


def _entries(bundle: Mapping[str, Any], base_url: str) -> list[Any]:
    """The entries; one that stands alone without its list, as converters from XML write it, counts as what it is."""
    stated = bundle.get("entry")
    if isinstance(stated, dict):
        return [stated]
    if stated is not None and not isinstance(stated, list):
        raise UpstreamError("The FHIR server answered a search with entries that are no list.", server=origin_of(base_url))
    return stated or []


def _next_link(bundle: Mapping[str, Any], base_url: str) -> str | None:
    for link in dicts(bundle.get("link")):
        url = link.get("url")
        if link.get("relation") == "next" and isinstance(url, str):
            try:
                return urljoin(base_url + "/", url)
            except ValueError:
                return url
    return None
