"""Frames of a stored instance: the stored bytes of one frame, or its decoded pixels.

Spec: PS3.5 §8 and Annex A.4 (encapsulation). Frame numbers are one-based, as in a frame list.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID
from werkzeug.exceptions import NotAcceptable

from ehr_sandbox.dicomweb_multipart import PIECE_BYTES
from ehr_sandbox.pacs_archive import InstanceFile
from ehr_sandbox.pacs_header import PixelLayout


class UndecodableFrame(ValueError):
    """The frame cannot be decoded: its data are damaged, or no decoder is installed for its encoding."""


def is_compressed(transfer_syntax_uid: str) -> bool:
    """Whether the pixels of this transfer syntax are encapsulated; a private one counts as compressed."""
    uid = UID(transfer_syntax_uid)
    return uid.is_compressed if uid.is_transfer_syntax else True


def can_decode(transfer_syntax_uid: str) -> bool:
    """Whether native pixels can be had from this transfer syntax here."""
    if not is_compressed(transfer_syntax_uid):
        return True
    try:
        return bool(get_decoder(UID(transfer_syntax_uid)).is_available)
    except NotImplementedError:
        return False


def stored_frame(instance: InstanceFile, pixels: PixelLayout, number: int) -> bytes:
    """The compressed bytes of an encapsulated frame."""
    if pixels.value_offset is None:
        raise NotAcceptable("The frames of this instance cannot be sent as they are stored.")
    with instance.path.open("rb") as file:
        file.seek(pixels.value_offset)
        try:
            return get_frame(file, number - 1, number_of_frames=pixels.number_of_frames)
        except ValueError as error:
            raise UndecodableFrame("the encapsulated frame cannot be found") from error


def native_frame(instance: InstanceFile, pixels: PixelLayout, number: int) -> bytes:
    """The uncompressed little-endian pixels of a frame, as Explicit VR Little Endian would hold them."""
    bits = pixels.frame_bits
    if bits is not None and bits % 8 == 0 and pixels.value_offset is not None:
        with instance.path.open("rb") as file:
            file.seek(pixels.value_offset + (number - 1) * bits // 8)
            frame_octets = file.read(bits // 8)
        if len(frame_octets) < bits // 8:
            raise UndecodableFrame("the file ends within the frame")
        return frame_octets
    frame = frame_array(instance, number)
    if frame.dtype == np.bool_ or _bits_allocated(instance) == 1:
        return np.packbits(frame.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()


def native_frame_length(pixels: PixelLayout) -> int | None:
    """Length of a native frame in bytes, or None when only decoding tells."""
    return pixels.frame_bits // 8 if pixels.frame_bits is not None and pixels.frame_bits % 8 == 0 else None


def frame_array(instance: InstanceFile, number: int) -> NDArray[np.generic]:
    """The decoded samples of a frame (rows, columns[, samples]) before any modality transformation."""
    try:
        # Of a file, pydicom reads only the frame it needs, but it looks for it at a position in the file.
        has_positions = instance.pixels is not None and instance.pixels.value_offset is not None
        source = instance.path if has_positions else dcmread(instance.path)
        return pixel_array(source, index=number - 1)
    except (ValueError, RuntimeError, NotImplementedError, AttributeError, BytesLengthException) as error:
        raise UndecodableFrame("the frame cannot be decoded") from error


def file_pieces(instance: InstanceFile, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """A range of the stored file in pieces; to its end when no length is given."""
    left = instance.size - start if length is None else length
    with instance.path.open("rb") as file:
        file.seek(start)
        while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece


def _bits_allocated(instance: InstanceFile) -> int:
    return int(dcmread(instance.path, stop_before_pixels=True, specific_tags=["BitsAllocated"]).BitsAllocated)
