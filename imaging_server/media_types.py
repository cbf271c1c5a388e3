"""Media types: what a caller accepts, what an archive may be asked for, and what of its answers may go down.

Spec: DICOM PS3.18 §8.7 (quoted and unquoted parameters are equal; the ``accept`` query parameter outranks the header),
§10.4.4; RFC 9110 §12.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from fhir_imaging.errors import InvalidRequest, NotSupported
from imaging_server.resource import DicomResource, Kind, Level

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
MAX_ACCEPT_LENGTH = 2000
MAX_RANGES = 32

_TOKEN = r"[A-Za-z0-9!#$&^_.+\-]+"  # noqa: S105 - RFC 9110's word for it
_EMPTY_ELEMENTS = re.compile(r"[ \t,]*", re.ASCII)
_SPACE = re.compile(r"[ \t]*", re.ASCII)
_TYPE = re.compile(rf"(?P<type>\*|{_TOKEN})/(?P<subtype>\*|{_TOKEN})", re.ASCII)
_PARAMETER = re.compile(
    rf"\s*;\s*(?P<name>{_TOKEN})\s*=\s*(?:\"(?P<quoted>[ !#-\[\]-~]*)\"|(?P<plain>[!#-+\--:<-\[\]-~]+))", re.ASCII
)
_TRANSFER_SYNTAX = re.compile(r"\*|[0-9]+(?:\.[0-9]+)*", re.ASCII)
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{1,200}", re.ASCII)

_JSON_RANGES = frozenset({DICOM_JSON, "application/json", "application/*", "*/*"})
_IMAGES = frozenset(
    {"image/jpeg", "image/png", "image/gif", "image/jp2", "image/jpx", "image/jls", "image/jphc", "image/dicom-rle", "image/*"}
)
_VIDEOS = frozenset({"video/mpeg", "video/mp4", "video/h265", "video/*"})
_STORED = _IMAGES | _VIDEOS | {"application/octet-stream"}
# A rendered report would be HTML from the archive on our own origin, so only pictures, films and PDF are let through.
_RENDERED = _IMAGES | _VIDEOS | {"application/pdf"}


_OFFERED = {
    Kind.RETRIEVE: "multipart/related with application/dicom, images or byte streams; application/dicom alone for one instance",
    Kind.RENDERED: "images, films and PDF",
    Kind.THUMBNAIL: "images",
}


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range, lower case, with its parameters; ``quality`` as sent."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "".join([self.name, *(f"; {name}={_printed(name, value)}" for name, value in self.parameters.items())])


def parse_media_types(text: str) -> tuple[MediaType, ...]:
    """The ranges of an Accept value in their order. InvalidRequest when it cannot be read or has too many."""
    if len(text) > MAX_ACCEPT_LENGTH:
        raise InvalidRequest("The Accept value is too long.", code="accept-too-long")
    ranges: list[MediaType] = []
    position = 0
    while (position := _after(_EMPTY_ELEMENTS, text, position)) < len(text):
        found, position = _media_type_at(text, position)
        position = _after(_SPACE, text, position)
        if found is None or (position < len(text) and text[position] != ",") or len(ranges) == MAX_RANGES:
            raise InvalidRequest("The Accept value cannot be read.", code="accept-not-understood")
        ranges.append(found)
    return tuple(ranges)


def parse_media_type(text: str) -> MediaType | None:
    """One media type as a Content-Type header holds it; None when it cannot be read."""
    found, position = _media_type_at(text.strip(), 0)
    return found if found is not None and position == len(text.strip()) else None


@lru_cache(maxsize=256)
def _inner_type(text: str) -> MediaType | None:
    """The type of a message's parts: one of few, where the message's own has another boundary each time."""
    return parse_media_type(text)


def upstream_accept(resource: DicomResource, accepted: str | None) -> str:
    """What to ask the archive for, so that the caller can take the answer. NotSupported (406) when there is nothing.

    Only what this gateway can check and rewrite is asked for: never XML, never HTML.
    """
    return accept_for(resource.kind, resource.level, accepted)


def accept_for(kind: Kind, level: Level, accepted: str | None) -> str:
    """``upstream_accept`` for every resource of this kind and level."""
    ranges = _ranges(accepted)
    wanted = [one for one in ranges if not _is_unwanted(one)]
    if kind in (Kind.SEARCH, Kind.METADATA):
        if any(one.name in _JSON_RANGES for one in wanted) and not any(
            one.name == DICOM_JSON and _is_unwanted(one) for one in ranges
        ):
            return DICOM_JSON
        raise not_acceptable(f"{DICOM_JSON}; XML would hold the archive's addresses")
    offered = [one for one in wanted if _is_offered(kind, level, one)]
    if not offered:
        raise not_acceptable(_OFFERED.get(kind, "images and byte streams, single or in multipart/related"))
    return ", ".join(str(_asked(kind, one)) for one in offered)


def preferred(accepted: str | None) -> tuple[MediaType, ...]:
    """The acceptable ranges, the most wanted first, equals in their order; those that cannot be understood are left out."""
    wanted = (one for one in _ranges(accepted) if not _is_unwanted(one) and _parameters_fit(one))
    return tuple(sorted(wanted, key=lambda one: -float(one.parameters.get("q", "1"))))


def is_rendered(name: str) -> bool:
    """Whether this is one type of picture, film or document that a rendered object may have."""
    return "*" not in name and name in _RENDERED


def may_go_down(resource: DicomResource, content_type: MediaType) -> bool:
    """Whether an archive's answer of this type may reach the caller: what was asked for, and nothing a browser would run."""
    if content_type.name == "multipart/related":
        inner = _inner_type(content_type.parameters.get("type", "application/octet-stream"))
        boundary = content_type.parameters.get("boundary", "")
        concrete = inner is not None and "*" not in inner.name and _is_part_type(resource.kind, inner.name)
        return concrete and _BOUNDARY.fullmatch(boundary) is not None
    return "*" not in content_type.name and _is_single(resource.kind, resource.level, content_type.name)


def as_told(content_type: MediaType) -> MediaType:
    """An archive's type with those parameters that a caller needs: any other (``name``, ``start``) may name the archive."""
    told: dict[str, str] = {}
    if content_type.name == "multipart/related":
        inner = _inner_type(content_type.parameters.get("type", ""))
        if inner is not None:
            told["type"] = inner.name
        if "boundary" in content_type.parameters:
            told["boundary"] = content_type.parameters["boundary"]
    syntax = content_type.parameters.get("transfer-syntax", "")
    if _TRANSFER_SYNTAX.fullmatch(syntax):
        told["transfer-syntax"] = syntax
    return MediaType(content_type.name, told)


def _ranges(accepted: str | None) -> tuple[MediaType, ...]:
    return parse_media_types(accepted or "*/*") or (MediaType("*/*"),)


def _is_unwanted(one: MediaType) -> bool:
    return one.parameters.get("q", "1") in ("0", "0.", "0.0", "0.00", "0.000")


def _is_offered(kind: Kind, level: Level, asked: MediaType) -> bool:
    if not _parameters_fit(asked):
        return False
    if asked.name == "*/*":
        return True
    if asked.name in ("multipart/related", "multipart/*"):
        inner = parse_media_type(asked.parameters.get("type", DICOM))
        # dicomweb-client asks for parts of type "*/*" unless told otherwise.
        return inner is not None and (inner.name == "*/*" or _is_part_type(kind, inner.name))
    return _is_single(kind, level, asked.name)


def _is_part_type(kind: Kind, name: str) -> bool:
    """Types of the parts in a multipart answer."""
    if kind is Kind.RETRIEVE:
        return name == DICOM or name in _STORED
    if kind in (Kind.FRAMES, Kind.BULK_DATA):
        return name in _STORED
    return kind in (Kind.RENDERED, Kind.THUMBNAIL) and name in _RENDERED


def _is_single(kind: Kind, level: Level, name: str) -> bool:
    """Types of an answer that is one object. Plain application/dicom is one instance (PS3.18 §10.4.4)."""
    if kind is Kind.RETRIEVE:
        return name in (DICOM, "application/*") and level is Level.INSTANCE
    if kind in (Kind.RENDERED, Kind.THUMBNAIL):
        return name in _RENDERED
    return name == "application/*" or name in _STORED


def _asked(kind: Kind, asked: MediaType) -> MediaType:
    """The range as it goes to the archive: a study has no single-object form, so "anything" means its DICOM parts."""
    anything = asked.name in ("*/*", "multipart/*") or asked.parameters.get("type") == "*/*"
    if anything and kind is Kind.RETRIEVE:
        syntax = asked.parameters.get("transfer-syntax", "*")
        return MediaType("multipart/related", {"type": DICOM, "transfer-syntax": syntax})
    return asked


def _parameters_fit(asked: MediaType) -> bool:
    syntax, quality = asked.parameters.get("transfer-syntax", "*"), asked.parameters.get("q", "1")
    known = set(asked.parameters) <= {"type", "transfer-syntax", "q", "boundary", "charset"}
    return known and _TRANSFER_SYNTAX.fullmatch(syntax) is not None and _QUALITY.fullmatch(quality) is not None


def _media_type_at(text: str, position: int) -> tuple[MediaType | None, int]:
    match = _TYPE.match(text, position)
    if match is None:
        return None, position
    parameters: dict[str, str] = {}
    position = match.end()
    while (parameter := _PARAMETER.match(text, position)) is not None:
        name = parameter["name"].lower()
        if name in parameters:
            return None, position
        parameters[name] = parameter["quoted"] if parameter["quoted"] is not None else parameter["plain"]
        position = parameter.end()
    return MediaType(match.group().lower(), parameters), position


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where the text goes on after what the pattern matches, which may be nothing."""
    match = pattern.match(text, position)
    return match.end() if match else position


def _printed(name: str, value: str) -> str:
    return value if name in ("q", "transfer-syntax") else f'"{value}"'


def not_acceptable(offered: str) -> NotSupported:
    """The refusal (406) that names what there is."""
    return NotSupported(f"Nothing that you accept is offered here. Offered: {offered}.", status=406, code="not-acceptable")
