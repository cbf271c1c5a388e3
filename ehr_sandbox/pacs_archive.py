"""Instances of the archive as retrieval sees them."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import current_app
from werkzeug.exceptions import NotFound

from ehr_sandbox.dicomweb_json import with_bulk_data_base
from ehr_sandbox.dicomweb_resource import ResourceUrls
from ehr_sandbox.pacs_header import PixelLayout
from ehr_sandbox.pacs_index import PacsIndex
from ehr_sandbox.pacs_tape import Tape

_EXTENSION = "ehr_sandbox.pacs"
_COLUMNS = """
study_uid, series_uid, sop_uid, sop_class_uid, transfer_syntax_uid, path, size, pixel_tag, value_offset, value_length,
frame_bits, number_of_frames
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFile:
    """A stored instance: its UIDs, its file, how the file is encoded and where its pixels are."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: Path
    size: int
    pixels: PixelLayout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What the views work with."""

    index: PacsIndex
    urls: ResourceUrls
    storage_dir: Path

    @property
    def tape(self) -> Tape:
        """Which studies are not online."""
        return Tape(self.storage_dir / "tape")

    def instances(self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None) -> list[InstanceFile]:
        """The instances of a study, a series or one instance, in the order of series and instance number.

        `NotFound` (404) when there is none: a study, series or instance exists by its instances only. Also when the study is
        on tape: there is no representation of it that the archive could send (PS3.18 §8.5). Not 410, which says that none will
        come back, and not 503, which speaks of the whole server and promises that waiting helps.
        """
        if self.tape.holds(study_uid):
            raise NotFound("The study is kept offline; somebody has to bring it back first.")
        with self.index.reading() as connection:
            found = [_instance_file(row) for row in _rows(connection, _COLUMNS, (study_uid, series_uid, sop_uid))]
        if not found:
            raise NotFound("The archive holds no such study, series or instance.")
        return found

    def check_known(self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None) -> None:
        """`NotFound` when the archive has no such instance, be it online or not: what it knows of them stays in its index."""
        with self.index.reading() as connection:
            if next(_rows(connection, "sop_uid", (study_uid, series_uid, sop_uid)), None) is None:
                raise NotFound("The archive holds no such study, series or instance.")

    def metadata(self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None) -> Iterator[str]:
        """The metadata of the same instances as DICOM JSON text with complete BulkDataURIs, one at a time."""
        columns = "study_uid, series_uid, sop_uid, metadata"
        with self.index.reading() as connection:
            for row in _rows(connection, columns, (study_uid, series_uid, sop_uid)):
                yield with_bulk_data_base(
                    row["metadata"], self.urls.bulk_data(row["study_uid"], row["series_uid"], row["sop_uid"])
                )

    def install(self, extensions: dict[str, object]) -> None:
        """Makes this the archive of a Flask application."""
        extensions[_EXTENSION] = self


def archive() -> Archive:
    """The archive of the current application."""
    installed = current_app.extensions[_EXTENSION]
    if not isinstance(installed, Archive):
        raise TypeError("the application has no archive")
    return installed


def _rows(connection: sqlite3.Connection, columns: str, uids: tuple[str, str | None, str | None]) -> Iterator[sqlite3.Row]:
    names = ("instance.study_uid", "instance.series_uid", "instance.sop_uid")
    asked = [(name, uid) for name, uid in zip(names, uids, strict=True) if uid is not None]
    condition = " AND ".join(f"{name} = ?" for name, _ in asked)
    yield from connection.execute(
        f"""
        SELECT {columns} FROM instance JOIN series USING (study_uid, series_uid) WHERE {condition}
        ORDER BY series.series_number, instance.series_uid, instance.instance_number, instance.sop_uid
        """,  # nosec B608 # noqa: S608 - columns and names are constants of this module
        [uid for _, uid in asked],
    )


def _instance_file(row: sqlite3.Row) -> InstanceFile:
    pixels = None
    if row["pixel_tag"] is not None:
        pixels = PixelLayout(
            tag=row["pixel_tag"],
            value_offset=row["value_offset"],
            value_length=row["value_length"],
            frame_bits=row["frame_bits"],
            number_of_frames=row["number_of_frames"],
        )
    return InstanceFile(
        study_uid=row["study_uid"],
        series_uid=row["series_uid"],
        sop_uid=row["sop_uid"],
        sop_class_uid=row["sop_class_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        path=Path(row["path"]),
        size=row["size"],
        pixels=pixels,
    )
