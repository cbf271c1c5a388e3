"""Studies and series of the archive: their rows are derived from the instances they hold."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from ehr_sandbox import dicomweb_attributes as attributes
from ehr_sandbox.dicomweb_attributes import LEVEL_ATTRIBUTES, Level
from ehr_sandbox.dicomweb_json import JsonDataset

_FIRST_OF_SERIES = """
SELECT metadata FROM instance WHERE study_uid = ? AND series_uid = ? ORDER BY instance_number, sop_uid LIMIT 1
"""
_FIRST_OF_STUDY = """
SELECT metadata FROM instance WHERE study_uid = ? ORDER BY series_uid, instance_number, sop_uid LIMIT 1
"""


def rebuild(connection: sqlite3.Connection, touched: Iterable[tuple[str, str]]) -> None:
    """Derives anew the rows of the given (study UID, series UID) pairs and of their studies.

    The attributes of an entity are those of its first instance; counts are of what is there now. An entity
    without instances disappears.
    """
    pairs = set(touched)
    for study_uid, series_uid in pairs:
        _rebuild_series(connection, study_uid, series_uid)
    for study_uid in {study_uid for study_uid, _ in pairs}:
        _rebuild_study(connection, study_uid)


def first_value(dataset: JsonDataset, tag: str) -> Any:
    """The first value of an element, or None when it is absent or empty."""
    values = dataset.get(tag, {}).get("Value") or [None]
    return values[0]


def _rebuild_series(connection: sqlite3.Connection, study_uid: str, series_uid: str) -> None:
    key = (study_uid, series_uid)
    first = connection.execute(_FIRST_OF_SERIES, key).fetchone()
    if first is None:
        connection.execute("DELETE FROM series WHERE study_uid = ? AND series_uid = ?", key)
        return
    (count,) = connection.execute("SELECT count(*) FROM instance WHERE study_uid = ? AND series_uid = ?", key).fetchone()
    model = _entity_attributes(first["metadata"], Level.SERIES)
    model[attributes.NUMBER_OF_SERIES_RELATED_INSTANCES] = {"vr": "IS", "Value": [count]}
    connection.execute(
        "INSERT OR REPLACE INTO series VALUES (?,?,?,?,?)",
        (
            *key,
            first_value(model, attributes.tag_of("SeriesNumber")),
            first_value(model, attributes.MODALITY),
            _text(model),
        ),
    )


def _rebuild_study(connection: sqlite3.Connection, study_uid: str) -> None:
    first = connection.execute(_FIRST_OF_STUDY, (study_uid,)).fetchone()
    if first is None:
        connection.execute("DELETE FROM study WHERE study_uid = ?", (study_uid,))
        return
    model = _entity_attributes(first["metadata"], Level.STUDY)
    model.update(_study_totals(connection, study_uid))
    connection.execute(
        "INSERT OR REPLACE INTO study VALUES (?,?,?,?,?)",
        (
            study_uid,
            first_value(model, attributes.PATIENT_ID),
            first_value(model, attributes.tag_of("StudyDate")),
            first_value(model, attributes.tag_of("StudyTime")),
            _text(model),
        ),
    )


def _study_totals(connection: sqlite3.Connection, study_uid: str) -> JsonDataset:
    def column(query: str) -> list[Any]:
        return [row[0] for row in connection.execute(query, (study_uid,))]

    modalities = column("SELECT DISTINCT modality FROM series WHERE study_uid = ? AND modality > '' ORDER BY 1")
    classes = column("SELECT DISTINCT sop_class_uid FROM instance WHERE study_uid = ? ORDER BY 1")
    return {
        attributes.MODALITIES_IN_STUDY: {"vr": "CS", "Value": modalities} if modalities else {"vr": "CS"},
        attributes.SOP_CLASSES_IN_STUDY: {"vr": "UI", "Value": classes},
        attributes.NUMBER_OF_STUDY_RELATED_SERIES: {
            "vr": "IS",
            "Value": column("SELECT count(*) FROM series WHERE study_uid = ?"),
        },
        attributes.NUMBER_OF_STUDY_RELATED_INSTANCES: {
            "vr": "IS",
            "Value": column("SELECT count(*) FROM instance WHERE study_uid = ?"),
        },
    }


def _entity_attributes(metadata: str, level: Level) -> JsonDataset:
    model: JsonDataset = json.loads(metadata)
    kept = LEVEL_ATTRIBUTES[level]
    return {tag: element for tag, element in model.items() if tag in kept}


def _text(model: JsonDataset) -> str:
    return json.dumps(model, ensure_ascii=False, separators=(",", ":"))
