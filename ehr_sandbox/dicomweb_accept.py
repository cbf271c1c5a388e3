"""Content negotiation: which representation of a resource answers an Accept header.

Spec: PS3.18 §8.7 (media types) and RFC 9110 §12.5.1. Quoted and unquoted parameters are equal; the
``accept`` query parameter outranks the header (§8.7.8.1).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from werkzeug.exceptions import BadRequest, NotAcceptable

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
OCTET_STREAM = "application/octet-stream"
MULTIPART = "multipart/related"

_MAXIMUM_ACCEPT_LENGTH = 8192
_QUOTED_AWARE_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_QUOTED_AWARE_SEMICOLON = re.compile(r';(?=(?:[^"]*"[^"]*")*[^"]*$)')
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+*-]+/[a-z0-9!#$&^_.+*-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    """One acceptable media type; for ``multipart/related`` the media type is that of the parts.

    `transfer_syntax` is None when the client left it to the default, or ``*`` for "as stored".
    """

    media_type: str
    multipart: bool
    transfer_syntax: str | None = None
    quality: float = 1.0

    def covers(self, media_type: str) -> bool:
        """Whether the media type falls in this range (``image/*`` covers ``image/jp2``)."""
        kind, _, subtype = self.media_type.partition("/")
        offered_kind, _, offered_subtype = media_type.partition("/")
        return kind in ("*", offered_kind) and subtype in ("*", offered_subtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One representation that the archive can make.

    `is_default` says that it answers a range without transfer syntax; `is_stored` that it answers ``*``.
    """

    media_type: str
    transfer_syntax: str
    is_default: bool = True
    is_stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The representation agreed on, and whether it travels as parts of ``multipart/related``."""

    offer: Offer
    multipart: bool


@dataclass(frozen=True, slots=True)
class Acceptable:
    """What the client accepts, the most wanted first."""

    ranges: tuple[MediaRange, ...] = field(default=(MediaRange(media_type="*/*", multipart=False),))

    def select(self, offers: Sequence[Offer], *, single_part: bool) -> Selection | None:
        """The first wanted range that an offer meets, or None.

        `single_part` says whether the resource may be sent bare; a bare ``*/*`` gets multipart, which is the
        default of every DICOMweb bulk resource.
        """
        for media_range in self.ranges:
            wildcard = media_range.media_type == "*/*"
            multipart = media_range.multipart or wildcard
            if not multipart and not single_part:
                continue
            for offer in offers:
                if media_range.covers(offer.media_type) and _syntax_agrees(media_range, offer):
                    return Selection(offer=offer, multipart=multipart)
        return None

    def select_rendered(self, media_types: Sequence[str]) -> tuple[str, bool]:
        """The first wanted of the image types, and whether each image is a part; 406 when none is wanted."""
        for media_range in self.ranges:
            for media_type in media_types:
                if media_range.covers(media_type):
                    return media_type, media_range.multipart
        raise NotAcceptable(f"This resource is available as {', '.join(media_types)}.")

    def select_plain(self, media_types: Sequence[str]) -> str:
        """The first wanted of the media types that are sent bare, such as JSON; 406 when none is wanted."""
        for media_range in self.ranges:
            for media_type in media_types:
                if not media_range.multipart and media_range.covers(media_type):
                    return media_type
        raise NotAcceptable(f"This resource is available as {', '.join(media_types)}.")


def _syntax_agrees(media_range: MediaRange, offer: Offer) -> bool:
    if media_range.transfer_syntax is None:
        return offer.is_default
    if media_range.transfer_syntax == "*":
        return offer.is_stored
    return media_range.transfer_syntax == offer.transfer_syntax


def parse_acceptable(header: str | None, query_value: str | None = None) -> Acceptable:
    """Reads the Accept header, or the query parameter when there is one; 400 when it is malformed."""
    # A literal "+" in a query arrives as a space: application/dicom+json is the usual victim.
    text = query_value.replace("dicom json", "dicom+json") if query_value else header
    if text is None or not text.strip():
        return Acceptable()
    if len(text) > _MAXIMUM_ACCEPT_LENGTH:
        raise BadRequest("The Accept header is too long.")
    ranges = [_parse_range(part) for part in _QUOTED_AWARE_COMMA.split(text) if part.strip()]
    wanted = [media_range for media_range in ranges if media_range.quality > 0]
    return Acceptable(tuple(sorted(wanted, key=lambda media_range: -media_range.quality)))


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case and its parameters, without their quotes; 400 when malformed."""
    media_type, *assignments = [part.strip() for part in _QUOTED_AWARE_SEMICOLON.split(text)]
    media_type = media_type.lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise BadRequest("A media type is malformed.")
    parameters = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return media_type, parameters


def _parse_range(text: str) -> MediaRange:
    media_type, parameters = parse_media_type(text)
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError as error:
        raise BadRequest("A quality value of the Accept header is not a number.") from error
    multipart = media_type in (MULTIPART, "multipart/*")
    return MediaRange(
        media_type=parameters.get("type", "*/*").lower() if multipart else media_type,
        multipart=multipart,
        transfer_syntax=parameters.get("transfer-syntax"),
        quality=quality,
    )
