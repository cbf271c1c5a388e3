"""DICOMweb resources as this gateway understands them: parsed pieces, never text that a caller wrote.

A path becomes a ``DicomResource`` by a strict grammar, and the archive's URL is printed anew from the pieces, so dot segments,
encoded slashes and odd UIDs have no way through.

Spec: DICOM PS3.18 §10.4.1 (retrieve), §10.6.1 (search); SMART Imaging Access W1-W5, groups 12 and 13.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from enum import StrEnum

from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid

MAX_FRAMES_PER_REQUEST = 1024
MAX_FRAME_LIST_LENGTH = 4096
MAX_BULK_PATH_LENGTH = 512

_FRAMES = re.compile(r"[1-9][0-9]{0,6}(?:,[1-9][0-9]{0,6})*", re.ASCII)
_BULK_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9_\-]*(?:\.[A-Za-z0-9_\-]+)*"
_BULK_PATH = re.compile(rf"{_BULK_SEGMENT}(?:/{_BULK_SEGMENT})*", re.ASCII)

BULK_STORES = ("bulkdata", "bulk", "pixeldata")
"""What archives call the place of large values under a study, series or instance; Orthanc says ``bulk``."""


class Kind(StrEnum):
    """What is asked of a resource."""

    SEARCH = "search"
    RETRIEVE = "retrieve"
    METADATA = "metadata"
    RENDERED = "rendered"
    THUMBNAIL = "thumbnail"
    FRAMES = "frames"
    BULK_DATA = "bulk-data"


class Level(StrEnum):
    """The DICOM level that an answer is about."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


_NAMED = {Level.STUDY: (True, False, False), Level.SERIES: (True, True, False), Level.INSTANCE: (True, True, True)}
"""Whether what is retrieved names a study, a series and an instance."""
_SEARCH_WORD = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomResource:
    """One DICOMweb request target.

    Legal shapes (``level`` is what a search returns, or what is retrieved):

    - search: studies (no UID), series of a study, instances of a study or of a series
    - retrieve, metadata, rendered, thumbnail, bulk data: a study; a study and series; a study, series and instance
    - frames, and rendered or thumbnail of frames: a study, series, instance and frame numbers

    ValueError for anything else.
    """

    kind: Kind
    level: Level
    study: StudyInstanceUID | None = None
    series: SeriesInstanceUID | None = None
    instance: SopInstanceUID | None = None
    frames: tuple[int, ...] = ()
    bulk_store: str | None = None
    bulk_path: str | None = None
    path: str = field(init=False, compare=False)
    """The path below a DICOMweb root, starting with a slash. Printed once: a frame's is needed four times on its way."""

    def __post_init__(self) -> None:
        if not (self._is_search() if self.kind is Kind.SEARCH else self._is_retrieval()):
            raise ValueError(f"no such DICOMweb resource: {self.kind} at {self.level}")
        for uid in (self.study, self.series, self.instance):
            if uid is not None and not is_uid(uid):
                raise ValueError("not a DICOM UID")
        object.__setattr__(self, "path", self._printed())

    def _printed(self) -> str:
        pieces = []
        for word, uid in (("studies", self.study), ("series", self.series), ("instances", self.instance)):
            if uid is not None:
                pieces += [word, uid]
        if self.frames:
            pieces += ["frames", ",".join(map(str, self.frames))]
        if self.kind is Kind.SEARCH:
            pieces.append(_SEARCH_WORD[self.level])
        elif self.kind in (Kind.METADATA, Kind.RENDERED, Kind.THUMBNAIL):
            pieces.append(self.kind.value)
        pieces += [piece for piece in (self.bulk_store, self.bulk_path) if piece is not None]
        return "/" + "/".join(pieces)

    def frames_of(self, instance: str, listed: str) -> DicomResource:
        """Frames of an instance of this series, as ``from_pieces`` makes them, which looks at study and series once more.

        ValueError when instance and frame numbers are none, or this is no series.
        """
        frames = parse_frames(listed)
        if frames is None or not is_uid(instance):
            raise ValueError("not an instance and a list of frame numbers")
        if self.kind is not Kind.RETRIEVE or self.level is not Level.SERIES:
            raise ValueError("frames are found in a series")
        made = object.__new__(DicomResource)
        said = (Kind.FRAMES, Level.INSTANCE, self.study, self.series, SopInstanceUID(instance), frames, None, None)
        for name, value in zip(_STATED, said, strict=True):
            object.__setattr__(made, name, value)
        object.__setattr__(made, "path", f"{self.path}/instances/{instance}/frames/{listed}")
        return made

    def _is_search(self) -> bool:
        if self.frames or self.bulk_store or self.bulk_path or self.instance:
            return False
        scopes = {Level.STUDY: (False, False), Level.SERIES: (True, False)}
        has = (self.study is not None, self.series is not None)
        return has == scopes[self.level] if self.level in scopes else has in ((True, False), (True, True))

    def _is_retrieval(self) -> bool:
        if (self.study is not None, self.series is not None, self.instance is not None) != _NAMED[self.level]:
            return False
        return self._frames_fit() and self._bulk_fits()

    def _frames_fit(self) -> bool:
        if not self.frames:
            return self.kind is not Kind.FRAMES
        sane = all(0 < number < 10_000_000 for number in self.frames) and len(self.frames) <= MAX_FRAMES_PER_REQUEST
        return sane and self.level is Level.INSTANCE and self.kind in (Kind.FRAMES, Kind.RENDERED, Kind.THUMBNAIL)

    def _bulk_fits(self) -> bool:
        if self.kind is not Kind.BULK_DATA:
            return self.bulk_store is None and self.bulk_path is None
        return self.bulk_store in BULK_STORES and (self.bulk_path is None or is_bulk_path(self.bulk_path))


_STATED = tuple(one.name for one in fields(DicomResource) if one.init)


def parse_frames(text: str) -> tuple[int, ...] | None:
    """Frame numbers (from 1) of a ``frames/1,2,3`` path segment; None when it is not such a list."""
    if len(text) > MAX_FRAME_LIST_LENGTH or _FRAMES.fullmatch(text) is None:
        return None
    numbers = tuple(int(number) for number in text.split(","))
    return numbers if len(numbers) <= MAX_FRAMES_PER_REQUEST else None


def is_bulk_path(text: str) -> bool:
    """Whether ``text`` may follow ``bulkdata/``: plain segments, none of them starting with a dot or holding two in a row."""
    return len(text) <= MAX_BULK_PATH_LENGTH and _BULK_PATH.fullmatch(text) is not None


def parse_path(path: str) -> DicomResource | None:
    """The resource that a path below a DICOMweb root names, starting with ``/studies``; None when there is none.

    Used for the URLs inside archives' answers; the routes reach the same resources through ``from_pieces``.
    """
    segments = path.split("/")
    if segments[0] or len(segments) < 2:
        return None
    uids: list[str] = []
    rest = segments[1:]
    for word in ("studies", "series", "instances"):
        if len(rest) < 2 or rest[0] != word or not is_uid(rest[1]):
            break
        uids.append(rest[1])
        rest = rest[2:]
    return _ending(uids, rest)


def from_pieces(
    kind: Kind,
    level: Level,
    pieces: dict[str, str],
) -> DicomResource:
    """The resource of a matched route: ``pieces`` has study, series, instance, frames, store and bulk as far as the route names
    them. ValueError when they do not fit."""
    frames = parse_frames(pieces["frames"]) if "frames" in pieces else ()
    if frames is None:
        raise ValueError("not a list of frame numbers")
    study, series, instance = (pieces.get(name) for name in ("study", "series", "instance"))
    return DicomResource(
        kind=kind,
        level=level,
        study=None if study is None else StudyInstanceUID(study),
        series=None if series is None else SeriesInstanceUID(series),
        instance=None if instance is None else SopInstanceUID(instance),
        frames=frames,
        bulk_store=pieces.get("store"),
        bulk_path=pieces.get("bulk"),
    )


def _ending(uids: list[str], rest: list[str]) -> DicomResource | None:
    """What the segments after the UIDs ask for."""
    pieces = dict(zip(("study", "series", "instance"), uids, strict=False))
    depth = {0: None, 1: Level.STUDY, 2: Level.SERIES, 3: Level.INSTANCE}[len(uids)]
    if rest[:1] == ["frames"] and len(rest) in (2, 3):
        pieces["frames"] = rest[1]
        rest = rest[2:]
    searched = {word: level for level, word in _SEARCH_WORD.items()}
    try:
        if len(rest) == 1 and rest[0] in searched:
            return from_pieces(Kind.SEARCH, searched[rest[0]], pieces)
        if depth is None:
            return None
        if rest and rest[0] in BULK_STORES:
            pieces["store"] = rest[0]
            return from_pieces(Kind.BULK_DATA, depth, pieces | ({"bulk": "/".join(rest[1:])} if rest[1:] else {}))
        kind = _KINDS_BY_ENDING.get(tuple(rest))
        if kind is Kind.RETRIEVE and "frames" in pieces:
            kind = Kind.FRAMES
        return None if kind is None else from_pieces(kind, depth, pieces)
    except ValueError:
        return None


_KINDS_BY_ENDING: dict[tuple[str, ...], Kind] = {
    (): Kind.RETRIEVE,
    **{(kind.value,): kind for kind in (Kind.METADATA, Kind.RENDERED, Kind.THUMBNAIL)},
}
