"""What the FHIR API needs of a place that stores resources, be it SQLite here or a server behind."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ehr_sandbox.fhir_faults import Resource
from ehr_sandbox.fhir_query import SearchQuery

Visible = Callable[[Resource], bool]
"""Whether the caller may see a resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of one resource; `resource` is None in the version that deleted it."""

    resource_type: str
    resource_id: str
    version: str
    last_updated: str
    """FHIR instant in UTC."""
    method: str
    """HTTP method that made this version."""
    resource: Resource | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a caller may see of a search: as a match, and as an include. `owner` binds paging links to the caller."""

    match: Visible
    include: Visible
    patient: str | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """One page of a search."""

    matches: list[Resource]
    included: list[Resource]
    total: int | None
    next_cursor: str | None


class FhirSession(Protocol):
    """One unit of work on a store: all of its writes happen or none."""

    def read(self, resource_type: str, resource_id: str) -> Version | None:
        """The current version; its `resource` is None when it was deleted."""
        ...

    def read_version(self, resource_type: str, resource_id: str, version: str) -> Version | None:
        """One version of the history."""
        ...

    def history(self, resource_type: str, resource_id: str) -> list[Version]:
        """All versions, newest first."""
        ...

    def save(self, resource: Resource, method: str) -> Version:
        """Store a new version; a resource without id gets one."""
        ...

    def delete(self, resource_type: str, resource_id: str) -> Version:
        """Add the version that says deleted."""
        ...

    def search(self, query: SearchQuery, sight: Sight) -> SearchPage:
        """The first page of what matches and may be seen."""
        ...

    def next_page(self, resource_type: str, cursor: str, sight: Sight) -> tuple[SearchQuery, SearchPage]:
        """A later page of an earlier search by the same caller; FhirFault 410 when it is no longer known."""
        ...


class FhirBackend(Protocol):
    """A store: hands out units of work."""

    base_url: str

    def reading(self) -> AbstractContextManager[FhirSession]:
        """A unit of work that only reads."""
        ...

    def writing(self) -> AbstractContextManager[FhirSession]:
        """A unit of work that writes; an exception undoes it."""
        ...
