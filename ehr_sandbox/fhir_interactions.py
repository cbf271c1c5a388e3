"""The RESTful interactions of FHIR R4 on one unit of work, for one caller and with that caller's rights."""

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from ehr_sandbox.fhir_access import Access
from ehr_sandbox.fhir_faults import FhirFault, Resource, invalid, not_found
from ehr_sandbox.fhir_query import SearchQuery, parse_query
from ehr_sandbox.fhir_session import FhirSession, SearchPage, Version
from ehr_sandbox.fhir_validation import check_type, checked_resource

Change = Literal["created", "updated", "unchanged"]

_ETAG = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write did, and the version that now stands."""

    change: Change
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirInteractions:
    """Every method raises FhirFault when the request is refused."""

    session: FhirSession
    access: Access

    def read(self, resource_type: str, resource_id: str) -> Version:
        """The current version."""
        self._require("r", resource_type)
        return self._readable(resource_type, resource_id, self.session.read(resource_type, resource_id))

    def read_version(self, resource_type: str, resource_id: str, version: str) -> Version:
        """One version of the history."""
        self._require("r", resource_type)
        found = self.session.read_version(resource_type, resource_id, version)
        return self._readable(resource_type, resource_id, found)

    def history(self, resource_type: str, resource_id: str) -> list[Version]:
        """The versions that the caller may read, newest first; a deletion shows only beside one of those."""
        self._require("r", resource_type)
        versions = self.session.history(resource_type, resource_id)
        if not versions:
            raise not_found(resource_type, resource_id)
        permitted = [found for found in versions if found.resource and self.access.permits("r", found.resource)]
        if not permitted:
            self._check_any("r", versions)
        return [found for found in versions if found.resource is None or found in permitted]

    def search(
        self, resource_type: str, parameters: list[tuple[str, str]], *, strict: bool = False
    ) -> tuple[SearchQuery, SearchPage]:
        """The first page of a search."""
        self._require("s", resource_type)
        query = parse_query(resource_type, parameters, strict=strict)
        return query, self.session.search(query, self.access.sight())

    def next_page(self, resource_type: str, cursor: str) -> tuple[SearchQuery, SearchPage]:
        """A later page."""
        self._require("s", resource_type)
        return self.session.next_page(resource_type, cursor, self.access.sight())

    def create(self, resource_type: str, body: Any, if_none_exist: str | None = None, *, new_id: str | None = None) -> Outcome:
        """Store under a new id (`new_id` when a transaction chose it already).

        With `If-None-Exist`, only when nothing matches that search.
        """
        self._require("c", resource_type)
        resource = checked_resource(body, resource_type)
        if if_none_exist is not None:
            existing = self._matches(resource_type, if_none_exist)
            if existing:
                return Outcome("unchanged", existing[0])
        self.access.check("c", resource)
        fresh = {name: value for name, value in resource.items() if name != "id"}
        if new_id is not None:
            fresh["id"] = new_id
        return Outcome("created", self.session.save(fresh, "POST"))

    def update(self, resource_type: str, resource_id: str, body: Any, if_match: str | None = None) -> Outcome:
        """Store the next version, or the first one under an id that the client chose."""
        self._require("u", resource_type)
        resource = checked_resource(body, resource_type)
        if resource.get("id") != resource_id:
            raise invalid("the id of the resource must equal the id in the URL")
        return self._put(resource, if_match)

    def update_matching(self, resource_type: str, criteria: str, body: Any, if_match: str | None = None) -> Outcome:
        """Conditional update: the one match is updated, no match creates, several are refused with 412."""
        self._require("u", resource_type)
        resource = checked_resource(body, resource_type)
        existing = self._matches(resource_type, criteria)
        if not existing:
            if "id" in resource:
                return self._put(resource, if_match)
            return self.create(resource_type, resource)
        resource_id = existing[0].resource_id
        if resource.get("id", resource_id) != resource_id:
            raise invalid("the id of the resource is not that of the one matching the criteria")
        return self._put(resource | {"id": resource_id}, if_match)

    def delete(self, resource_type: str, resource_id: str, if_match: str | None = None) -> Version | None:
        """Delete; None when there was nothing to delete."""
        self._require("d", resource_type)
        current = self.session.read(resource_type, resource_id)
        if current is None or current.resource is None:
            return None
        self.access.check("d", current.resource)
        _check_if_match(if_match, current)
        return self.session.delete(resource_type, resource_id)

    def delete_matching(self, resource_type: str, criteria: str) -> Version | None:
        """Conditional delete of at most one match."""
        self._require("d", resource_type)
        existing = self._matches(resource_type, criteria)
        return self.delete(resource_type, existing[0].resource_id) if existing else None

    def match_id(self, resource_type: str, criteria: str) -> str | None:
        """The id of the one resource that matches; None when none does, 412 when several do."""
        existing = self._matches(resource_type, criteria)
        return existing[0].resource_id if existing else None

    def _put(self, resource: Resource, if_match: str | None) -> Outcome:
        current = self.session.read(resource["resourceType"], resource["id"])
        exists = current is not None and current.resource is not None
        if current is not None and current.resource is not None:
            # Both sides of the change must be allowed, or a client could pull foreign resources into its reach.
            self.access.check("u", current.resource)
        else:
            self._require("c", resource["resourceType"])
            self.access.check("c", resource)
        self.access.check("u", resource)
        _check_if_match(if_match, current)
        return Outcome("updated" if exists else "created", self.session.save(resource, "PUT"))

    def _matches(self, resource_type: str, criteria: str) -> list[Version]:
        self._require("s", resource_type)
        parameters = parse_qsl(criteria.lstrip("?"), keep_blank_values=True)
        query = parse_query(resource_type, parameters, strict=True)
        if not query.criteria:
            raise FhirFault(412, "invalid", "a conditional request needs search criteria")
        found = self.session.search(query, self.access.sight()).matches
        if len(found) > 1:
            raise FhirFault(412, "multiple-matches", f"{len(found)} resources match the criteria")
        versions = (self.session.read(resource_type, resource["id"]) for resource in found)
        return [version for version in versions if version is not None]

    def _require(self, letter: str, resource_type: str) -> None:
        check_type(resource_type)
        self.access.require(letter, resource_type)

    def _readable(self, resource_type: str, resource_id: str, found: Version | None) -> Version:
        if found is None:
            raise not_found(resource_type, resource_id)
        if found.resource is None:
            self._check_any("r", self.session.history(resource_type, resource_id))
            raise FhirFault(410, "deleted", f"{resource_type}/{resource_id} was deleted")
        self.access.check("r", found.resource)
        return found

    def _check_any(self, letter: str, versions: list[Version]) -> None:
        """A deleted resource is judged by what it last said, so that its past stays as closed as its present."""
        last = next((found.resource for found in versions if found.resource is not None), None)
        if last is not None:
            self.access.check(letter, last)


def _check_if_match(if_match: str | None, current: Version | None) -> None:
    """Raise FhirFault 412 when the caller's version is not the current one (FHIR R4 http, 3.1.0.5)."""
    if if_match is None:
        return
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise invalid('If-Match must be one version, e.g. W/"3"')
    if current is None or current.resource is None or current.version != match[1]:
        raise FhirFault(412, "conflict", "the resource has another version than If-Match says")
