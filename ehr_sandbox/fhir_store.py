"""The FHIR R4 store of the sandbox EHR, kept in SQLite."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ehr_sandbox.database import Database
from ehr_sandbox.fhir_access import full_access
from ehr_sandbox.fhir_bundles import process_bundle
from ehr_sandbox.fhir_faults import Resource
from ehr_sandbox.fhir_interactions import FhirInteractions
from ehr_sandbox.fhir_local import RESOURCE_SCHEMA, LocalSession
from ehr_sandbox.fhir_pages import SearchPages
from ehr_sandbox.fhir_query import MAX_COUNT
from ehr_sandbox.fhir_session import FhirBackend
from ehr_sandbox.fhir_validation import checked_resource


class FhirRecords:
    """What the EHR itself does with its records, with full rights: the chart page and the demo's seeding use this.

    Every method raises FhirFault when FHIR refuses the request.
    """

    def __init__(self, backend: FhirBackend) -> None:
        """Work on that backend."""
        self.backend = backend
        self._access = full_access(backend.base_url)

    def read(self, resource_type: str, resource_id: str) -> Resource | None:
        """The current resource; None when it was never there or was deleted."""
        with self.backend.reading() as session:
            version = session.read(resource_type, resource_id)
        return None if version is None else version.resource

    def search(self, resource_type: str, parameters: Mapping[str, str]) -> list[Resource]:
        """The matches and includes of a search, without paging, at most `MAX_COUNT` matches."""
        with self.backend.reading() as session:
            interactions = FhirInteractions(session=session, access=self._access)
            _, page = interactions.search(resource_type, [("_count", str(MAX_COUNT)), *parameters.items()], strict=True)
        return page.matches + page.included

    def create(self, resource: Resource) -> Resource:
        """Store under a new id; the answer has id, versionId and lastUpdated."""
        with self.backend.writing() as session:
            interactions = FhirInteractions(session=session, access=self._access)
            version = interactions.create(resource["resourceType"], resource).version
        return version.resource or {}

    def put(self, resource: Resource) -> Resource:
        """Store under the id that the resource has."""
        with self.backend.writing() as session:
            version = session.save(checked_resource(resource), "PUT")
        return version.resource or {}

    def delete(self, resource_type: str, resource_id: str) -> None:
        """Delete; quietly nothing when it is not there."""
        with self.backend.writing() as session:
            FhirInteractions(session=session, access=self._access).delete(resource_type, resource_id)

    def transaction(self, bundle: Resource) -> Resource:
        """Apply a transaction or batch Bundle and return its response Bundle."""
        return process_bundle(bundle, self.backend, self._access)


class LocalBackend:
    """The SQLite files: one with the resources, one with the pages of searches under way."""

    def __init__(self, path: Path, base_url: str) -> None:
        """Open or create them; `base_url` is the FHIR base under which clients know the resources."""
        self.base_url = base_url
        self._database = Database(path, RESOURCE_SCHEMA)
        self._pages = SearchPages(path.with_name(f"{path.stem}-pages{path.suffix}"))

    @contextmanager
    def reading(self) -> Iterator[LocalSession]:
        """A unit of work that sees one state of the store."""
        with self._database.reading() as connection:
            yield LocalSession(connection, self._pages, self.base_url)

    @contextmanager
    def writing(self) -> Iterator[LocalSession]:
        """A unit of work whose writes all happen or none."""
        with self._database.writing() as connection:
            yield LocalSession(connection, self._pages, self.base_url)


class FhirStore(FhirRecords):
    """The records in a SQLite file."""

    def __init__(self, path: Path, base_url: str = "") -> None:
        """Open or create the file; `base_url` is the FHIR base under which clients know the resources."""
        super().__init__(LocalBackend(path, base_url))
