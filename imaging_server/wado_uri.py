"""WADO-URI: one object by its three UIDs in the query, understood as the same object of WADO-RS.

The archive needs no WADO-URI of its own, and never sees such a query: archives answer a WADO-URI query that names only an
object with anybody's. Here all three UIDs are demanded, so that the gate decides as it does for the WADO-RS address.

Spec: DICOM PS3.18 §9.3 (default), §9.4 (files), §9.5 (pictures), §8.3.5 (rendering); SMART Imaging Access P5, groups 9, 10, 12.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fhir_imaging.errors import InvalidRequest
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid
from imaging_server.asking import Way, ways_to_a_file
from imaging_server.media_types import DICOM, MediaType, is_rendered, not_acceptable, preferred
from imaging_server.queries import once, refused
from imaging_server.resource import DicomResource, Kind, Level

WADO_URI_PATH = "/wado"
DEFAULT_PICTURE = "image/jpeg"
"""What is meant where neither contentType nor Accept says anything (PS3.18 §9.3)."""

_UIDS = ("studyUID", "seriesUID", "objectUID")
_OF_FILES = frozenset({"transferSyntax"})
_OF_PICTURES = frozenset(
    {"frameNumber", "rows", "columns", "windowCenter", "windowWidth", "imageQuality"},
)
_NUMBER = re.compile(r"-?[0-9]{1,8}(?:\.[0-9]{1,6})?", re.ASCII)
_VALUES = {
    "frameNumber": re.compile(r"[1-9][0-9]{0,6}", re.ASCII),
    # As large as WADO-RS may have a picture here (``queries``).
    "rows": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
    "columns": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
    "windowCenter": _NUMBER,
    "windowWidth": _NUMBER,
    "imageQuality": re.compile(r"[1-9][0-9]?|100", re.ASCII),
    "transferSyntax": re.compile(r"\*|[0-9]+(?:\.[0-9]+)*", re.ASCII),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WadoUriRequest:
    """The same request to WADO-RS: the resource, its rendering options, and the forms to be asked for in their order."""

    resource: DicomResource
    ways: tuple[Way, ...]
    options: tuple[tuple[str, str], ...] = ()


def parse_wado_uri(pairs: Sequence[tuple[str, str]], accept: str | None) -> WadoUriRequest:
    """A WADO-URI query; ``accept`` is the Accept header, which ``contentType`` outranks.

    InvalidRequest for what is missing, unknown, repeated, misspelt or contradictory; NotSupported (406) when nothing that is
    accepted is offered.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in _VALUES and name not in ("requestType", "contentType", *_UIDS):
            raise refused(name)
        if name in _VALUES and not _VALUES[name].fullmatch(value):
            raise InvalidRequest(f"The value of {name} cannot be used.", code="value-not-understood")
        once(given, name, value)
    if given.get("requestType") != "WADO":
        raise InvalidRequest("requestType must be WADO.", code="request-type")
    uids = {name: given[name] for name in _UIDS if name in given}
    if len(uids) < len(_UIDS):
        raise InvalidRequest("studyUID, seriesUID and objectUID are needed, all three.", code="uids-missing")
    if not all(is_uid(uid) for uid in uids.values()):
        raise InvalidRequest("A UID in the query is not a DICOM UID.", code="not-a-uid")
    chosen = _chosen(given.get("contentType") or accept)
    return _file(given, chosen) if chosen.name == DICOM else _picture(given, chosen)


def _chosen(accepted: str | None) -> MediaType:
    """The most wanted of the types that are offered for one object."""
    for wanted in preferred(accepted):
        if wanted.name in (DICOM, "application/*"):
            return MediaType(DICOM, wanted.parameters)
        if wanted.name in ("*/*", "image/*"):
            return MediaType(DEFAULT_PICTURE)
        if is_rendered(wanted.name):
            return MediaType(wanted.name)
    raise not_acceptable("application/dicom, and pictures such as image/jpeg and image/png")


def _file(given: dict[str, str], chosen: MediaType) -> WadoUriRequest:
    _only(given, _OF_PICTURES, "a picture")
    syntax = given.get("transferSyntax") or chosen.parameters.get("transfer-syntax")
    return WadoUriRequest(resource=_resource(given, Kind.RETRIEVE), ways=ways_to_a_file(syntax))


def _picture(given: dict[str, str], chosen: MediaType) -> WadoUriRequest:
    _only(given, _OF_FILES, "application/dicom")
    return WadoUriRequest(
        resource=_resource(given, Kind.RENDERED), ways=(Way(str(chosen)),), options=tuple(_rendering(given).items())
    )


def _only(given: dict[str, str], misplaced: frozenset[str], wanted: str) -> None:
    for name in sorted(misplaced & given.keys()):
        raise InvalidRequest(f"{name} goes with {wanted} only.", code="parameters-contradict")


def _resource(given: dict[str, str], kind: Kind) -> DicomResource:
    return DicomResource(
        kind=kind,
        level=Level.INSTANCE,
        study=StudyInstanceUID(given["studyUID"]),
        series=SeriesInstanceUID(given["seriesUID"]),
        instance=SopInstanceUID(given["objectUID"]),
        frames=(int(given["frameNumber"]),) if "frameNumber" in given else (),
    )


def _rendering(given: dict[str, str]) -> dict[str, str]:
    """The rendering options of WADO-RS. Rows or columns alone bound both sides: the picture keeps its proportions in them."""
    options: dict[str, str] = {}
    if "rows" in given or "columns" in given:
        rows, columns = given.get("rows"), given.get("columns")
        options["viewport"] = f"{columns or rows},{rows or columns}"
    center, width = given.get("windowCenter"), given.get("windowWidth")
    if (center is None) is not (width is None):
        raise InvalidRequest("windowCenter and windowWidth go together.", code="parameters-contradict")
    if center is not None and width is not None:
        if float(width) < 1:
            raise InvalidRequest("windowWidth must be at least 1.", code="value-not-understood")
        options["window"] = f"{center},{width},linear"
    if "imageQuality" in given:
        options["quality"] = given["imageQuality"]
    return options
