"""Search of the archive: the results of a QIDO-RS query at one level, as DICOM JSON.

Spec: PS3.18 §10.6. A key of a lower level than the one searched (a series attribute at ``/studies``) holds
when one instance of the entity has all such keys.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ehr_sandbox import dicomweb_attributes as attributes
from ehr_sandbox.dicomweb_attributes import CONDITIONAL_ATTRIBUTES, REQUIRED_ATTRIBUTES, Level, level_of, vr_of
from ehr_sandbox.dicomweb_json import JsonDataset, with_bulk_data_base
from ehr_sandbox.dicomweb_match import MatchingKey
from ehr_sandbox.dicomweb_query import SearchQuery
from ehr_sandbox.dicomweb_resource import ResourceUrls

_ROWS: dict[Level, str] = {
    Level.STUDY: """
        SELECT study.study_uid, study.attributes AS study_attributes FROM study WHERE {where}
        ORDER BY study.study_date DESC, study.study_time DESC, study.study_uid""",
    Level.SERIES: """
        SELECT series.study_uid, series.series_uid, study.attributes AS study_attributes,
            series.attributes AS series_attributes
        FROM series JOIN study USING (study_uid) WHERE {where}
        ORDER BY study.study_date DESC, study.study_uid, series.series_number, series.series_uid""",
    Level.INSTANCE: """
        SELECT instance.study_uid, instance.series_uid, instance.sop_uid, instance.metadata,
            study.attributes AS study_attributes, series.attributes AS series_attributes
        FROM instance JOIN study USING (study_uid) JOIN series USING (study_uid, series_uid) WHERE {where}
        ORDER BY study.study_date DESC, study.study_uid, series.series_number, series.series_uid,
            instance.instance_number, instance.sop_uid""",
}
_INDEXED_COLUMNS = {
    Level.STUDY: {
        attributes.STUDY_INSTANCE_UID: "study.study_uid",
        attributes.PATIENT_ID: "study.patient_id",
    },
    Level.SERIES: {attributes.SERIES_INSTANCE_UID: "series.series_uid"},
    Level.INSTANCE: {attributes.SOP_INSTANCE_UID: "instance.sop_uid"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a search looks: everywhere, in one study, or in one series of it."""

    study_uid: str | None = None
    series_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search at one level within a scope."""

    level: Level
    scope: Scope
    query: SearchQuery
    urls: ResourceUrls
    on_tape: frozenset[str] = frozenset()
    """The studies that somebody has to fetch first."""

    def results(self, connection: sqlite3.Connection) -> Iterator[str]:
        """The matches as DICOM JSON text, in a stable order, after offset and within limit."""
        skip, left = self.query.offset, self.query.limit
        if left == 0:
            return
        own = [key for key in self.query.keys if level_of(key.path[0]) <= self.level]
        lower = [key for key in self.query.keys if level_of(key.path[0]) > self.level and not key.is_universal]
        for row in self._rows(connection):
            known = _known(row)
            if not all(key.matches(known) for key in own) or not _holds_below(connection, row, lower):
                continue
            if skip:
                skip -= 1
                continue
            yield self._result(row, known)
            if left is not None:
                left -= 1
                if left == 0:
                    return

    def _rows(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Row]:
        conditions, values = ["1"], []
        if self.scope.study_uid is not None:
            conditions.append("study.study_uid = ?")
            values.append(self.scope.study_uid)
        if self.scope.series_uid is not None:
            conditions.append("series.series_uid = ?")
            values.append(self.scope.series_uid)
        columns = {tag: name for level in Level if level <= self.level for tag, name in _INDEXED_COLUMNS[level].items()}
        for key in self.query.keys:
            column = columns.get(key.path[-1]) if len(key.path) == 1 else None
            if column is not None and not key.is_universal and not set(key.value) & set("*?\\ "):
                conditions.append(f"{column} IN ({','.join('?' * len(key.alternatives))})")
                values.extend(key.alternatives)
        # Only column names of this module enter the statement; every value is bound.
        yield from connection.execute(_ROWS[self.level].format(where=" AND ".join(conditions)), values)

    def _result(self, row: sqlite3.Row, known: JsonDataset) -> str:
        asked = self._returned_tags()
        result = {tag: element for tag, element in known.items() if self._is_returned(tag, asked)}
        for tag in REQUIRED_ATTRIBUTES[self.level]:
            result.setdefault(tag, {"vr": vr_of(tag)})
        availability = "OFFLINE" if row["study_uid"] in self.on_tape else "ONLINE"
        result[attributes.INSTANCE_AVAILABILITY] = {"vr": "CS", "Value": [availability]}
        result[attributes.RETRIEVE_URL] = {"vr": "UR", "Value": [self._retrieve_url(row)]}
        text = json.dumps(dict(sorted(result.items())), ensure_ascii=False, separators=(",", ":"))
        if self.level is not Level.INSTANCE:
            return text
        return with_bulk_data_base(text, f"{self._retrieve_url(row)}/bulkdata")

    def _returned_tags(self) -> frozenset[str]:
        tags = REQUIRED_ATTRIBUTES[self.level] | CONDITIONAL_ATTRIBUTES[self.level] | self.query.include
        # What was matched is returned too (§10.6.3.3: "all attributes that were used as matching keys").
        tags |= {key.path[0] for key in self.query.keys}
        if self.level >= Level.SERIES and self.scope.study_uid is None:
            tags |= REQUIRED_ATTRIBUTES[Level.STUDY] | CONDITIONAL_ATTRIBUTES[Level.STUDY]
        if self.level is Level.INSTANCE and self.scope.series_uid is None:
            tags |= REQUIRED_ATTRIBUTES[Level.SERIES] | CONDITIONAL_ATTRIBUTES[Level.SERIES]
        return tags

    def _is_returned(self, tag: str, asked: frozenset[str]) -> bool:
        return tag in asked or (self.query.include_all and level_of(tag) == self.level)

    def _retrieve_url(self, row: sqlite3.Row) -> str:
        if self.level is Level.STUDY:
            return self.urls.study(row["study_uid"])
        if self.level is Level.SERIES:
            return self.urls.series(row["study_uid"], row["series_uid"])
        return self.urls.instance(row["study_uid"], row["series_uid"], row["sop_uid"])


def _known(row: sqlite3.Row) -> JsonDataset:
    """All attributes of an entity and of those above it; a lower level's own value wins."""
    known: dict[str, Any] = {}
    for column in ("study_attributes", "series_attributes", "metadata"):
        if column in row.keys():  # noqa: SIM118 - a Row iterates over values, not over names
            known.update(json.loads(row[column]))
    return known


def _holds_below(connection: sqlite3.Connection, row: sqlite3.Row, keys: list[MatchingKey]) -> bool:
    if not keys:
        return True
    values = [row["study_uid"]]
    condition = "study_uid = ?"
    if "series_uid" in row.keys():  # noqa: SIM118 - as above
        condition += " AND series_uid = ?"
        values.append(row["series_uid"])
    statement = f"SELECT metadata FROM instance WHERE {condition}"  # nosec B608 # noqa: S608 - constants
    instances = connection.execute(statement, values)
    return any(all(key.matches(json.loads(instance["metadata"])) for key in keys) for instance in instances)
