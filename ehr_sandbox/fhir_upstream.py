"""A real FHIR R4 server behind the sandbox: it stores, the sandbox enforces in front of it.

Nothing of the answer is trusted to be within the caller's rights: every resource passes the same checks as a stored
one, absolute URLs become relative, and paging links are kept here under our own. What the caller asks is narrowed to
the patient before it is sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import requests

from ehr_sandbox.fhir_compartment import SHARED_TYPES
from ehr_sandbox.fhir_faults import FhirFault, Resource
from ehr_sandbox.fhir_pages import SearchPages
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS
from ehr_sandbox.fhir_query import MAX_COUNT, SearchQuery
from ehr_sandbox.fhir_session import SearchPage, Sight, Version
from ehr_sandbox.fhir_upstream_server import Upstream

MAX_COUNTED_PAGES = 20
_KEPT_HERE = ("_elements", "_summary", "_total")
"""Parameters that the sandbox applies itself: the upstream's answer must be whole to be judged."""


@dataclass(frozen=True, slots=True)
class UpstreamSession:
    """One unit of work on the server behind; `undo` holds what takes its writes back."""

    upstream: Upstream
    pages: SearchPages
    undo: list[tuple[str, str, Resource | None]] = field(default_factory=list)

    def read(self, resource_type: str, resource_id: str) -> Version | None:
        """The current version."""
        return self._read(f"{resource_type}/{resource_id}")

    def read_version(self, resource_type: str, resource_id: str, version: str) -> Version | None:
        """One version of the history."""
        return self._read(f"{resource_type}/{resource_id}/_history/{version}")

    def _read(self, path: str) -> Version | None:
        response = self.upstream.call("GET", path)
        if response.status_code == 404:
            return None
        resource_type, resource_id = path.split("/")[:2]
        if response.status_code == 410:
            return _deleted(resource_type, resource_id)
        return _version(self.upstream.resource(response), "PUT")

    def history(self, resource_type: str, resource_id: str) -> list[Version]:
        """All versions, newest first."""
        response = self.upstream.call("GET", f"{resource_type}/{resource_id}/_history")
        if response.status_code == 404:
            return []
        versions = []
        for bundle in self._pages_from(response):
            for entry in bundle.get("entry", []):
                method = entry.get("request", {}).get("method", "PUT")
                deleted = "resource" not in entry
                versions.append(_deleted(resource_type, resource_id, entry) if deleted else _version(entry["resource"], method))
        return versions

    def save(self, resource: Resource, method: str) -> Version:
        """Store a new version at the server behind, which gives the version its number."""
        if "id" not in resource:
            response = self.upstream.call("POST", resource["resourceType"], json=self.upstream.relative(resource))
        else:
            path = f"{resource['resourceType']}/{resource['id']}"
            before = self._read(path)
            response = self.upstream.call("PUT", path, json=self.upstream.relative(resource))
            self._note(resource["resourceType"], resource["id"], response, before)
        stored = self.upstream.resource(response) if response.content else None
        if stored is None or stored.get("resourceType") != resource["resourceType"]:
            stored = self._located(response, resource)
        if "id" not in resource:
            self._note(stored["resourceType"], stored["id"], response, None)
        return _version(stored, method)

    def _located(self, response: requests.Response, resource: Resource) -> Resource:
        """Some servers answer a write without the resource; then it is read back."""
        location = response.headers.get("Location", "").partition("/_history/")[0]
        resource_id = resource.get("id") or location.rpartition("/")[2]
        found = self.read(resource["resourceType"], resource_id)
        if found is None or found.resource is None:
            raise FhirFault(502, "transient", "the FHIR server behind did not keep the resource")
        return found.resource

    def _note(self, resource_type: str, resource_id: str, response: requests.Response, before: Version | None) -> None:
        if response.status_code < 300:
            self.undo.append((resource_type, resource_id, before.resource if before else None))

    def delete(self, resource_type: str, resource_id: str) -> Version:
        """Delete at the server behind."""
        before = self.read(resource_type, resource_id)
        response = self.upstream.call("DELETE", f"{resource_type}/{resource_id}")
        if response.status_code >= 400:
            self.upstream.resource(response)
        self._note(resource_type, resource_id, response, before)
        return _deleted(resource_type, resource_id)

    def take_back(self) -> None:
        """Undo the writes in reverse order, as far as the server behind lets us."""
        for resource_type, resource_id, before in reversed(self.undo):
            path = f"{resource_type}/{resource_id}"
            if before is None:
                self.upstream.call("DELETE", path)
            else:
                self.upstream.call("PUT", path, json=before)

    def search(self, query: SearchQuery, sight: Sight) -> SearchPage:
        """The first page of what the server behind finds and the caller may see."""
        own = f"{self.upstream.base_url}/"
        parameters = [(key, value.replace(own, "")) for key, value in query.understood if key not in (*_KEPT_HERE, "_count")]
        parameters += _narrowing(query.resource_type, sight.patient)
        count = MAX_COUNT if query.only_count else query.count
        parameters.append(("_count", str(count)))
        response = self.upstream.call("GET", query.resource_type, params=parameters)
        bundle = self.upstream.resource(response)
        if self._next_link(bundle) is None and _is_cut_off(bundle, count):
            # Without the rest the caller would take what there is for all; the true total may not be told.
            raise FhirFault(
                502, "incomplete", "the FHIR server behind found more and has no page for it; ask for more at once (_count)"
            )
        if query.only_count:
            return SearchPage(matches=[], included=[], total=self._count(response, sight), next_cursor=None)
        return self._page(query, bundle, sight, is_first=True)

    def _count(self, response: requests.Response, sight: Sight) -> int:
        bundles = self._pages_from(response)
        return sum(len(_entries(bundle, "match", sight)) for bundle in bundles)

    def next_page(self, resource_type: str, cursor: str, sight: Sight) -> tuple[SearchQuery, SearchPage]:
        """The page behind an upstream link that was kept for this caller."""
        kept = self.pages.recall(resource_type, cursor, sight)
        bundle = self.upstream.resource(self.upstream.call("GET", kept.rest))
        return kept.query, self._page(kept.query, bundle, sight, is_first=False)

    def _page(self, query: SearchQuery, bundle: Resource, sight: Sight, *, is_first: bool) -> SearchPage:
        following = self._next_link(bundle)
        matches = _entries(bundle, "match", sight)
        # The upstream's own total may count what this caller must not know of: only a lone page is counted.
        is_counted = is_first and following is None and query.total != "none"
        return SearchPage(
            matches=matches,
            included=_entries(bundle, "include", sight),
            total=len(matches) if is_counted else None,
            next_cursor=self.pages.keep(query, sight, following) if following else None,
        )

    def _next_link(self, bundle: Resource) -> str | None:
        links = bundle.get("link", [])
        url = next((str(link.get("url")) for link in links if link.get("relation") == "next"), None)
        if url is None:
            return None
        if not self.upstream.owns(url):
            raise FhirFault(502, "security", "a paging link of the FHIR server behind leads elsewhere")
        return url

    def _pages_from(self, response: requests.Response) -> Iterator[Resource]:
        for _ in range(MAX_COUNTED_PAGES):
            bundle = self.upstream.resource(response)
            yield bundle
            following = self._next_link(bundle)
            if following is None:
                return
            response = self.upstream.call("GET", following)
        raise FhirFault(502, "too-costly", "the FHIR server behind has too many pages for this")


class UpstreamBackend:
    """Hands out units of work on the server behind.

    A transaction is carried out write by write and taken back when one fails; other clients of that server may see
    the state in between.
    """

    def __init__(self, url: str, base_url: str, pages: SearchPages) -> None:
        """`url` is the base of the server behind, `base_url` our own; `pages` keeps its paging links."""
        self.base_url = base_url
        self._url = url.rstrip("/")
        self._pages = pages

    @contextmanager
    def reading(self) -> Iterator[UpstreamSession]:
        """A unit of work that only reads."""
        with requests.Session() as http:
            http.trust_env = False
            yield UpstreamSession(Upstream(url=self._url, base_url=self.base_url, http=http), self._pages)

    @contextmanager
    def writing(self) -> Iterator[UpstreamSession]:
        """A unit of work whose writes are taken back when it fails."""
        with self.reading() as session:
            try:
                yield session
            except BaseException:
                session.take_back()
                raise


def _narrowing(resource_type: str, patient: str | None) -> list[tuple[str, str]]:
    """The parameter that keeps the upstream's answer within one patient's compartment."""
    if patient is None or resource_type in SHARED_TYPES:
        return []
    if resource_type == "Patient":
        return [("_id", patient)]
    return [("patient", f"Patient/{patient}")] if "patient" in SEARCH_PARAMETERS[resource_type] else []


def _is_cut_off(bundle: Resource, count: int) -> bool:
    """Whether it is as full as was asked for and says that there are more: some servers have no further pages."""
    matches = [entry for entry in bundle.get("entry", []) if entry.get("search", {}).get("mode", "match") == "match"]
    total = bundle.get("total")
    return isinstance(total, int) and len(matches) >= count and total > len(matches)


def _entries(bundle: Resource, mode: str, sight: Sight) -> list[Resource]:
    visible = sight.match if mode == "match" else sight.include
    resources = [
        entry["resource"]
        for entry in bundle.get("entry", [])
        if entry.get("search", {}).get("mode", "match") == mode and "resource" in entry
    ]
    return [found for found in resources if found["resourceType"] in SEARCH_PARAMETERS and visible(found)]


def _version(resource: Resource, method: str) -> Version:
    meta = resource.get("meta", {})
    return Version(
        resource_type=resource["resourceType"],
        resource_id=resource["id"],
        version=str(meta.get("versionId", "1")),
        last_updated=str(meta.get("lastUpdated") or _now()),
        method=method,
        resource=resource,
    )


def _deleted(resource_type: str, resource_id: str, entry: Resource | None = None) -> Version:
    response = (entry or {}).get("response", {})
    return Version(
        resource_type=resource_type,
        resource_id=resource_id,
        version=str(response.get("etag", "0")).removeprefix("W/").strip('"'),
        last_updated=response.get("lastModified") or _now(),
        method="DELETE",
        resource=None,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
