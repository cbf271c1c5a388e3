"""Header of a Part-10 file: what the archive remembers of it without reading its pixels.

Spec: PS3.10 §7.1 (file format), PS3.5 §7.1 (element encoding) and §8 (pixel data).
"""

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from ehr_sandbox import dicomweb_attributes as attributes
from ehr_sandbox.dicomweb_json import dataset_json, pending_bulk_data
from ehr_sandbox.dicomweb_resource import is_uid

# What pydicom raises on bytes that are no DICOM, or DICOM cut off or damaged.
_READ_FAULTS = (
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXEL_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}


class UnreadableInstance(ValueError):
    """The bytes are no Part-10 file, or one without the UIDs that name an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLayout:
    """Where the pixels of a file are.

    `value_offset` is the position of the first byte of the value in the file, or None when the data set is
    deflated and has no positions. `frame_bits` is the size of a native frame, or None when frames have to be
    decoded to be told apart. `value_length` is None for an encapsulated value.
    """

    tag: int
    value_offset: int | None
    value_length: int | None
    frame_bits: int | None
    number_of_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHeader:
    """One instance: its names, its encoding, its attributes as DICOM JSON text, and its pixels if any."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    instance_number: int | None
    transfer_syntax_uid: str
    metadata: str
    pixels: PixelLayout | None


def read_header(path: Path) -> InstanceHeader:
    """Reads the file up to its pixels; `UnreadableInstance` when it is not a DICOM instance."""
    with path.open("rb") as file:
        try:
            return _header(file)
        except _READ_FAULTS as error:
            raise UnreadableInstance("not a readable DICOM Part-10 file") from error


def _header(file: BinaryIO) -> InstanceHeader:
    dataset = dcmread(file, stop_before_pixels=True)
    transfer_syntax = _transfer_syntax(dataset)
    pixels = _pixel_layout(file, dataset, transfer_syntax)
    uids = [str(dataset.get(keyword, "")) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    if not all(is_uid(uid) for uid in uids):
        raise UnreadableInstance("Study, Series or SOP Instance UID is missing or malformed")
    return InstanceHeader(
        study_uid=uids[0],
        series_uid=uids[1],
        sop_uid=uids[2],
        sop_class_uid=str(dataset.get("SOPClassUID", "")),
        instance_number=_instance_number(dataset),
        transfer_syntax_uid=str(transfer_syntax),
        metadata=_metadata_text(dataset, transfer_syntax, pixels),
        pixels=pixels,
    )


def _instance_number(dataset: FileDataset) -> int | None:
    try:
        return int(dataset.get("InstanceNumber"))
    except (TypeError, ValueError):
        return None


def _transfer_syntax(dataset: FileDataset) -> UID:
    transfer_syntax = dataset.file_meta.get("TransferSyntaxUID", "")
    if not is_uid(str(transfer_syntax)):
        raise UnreadableInstance("the file names no transfer syntax")
    return UID(str(transfer_syntax))


def _metadata_text(dataset: FileDataset, transfer_syntax: UID, pixels: PixelLayout | None) -> str:
    model = dataset_json(dataset)
    model[attributes.AVAILABLE_TRANSFER_SYNTAX_UID] = {"vr": "UI", "Value": [str(transfer_syntax)]}
    if pixels is not None:
        tag = f"{pixels.tag:08X}"
        vr = {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(pixels.tag, "OW")
        model[tag] = pending_bulk_data(vr, tag)
    # Compact separators: `with_bulk_data_base` looks for the marker written this way.
    return json.dumps(dict(sorted(model.items())), ensure_ascii=False, separators=(",", ":"))


def _pixel_layout(file: BinaryIO, dataset: FileDataset, transfer_syntax: UID) -> PixelLayout | None:
    frames = max(1, int(dataset.get("NumberOfFrames", 1) or 1))
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        if "Rows" not in dataset:
            return None
        return PixelLayout(tag=0x7FE00010, value_offset=None, value_length=None, frame_bits=None, number_of_frames=frames)
    start = _pixel_value_start(file, transfer_syntax)
    if start is None:
        return None
    tag, length = start
    return PixelLayout(
        tag=tag,
        value_offset=file.tell(),
        value_length=None if length == _UNDEFINED_LENGTH else length,
        frame_bits=_native_frame_bits(dataset, transfer_syntax, tag),
        number_of_frames=frames,
    )


def _pixel_value_start(file: BinaryIO, transfer_syntax: UID) -> tuple[int, int] | None:
    """Tag and length of the pixel element that the reader stopped at; leaves the file at its value."""
    order: Literal["little", "big"] = "little" if transfer_syntax.is_little_endian else "big"
    head = file.read(8)
    if len(head) < 8:
        return None
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)
    if tag not in _PIXEL_KEYWORDS:
        return None
    length_field = head[4:8] if transfer_syntax.is_implicit_VR else file.read(4)
    if not transfer_syntax.is_implicit_VR and head[4:6] not in (b"OB", b"OW", b"OF", b"OD", b"UN"):
        return None
    return tag, int.from_bytes(length_field, order)


def _native_frame_bits(dataset: FileDataset, transfer_syntax: UID, tag: int) -> int | None:
    if transfer_syntax.is_compressed or not transfer_syntax.is_little_endian:
        return None
    # Native YBR_FULL_422 shares chrominance between neighbours (PS3.3 C.7.6.3.1.2), so its frames are smaller.
    if tag == 0x7FE00010 and dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        return None
    try:
        pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel", 1))
        return pixels * int(dataset.BitsAllocated)
    except (AttributeError, TypeError, ValueError):
        return None
