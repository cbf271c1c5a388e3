"""Units of work on the SQLite file that holds the resources and their history."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ehr_sandbox.fhir_compartment import SHARED_TYPES, patients_of
from ehr_sandbox.fhir_faults import FhirFault, Resource
from ehr_sandbox.fhir_matching import MatchContext
from ehr_sandbox.fhir_pages import SearchPages
from ehr_sandbox.fhir_query import SearchQuery
from ehr_sandbox.fhir_references import rewritten
from ehr_sandbox.fhir_search import Shelf, included, matching
from ehr_sandbox.fhir_session import SearchPage, Sight, Version, Visible
from ehr_sandbox.fhir_values import FHIR_ID

RESOURCE_SCHEMA = """
CREATE TABLE IF NOT EXISTS resource_version (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    last_updated TEXT NOT NULL, method TEXT NOT NULL, body TEXT,
    PRIMARY KEY (type, id, version)
);
CREATE TABLE IF NOT EXISTS current_resource (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT,
    PRIMARY KEY (type, id)
);
CREATE TABLE IF NOT EXISTS compartment (
    type TEXT NOT NULL, patient TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (type, patient, id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class LocalSession:
    """One unit of work; `connection` is inside a transaction that the store opened."""

    connection: sqlite3.Connection
    pages: SearchPages
    base_url: str

    def read(self, resource_type: str, resource_id: str) -> Version | None:
        """The current version."""
        return next(iter(self._versions(resource_type, resource_id, limit=1)), None)

    def read_version(self, resource_type: str, resource_id: str, version: str) -> Version | None:
        """One version of the history."""
        return next((found for found in self.history(resource_type, resource_id) if found.version == version), None)

    def history(self, resource_type: str, resource_id: str) -> list[Version]:
        """All versions, newest first."""
        return self._versions(resource_type, resource_id, limit=-1)

    def _versions(self, resource_type: str, resource_id: str, *, limit: int) -> list[Version]:
        rows = self.connection.execute(
            "SELECT * FROM resource_version WHERE type = ? AND id = ? ORDER BY version DESC LIMIT ?",
            (resource_type, resource_id, limit),
        )
        return [_version(row) for row in rows]

    def save(self, resource: Resource, method: str) -> Version:
        """Store a new version; references into this server become relative."""
        resource_id = resource.get("id") or str(uuid.uuid4())
        number, moment = self._next_version(resource["resourceType"], resource_id)
        stored = rewritten(resource, lambda reference: reference.removeprefix(f"{self.base_url}/"))
        meta = stored.get("meta", {}) | {"versionId": str(number), "lastUpdated": moment}
        stored = {"resourceType": stored["resourceType"], "id": resource_id, "meta": meta} | {
            name: value for name, value in stored.items() if name not in ("resourceType", "id", "meta")
        }
        return self._insert(stored["resourceType"], resource_id, (number, moment, method), stored)

    def delete(self, resource_type: str, resource_id: str) -> Version:
        """Add the version that says deleted."""
        number, moment = self._next_version(resource_type, resource_id)
        return self._insert(resource_type, resource_id, (number, moment, "DELETE"), None)

    def _next_version(self, resource_type: str, resource_id: str) -> tuple[int, str]:
        row = self.connection.execute(
            "SELECT max(version) FROM resource_version WHERE type = ? AND id = ?", (resource_type, resource_id)
        ).fetchone()
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return (row[0] or 0) + 1, moment

    def _insert(
        self, resource_type: str, resource_id: str, version: tuple[int, str, str], resource: Resource | None
    ) -> Version:
        number, moment, method = version
        key = (resource_type, resource_id)
        body = None if resource is None else json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
        self.connection.execute("INSERT INTO resource_version VALUES (?, ?, ?, ?, ?, ?)", (*key, number, moment, method, body))
        self.connection.execute("INSERT OR REPLACE INTO current_resource VALUES (?, ?, ?, ?)", (*key, number, body))
        self.connection.execute("DELETE FROM compartment WHERE type = ? AND id = ?", key)
        patients = () if resource is None else patients_of(resource, self.base_url)
        self.connection.executemany(
            "INSERT INTO compartment VALUES (?, ?, ?)", [(resource_type, patient, resource_id) for patient in patients]
        )
        return Version(
            resource_type=resource_type,
            resource_id=resource_id,
            version=str(number),
            last_updated=moment,
            method=method,
            resource=resource,
        )

    def search(self, query: SearchQuery, sight: Sight) -> SearchPage:
        """The first page; the ids of all matches are kept for the paging links."""
        context = self._context()
        found = matching(self._visible(query.resource_type, sight.match, _only_patient(query, sight)), query, context)
        total = None if query.total == "none" else len(found)
        if query.only_count:
            return SearchPage(matches=[], included=[], total=len(found), next_cursor=None)
        cursor = None
        if len(found) > query.count:
            cursor = self.pages.keep(query, sight, json.dumps([resource["id"] for resource in found]))
        return self._page(query, sight, found[: query.count], (total, f"{cursor}.{query.count}" if cursor else None))

    def next_page(self, resource_type: str, cursor: str, sight: Sight) -> tuple[SearchQuery, SearchPage]:
        """A later page of an earlier search by the same caller."""
        name, _, offset_text = cursor.partition(".")
        kept = self.pages.recall(resource_type, name, sight)
        if not offset_text.isdecimal():
            raise FhirFault(410, "not-found", "this paging link is not complete; repeat the search")
        query, ids, offset = kept.query, json.loads(kept.rest), int(offset_text)
        versions = (self.read(resource_type, resource_id) for resource_id in ids[offset : offset + query.count])
        found = [version.resource for version in versions if version and version.resource]
        after = offset + query.count
        total = None if query.total == "none" else len(ids)
        visible = [resource for resource in found if sight.match(resource)]
        return query, self._page(query, sight, visible, (total, f"{name}.{after}" if after < len(ids) else None))

    def _page(self, query: SearchQuery, sight: Sight, found: list[Resource], rest: tuple[int | None, str | None]) -> SearchPage:
        def fetch(resource_type: str, resource_id: str) -> Resource | None:
            version = self.read(resource_type, resource_id)
            resource = None if version is None else version.resource
            return resource if resource is not None and sight.include(resource) else None

        shelf = Shelf(fetch=fetch, all_of=lambda resource_type: self._visible(resource_type, sight.include, sight.patient))
        total, next_cursor = rest
        return SearchPage(
            matches=found,
            included=included(found, query, shelf, self._context()),
            total=total,
            next_cursor=next_cursor,
        )

    def _context(self) -> MatchContext:
        return MatchContext(base_url=self.base_url, now=datetime.now(UTC).timestamp())

    def _visible(self, resource_type: str, visible: Visible, patient: str | None) -> Iterator[Resource]:
        if patient is None or resource_type in SHARED_TYPES:
            rows = self.connection.execute(
                "SELECT body FROM current_resource WHERE type = ? AND body IS NOT NULL ORDER BY id", (resource_type,)
            )
        else:
            rows = self.connection.execute(
                "SELECT r.body FROM compartment c JOIN current_resource r ON r.type = c.type AND r.id = c.id"
                " WHERE c.type = ? AND c.patient = ? AND r.body IS NOT NULL ORDER BY r.id",
                (resource_type, patient),
            )
        for row in rows.fetchall():
            resource: Resource = json.loads(row["body"])
            if visible(resource):
                yield resource


def _only_patient(query: SearchQuery, sight: Sight) -> str | None:
    """The one patient in whose compartment all matches must lie; narrows the rows read, never the answer."""
    if sight.patient is not None:
        return sight.patient
    for criterion in query.criteria:
        plain = criterion.parameter.name == "patient" and not criterion.modifier and len(criterion.values) == 1
        if plain and FHIR_ID.fullmatch(criterion.values[0].removeprefix("Patient/")):
            return criterion.values[0].removeprefix("Patient/")
    return None


def _version(row: sqlite3.Row) -> Version:
    return Version(
        resource_type=row["type"],
        resource_id=row["id"],
        version=str(row["version"]),
        last_updated=row["last_updated"],
        method=row["method"],
        resource=None if row["body"] is None else json.loads(row["body"]),
    )
