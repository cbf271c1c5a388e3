"""WADO-RS frames: single frames of an image, native or as they are stored.

Spec: PS3.18 §10.4.1.1.4 (Frames resource), §8.7.3.3 (media types of pixel data, by transfer syntax).
"""

import functools
import re
from collections.abc import Iterable

from flask import Blueprint, Response
from werkzeug.exceptions import BadRequest, NotAcceptable, NotFound

from ehr_sandbox.dicomweb_accept import EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM, Offer
from ehr_sandbox.dicomweb_multipart import Part
from ehr_sandbox.pacs_archive import InstanceFile, archive
from ehr_sandbox.pacs_header import PixelLayout
from ehr_sandbox.pacs_pixels import can_decode, is_compressed, native_frame, native_frame_length, stored_frame
from ehr_sandbox.pacs_wado import acceptable, multipart_response

blueprint = Blueprint("pacs_frames", __name__)

FRAME_MEDIA_TYPES = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}
"""Media type of a compressed frame (PS3.18 table 8.7.3-5)."""

_MAXIMUM_FRAMES_LISTED = 10_000
_FRAME_LIST = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*", re.ASCII)
_INSTANCE = "/studies/<uid:study_uid>/series/<uid:series_uid>/instances/<uid:sop_uid>"


@blueprint.get(f"{_INSTANCE}/frames/<frame_list>")
def retrieve_frames(study_uid: str, series_uid: str, sop_uid: str, frame_list: str) -> Response:
    """The listed frames, one per part in the order asked; a single frame also bare."""
    (instance,) = archive().instances(study_uid, series_uid, sop_uid)
    pixels = pixels_of(instance)
    return frames_response(instance, pixels, parse_frame_list(frame_list, pixels.number_of_frames))


def pixels_of(instance: InstanceFile) -> PixelLayout:
    """Where the pixels of an instance are; 404 for an instance without any, such as a report."""
    if instance.pixels is None:
        raise NotFound("The instance has no pixel data.")
    return instance.pixels


def parse_frame_list(text: str, number_of_frames: int) -> list[int]:
    """One-based frame numbers: 400 when it is no list of numbers, 404 when a frame does not exist."""
    if not _FRAME_LIST.fullmatch(text):
        raise BadRequest("The frame list is not a comma-separated list of whole numbers.")
    numbers = [int(piece) for piece in text.split(",")]
    if len(numbers) > _MAXIMUM_FRAMES_LISTED:
        raise BadRequest("The frame list is too long.")
    if not all(1 <= number <= number_of_frames for number in numbers):
        raise NotFound(f"The instance has the frames 1 to {number_of_frames}.")
    return numbers


def frames_response(instance: InstanceFile, pixels: PixelLayout, numbers: list[int]) -> Response:
    """The frames in the media type and transfer syntax that the caller accepts; 406 when there is none."""
    selection = acceptable().select(frame_offers(instance), single_part=len(numbers) == 1)
    if selection is None:
        raise NotAcceptable(
            "The frames cannot be sent in any accepted media type and transfer syntax; "
            f"they are stored as {instance.transfer_syntax_uid}."
        )
    offer = selection.offer
    # Native octets need no transfer-syntax parameter by §8.7.3; OHIF takes them for Implicit VR without it.
    content_type = f"{offer.media_type}; transfer-syntax={offer.transfer_syntax}"
    if not selection.multipart:
        return Response(frame_bytes(instance, pixels, offer, numbers[0]), content_type=content_type)
    if len(numbers) == 1:
        # The usual request of a viewer: read at once, so that damage is an error and the length is known.
        frame = frame_bytes(instance, pixels, offer, numbers[0])
        return multipart_response([Part(content_type=content_type, body=lambda: [frame], length=len(frame))], offer.media_type)
    length = native_frame_length(pixels) if offer.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN else None
    parts = [
        Part(
            content_type=content_type,
            body=functools.partial(_one_piece, instance, pixels, offer, number),
            length=length,
        )
        for number in numbers
    ]
    return multipart_response(parts, offer.media_type)


def frame_offers(instance: InstanceFile) -> list[Offer]:
    """How a frame can be sent: native octets, and as stored under its own media type or as octets.

    Viewers ask for ``application/octet-stream; transfer-syntax=*`` and read the transfer syntax of the part.
    """
    stored = instance.transfer_syntax_uid
    if not is_compressed(stored) or instance.pixels is None or instance.pixels.value_offset is None:
        return [Offer(media_type=OCTET_STREAM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)]
    offers = []
    if can_decode(stored):
        offers.append(Offer(media_type=OCTET_STREAM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN, is_stored=False))
    if stored in FRAME_MEDIA_TYPES:
        offers.append(Offer(media_type=FRAME_MEDIA_TYPES[stored], transfer_syntax=stored))
    offers.append(Offer(media_type=OCTET_STREAM, transfer_syntax=stored, is_default=False))
    return offers


def frame_bytes(instance: InstanceFile, pixels: PixelLayout, offer: Offer, number: int) -> bytes:
    """One frame in the agreed representation."""
    if offer.transfer_syntax == instance.transfer_syntax_uid and is_compressed(instance.transfer_syntax_uid):
        return stored_frame(instance, pixels, number)
    return native_frame(instance, pixels, number)


def _one_piece(instance: InstanceFile, pixels: PixelLayout, offer: Offer, number: int) -> Iterable[bytes]:
    yield frame_bytes(instance, pixels, offer, number)
