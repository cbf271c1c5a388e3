"""The gateway's routes: one explicit rule for each resource, with converters that let only strict pieces pass.

Spec: DICOM PS3.18 §10.4.1, §10.6.1; SMART Imaging Access groups 9, 12, 13 and 16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from werkzeug.routing import BaseConverter, Map, ValidationError

from fhir_imaging.uids import MAX_UID_LENGTH, UID_PATTERN, is_uid
from imaging_server.resource import BULK_STORES, Kind, Level, is_bulk_path, parse_frames

GATEWAY_PREFIX = "/imaging/<ehr>/dicom-web/<pacs>"


class UidConverter(BaseConverter):
    """A DICOM UID; Werkzeug's own pattern is only the first sieve."""

    regex = r"[0-9.]{1,64}"

    def to_python(self, value: str) -> str:
        """The UID as it stands."""
        if not is_uid(value):
            raise ValidationError
        return value


class FramesConverter(BaseConverter):
    """A list of frame numbers such as ``1,2,3``."""

    regex = r"[0-9,]{1,4096}"

    def to_python(self, value: str) -> str:
        """The list as it stands."""
        if parse_frames(value) is None:
            raise ValidationError
        return value


class BulkPathConverter(BaseConverter):
    """The path of one large value below its study, series or instance."""

    regex = r"[A-Za-z0-9][A-Za-z0-9_./\-]{0,511}"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """The path as it stands."""
        if not is_bulk_path(value):
            raise ValidationError
        return value


@dataclass(frozen=True, slots=True)
class Route:
    """One rule below the DICOMweb root. ``bound`` is False for a search that names its study in the query only."""

    rule: str
    kind: Kind
    level: Level
    bound: bool = True


_BASES = {
    Level.STUDY: "/studies/<dicom_uid:study>",
    Level.SERIES: "/studies/<dicom_uid:study>/series/<dicom_uid:series>",
    Level.INSTANCE: "/studies/<dicom_uid:study>/series/<dicom_uid:series>/instances/<dicom_uid:instance>",
}
_STORES = f"<any({','.join(BULK_STORES)}):store>"
_FRAMES = _BASES[Level.INSTANCE] + "/frames/<dicom_frames:frames>"

ROUTES: tuple[Route, ...] = (
    Route("/studies", Kind.SEARCH, Level.STUDY, bound=False),
    Route("/series", Kind.SEARCH, Level.SERIES, bound=False),
    Route("/instances", Kind.SEARCH, Level.INSTANCE, bound=False),
    Route(_BASES[Level.STUDY] + "/series", Kind.SEARCH, Level.SERIES),
    Route(_BASES[Level.STUDY] + "/instances", Kind.SEARCH, Level.INSTANCE),
    Route(_BASES[Level.SERIES] + "/instances", Kind.SEARCH, Level.INSTANCE),
    *(Route(base, Kind.RETRIEVE, level) for level, base in _BASES.items()),
    *(Route(f"{base}/metadata", Kind.METADATA, level) for level, base in _BASES.items()),
    *(Route(f"{base}/rendered", Kind.RENDERED, level) for level, base in _BASES.items()),
    *(Route(f"{base}/thumbnail", Kind.THUMBNAIL, level) for level, base in _BASES.items()),
    *(Route(f"{base}/{_STORES}", Kind.BULK_DATA, level) for level, base in _BASES.items()),
    *(Route(f"{base}/{_STORES}/<dicom_bulk:bulk>", Kind.BULK_DATA, level) for level, base in _BASES.items()),
    Route(_FRAMES, Kind.FRAMES, Level.INSTANCE),
    Route(_FRAMES + "/rendered", Kind.RENDERED, Level.INSTANCE),
    Route(_FRAMES + "/thumbnail", Kind.THUMBNAIL, Level.INSTANCE),
)


_AT_END = "(?![^/])"
"""Followed by a slash or by nothing at all; in Python and in PCRE, and never a line break."""
_PIECES = {
    "dicom_uid": rf"(?=[0-9.]{{1,{MAX_UID_LENGTH}}}{_AT_END}){UID_PATTERN}",
    # Longer lists exist for the routes above; whoever cannot take this one leaves it to them.
    "dicom_frames": r"[1-9][0-9]{0,6}(?:,[1-9][0-9]{0,6}){0,99}",
}
_ONE_FRAME = {"dicom_frames": r"[1-9][0-9]{0,6}"}
_PIECE = re.compile(r"<(\w+):(\w+)>")


def address_pattern(route: Route, *, prefix: str, one_frame: bool = False) -> str:
    """The addresses of a route as a regular expression for a proxy in front, to be anchored by whoever uses it.

    Each piece is a named group, its name after ``prefix``. ``one_frame``: those alone that ask for no more than one frame.
    KeyError for a route whose pieces are not all offered so.
    """
    pieces = _PIECES | _ONE_FRAME if one_frame else _PIECES
    return _PIECE.sub(lambda piece: f"(?P<{prefix}{piece[2]}>{pieces[piece[1]]})", route.rule)


def add_converters(url_map: Map) -> None:
    """Makes the converters known to an application; needed before the rules are added."""
    url_map.converters |= {"dicom_uid": UidConverter, "dicom_frames": FramesConverter, "dicom_bulk": BulkPathConverter}
