"""WADO-RS: whole studies, series and instances, and their metadata.

Spec: PS3.18 §10.4 (retrieve transaction), §8.7.3.5 (default and wildcard transfer syntax).
"""

import functools
import io
from collections.abc import Iterable, Iterator

import numpy as np
from flask import Blueprint, Response, request
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian
from werkzeug.exceptions import NotAcceptable

from ehr_sandbox.dicomweb_accept import (
    DICOM,
    DICOM_JSON,
    EXPLICIT_VR_LITTLE_ENDIAN,
    MULTIPART,
    Acceptable,
    Offer,
    Selection,
    parse_acceptable,
)
from ehr_sandbox.dicomweb_multipart import Part, generate_multipart, multipart_length, new_boundary
from ehr_sandbox.pacs_archive import InstanceFile, archive
from ehr_sandbox.pacs_pixels import can_decode, file_pieces, is_compressed

blueprint = Blueprint("pacs_wado", __name__)

_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_STUDY = "/studies/<uid:study_uid>"
_SERIES = f"{_STUDY}/series/<uid:series_uid>"
_INSTANCE = f"{_SERIES}/instances/<uid:sop_uid>"


def acceptable() -> Acceptable:
    """What the caller of the current request accepts."""
    return parse_acceptable(request.headers.get("Accept"), request.args.get("accept"))


@blueprint.get(_STUDY)
@blueprint.get(_SERIES)
@blueprint.get(_INSTANCE)
def retrieve(study_uid: str, series_uid: str | None = None, sop_uid: str | None = None) -> Response:
    """The instances as ``multipart/related``; one instance also bare as ``application/dicom``."""
    instances = archive().instances(study_uid, series_uid, sop_uid)
    wanted = acceptable()
    selected = [select_instance(instance, wanted, single_part=sop_uid is not None) for instance in instances]
    if sop_uid is not None and not selected[0].multipart:
        return bare_instance(instances[0], selected[0].offer)
    parts = [_part(instance, choice.offer) for instance, choice in zip(instances, selected, strict=True)]
    return multipart_response(parts, DICOM)


@blueprint.get(f"{_STUDY}/metadata")
@blueprint.get(f"{_SERIES}/metadata")
@blueprint.get(f"{_INSTANCE}/metadata")
def retrieve_metadata(study_uid: str, series_uid: str | None = None, sop_uid: str | None = None) -> Response:
    """The attributes of the instances without bulk data, as one JSON array."""
    media_type = acceptable().select_plain([DICOM_JSON, "application/json"])
    archive().check_known(study_uid, series_uid, sop_uid)
    return Response(json_array(archive().metadata(study_uid, series_uid, sop_uid)), content_type=media_type)


def json_array(texts: Iterable[str]) -> Iterator[bytes]:
    """A JSON array of the already serialised values, in pieces."""
    yield b"["
    for position, text in enumerate(texts):
        yield (("," if position else "") + text).encode()
    yield b"]"


def multipart_response(parts: list[Part], part_type: str) -> Response:
    """The parts as a streamed ``multipart/related``, with a Content-Length where all lengths are known."""
    boundary = new_boundary()
    content_type = f'{MULTIPART}; type="{part_type}"; boundary="{boundary}"'
    return sized(Response(generate_multipart(parts, boundary), content_type=content_type), multipart_length(parts, boundary))


def sized(response: Response, length: int | None) -> Response:
    """The response with its Content-Length, when it is known before the body is made."""
    if length is not None:
        response.content_length = length
    return response


def instance_offers(instance: InstanceFile) -> list[Offer]:
    """How a whole instance can be sent: as Explicit VR Little Endian, and compressed as it is stored.

    Implicit VR and big endian are never sent (§8.7.3.5.1); they are converted also for ``transfer-syntax=*``.
    """
    stored = instance.transfer_syntax_uid
    if not is_compressed(stored) and stored != DeflatedExplicitVRLittleEndian:
        return [Offer(media_type=DICOM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)]
    offers = [Offer(media_type=DICOM, transfer_syntax=stored, is_default=False)]
    if can_decode(stored):
        offers.insert(0, Offer(media_type=DICOM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN, is_stored=False))
    return offers


def instance_bytes(instance: InstanceFile, transfer_syntax_uid: str) -> Iterable[bytes]:
    """The Part-10 file in the given transfer syntax, in pieces; converted in memory, one instance at a time."""
    if transfer_syntax_uid == instance.transfer_syntax_uid:
        yield from file_pieces(instance)
        return
    dataset = dcmread(instance.path)
    if is_compressed(instance.transfer_syntax_uid):
        dataset.decompress(generate_instance_uid=False)
    if instance.transfer_syntax_uid == ExplicitVRBigEndian:
        _turn_words(dataset)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    converted = io.BytesIO()
    dcmwrite(converted, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
    yield converted.getvalue()


def _turn_words(dataset: Dataset) -> None:
    """Reverses the bytes of each word in place, which pydicom leaves as they stand in the file."""
    for element in dataset.iterall():
        width = _WORD_BYTES.get(element.VR)
        if width is not None and element.value:
            element.value = np.frombuffer(element.value, f">u{width}").byteswap().tobytes()


def select_instance(instance: InstanceFile, wanted: Acceptable, *, single_part: bool) -> Selection:
    """How the instance is sent; 406 when nothing that the client accepts can be made of it."""
    selection = wanted.select(instance_offers(instance), single_part=single_part)
    if selection is None:
        raise NotAcceptable(
            "An instance cannot be sent in any accepted media type and transfer syntax; "
            f"it is stored as {instance.transfer_syntax_uid}."
        )
    return selection


def _part(instance: InstanceFile, offer: Offer) -> Part:
    return Part(
        content_type=f"{DICOM}; transfer-syntax={offer.transfer_syntax}",
        body=functools.partial(instance_bytes, instance, offer.transfer_syntax),
        location=archive().urls.instance(instance.study_uid, instance.series_uid, instance.sop_uid),
        length=_length(instance, offer),
    )


def bare_instance(instance: InstanceFile, offer: Offer) -> Response:
    """The Part-10 file as the whole body."""
    content_type = f"{DICOM}; transfer-syntax={offer.transfer_syntax}"
    return sized(Response(instance_bytes(instance, offer.transfer_syntax), content_type=content_type), _length(instance, offer))


def _length(instance: InstanceFile, offer: Offer) -> int | None:
    return instance.size if offer.transfer_syntax == instance.transfer_syntax_uid else None
