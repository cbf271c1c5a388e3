"""WADO-RS bulk data: the large values that metadata leave out, whole or by byte range.

Spec: PS3.18 §10.4.1.1.2 (bulk data), §10.4.1.1.6 (pixel data), RFC 9110 §14 (range requests). A range is honoured
for a bare value; in ``multipart/related`` it would cut the envelope and is ignored.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, request
from pydicom import dcmread
from werkzeug.exceptions import BadRequest, NotAcceptable, NotFound, RequestedRangeNotSatisfiable

from ehr_sandbox.dicomweb_accept import EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM, Offer
from ehr_sandbox.dicomweb_multipart import PIECE_BYTES, Part
from ehr_sandbox.pacs_archive import InstanceFile, archive
from ehr_sandbox.pacs_frames import frame_bytes, frame_offers, frames_response, pixels_of
from ehr_sandbox.pacs_header import PixelLayout
from ehr_sandbox.pacs_pixels import file_pieces, is_compressed
from ehr_sandbox.pacs_wado import acceptable, multipart_response, sized

blueprint = Blueprint("pacs_bulkdata", __name__)

_INSTANCE = "/studies/<uid:study_uid>/series/<uid:series_uid>/instances/<uid:sop_uid>"
_BULK_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[0-9]{1,6}/[0-9A-Fa-f]{8}){0,8}", re.ASCII)
_NATIVE = Offer(media_type=OCTET_STREAM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """A value that can be read from any position; `length` in bytes."""

    source: InstanceFile | bytes
    offset: int
    length: int

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        if isinstance(self.source, InstanceFile):
            yield from file_pieces(self.source, self.offset + start, stop - start)
            return
        for position in range(start, stop, PIECE_BYTES):
            yield self.source[position : min(position + PIECE_BYTES, stop)]


@blueprint.get(f"{_INSTANCE}/bulkdata/<path:bulk_path>")
def retrieve_bulk_data(study_uid: str, series_uid: str, sop_uid: str, bulk_path: str) -> Response:
    """The value of one element, named as in the BulkDataURI of the metadata."""
    if not _BULK_PATH.fullmatch(bulk_path):
        raise BadRequest("The path names no element.")
    (instance,) = archive().instances(study_uid, series_uid, sop_uid)
    if instance.pixels is not None and bulk_path.upper() == f"{instance.pixels.tag:08X}":
        return _pixel_data(instance, instance.pixels)
    return _value_response(_element_value(instance, bulk_path.split("/")))


@blueprint.get(f"{_INSTANCE}/pixeldata")
def retrieve_pixel_data(study_uid: str, series_uid: str, sop_uid: str) -> Response:
    """All pixels of the instance."""
    (instance,) = archive().instances(study_uid, series_uid, sop_uid)
    return _pixel_data(instance, pixels_of(instance))


def _pixel_data(instance: InstanceFile, pixels: PixelLayout) -> Response:
    """Native pixels as one value, compressed ones as one part per frame."""
    every_frame = list(range(1, pixels.number_of_frames + 1))
    if not is_compressed(instance.transfer_syntax_uid):
        if pixels.value_offset is None or pixels.value_length is None or pixels.frame_bits is None:
            return _whole(_decoded(instance, pixels, every_frame))
        return _value_response(_Value(source=instance, offset=pixels.value_offset, length=pixels.value_length))
    selection = acceptable().select(frame_offers(instance), single_part=True)
    if selection is not None and selection.offer.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN:
        return _whole(_decoded(instance, pixels, every_frame))
    return frames_response(instance, pixels, every_frame)


def _decoded(instance: InstanceFile, pixels: PixelLayout, numbers: Iterable[int]) -> Iterator[bytes]:
    return (frame_bytes(instance, pixels, _NATIVE, number) for number in numbers)


def _whole(pieces: Iterator[bytes]) -> Response:
    """A value that is made while it is sent, so that neither its length nor a range of it is known."""
    if _is_multipart():
        return multipart_response([Part(content_type=OCTET_STREAM, body=lambda: pieces)], OCTET_STREAM)
    return Response(pieces, content_type=OCTET_STREAM)


def _value_response(value: _Value) -> Response:
    if _is_multipart():
        part = Part(content_type=OCTET_STREAM, body=lambda: value.pieces(0, value.length), length=value.length)
        return multipart_response([part], OCTET_STREAM)
    start, stop = _asked_range(value.length)
    response = sized(Response(value.pieces(start, stop), content_type=OCTET_STREAM), stop - start)
    response.headers["Accept-Ranges"] = "bytes"
    if (start, stop) != (0, value.length):
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{value.length}"
    return response


def _is_multipart() -> bool:
    selection = acceptable().select([_NATIVE], single_part=True)
    if selection is None:
        raise NotAcceptable(f"This value is available as {OCTET_STREAM}.")
    return selection.multipart


def _asked_range(length: int) -> tuple[int, int]:
    """The half-open byte range that was asked for; the whole value for none, several, or a conditional one."""
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or "If-Range" in request.headers:
        return 0, length
    bounds = asked.range_for_length(length)
    if bounds is None:
        raise RequestedRangeNotSatisfiable(length)
    return bounds


def _element_value(instance: InstanceFile, steps: list[str]) -> _Value:
    dataset = dcmread(instance.path, stop_before_pixels=True)
    try:
        for tag, item in zip(steps[0:-1:2], steps[1::2], strict=True):
            dataset = dataset[int(tag, 16)].value[int(item)]
        content = dataset[int(steps[-1], 16)].value
    except (KeyError, IndexError, TypeError) as error:
        raise NotFound("The instance has no such element.") from error
    if not isinstance(content, bytes):
        raise NotFound("The element is no bulk data; its value stands in the metadata.")
    return _Value(source=content, offset=0, length=len(content))
