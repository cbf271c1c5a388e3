"""Later pages of searches under way: kept here under an opaque cursor, bound to the caller who searched."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ehr_sandbox.database import Database
from ehr_sandbox.fhir_faults import FhirFault
from ehr_sandbox.fhir_query import SearchQuery, parse_query
from ehr_sandbox.fhir_session import Sight

PAGE_LIFETIME_S = 900

# A file of its own: a search inside a transaction must not wait for its own write lock.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS search_page (
    cursor TEXT PRIMARY KEY, type TEXT NOT NULL, owner TEXT NOT NULL,
    parameters TEXT NOT NULL, rest TEXT NOT NULL, made_at REAL NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSearch:
    """A search whose later pages are asked for; `rest` is what the store wrote to find them."""

    query: SearchQuery
    rest: str


class SearchPages:
    """The SQLite file that holds them."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._database = Database(path, _SCHEMA)

    def keep(self, query: SearchQuery, sight: Sight, rest: str) -> str:
        """A new cursor for the rest of this caller's search."""
        cursor, now = secrets.token_urlsafe(16), datetime.now(UTC).timestamp()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM search_page WHERE made_at < ?", (now - PAGE_LIFETIME_S,))
            connection.execute(
                "INSERT INTO search_page VALUES (?, ?, ?, ?, ?, ?)",
                (cursor, query.resource_type, sight.owner, json.dumps(query.understood), rest, now),
            )
        return cursor

    def recall(self, resource_type: str, cursor: str, sight: Sight) -> KeptSearch:
        """What was kept for this caller. Raises FhirFault 410 when there is nothing."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM search_page WHERE cursor = ?", (cursor,)).fetchone()
        if row is None or row["owner"] != sight.owner or row["type"] != resource_type:
            raise FhirFault(410, "not-found", "this paging link has expired; repeat the search")
        parameters = [(key, value) for key, value in json.loads(row["parameters"])]
        return KeptSearch(query=parse_query(resource_type, parameters), rest=row["rest"])
