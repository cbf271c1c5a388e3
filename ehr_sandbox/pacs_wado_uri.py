"""WADO-URI: one instance by query parameters, as a file or as an image.

Spec: PS3.18 §9. All three UIDs are demanded, so that an instance is only found where it belongs.
"""

from dataclasses import replace

from flask import Blueprint, Response, request
from pydicom import dcmread
from werkzeug.exceptions import BadRequest, NotAcceptable

from ehr_sandbox.dicomweb_accept import DICOM, EXPLICIT_VR_LITTLE_ENDIAN, Acceptable, MediaRange, parse_media_type
from ehr_sandbox.dicomweb_resource import is_uid
from ehr_sandbox.pacs_archive import InstanceFile, archive
from ehr_sandbox.pacs_frames import parse_frame_list, pixels_of
from ehr_sandbox.pacs_pixels import can_decode, frame_array
from ehr_sandbox.pacs_rendered import RENDERED_MEDIA_TYPES, parse_rendering
from ehr_sandbox.pacs_wado import bare_instance, select_instance

blueprint = Blueprint("pacs_wado_uri", __name__)


@blueprint.get("/wado")
def retrieve_by_uri() -> Response:
    """The instance in the asked content type: ``image/jpeg`` unless it says otherwise, or has no pixels."""
    if request.args.get("requestType") != "WADO":
        raise BadRequest("The parameter requestType has to be WADO.")
    if request.args.get("anonymize"):
        raise BadRequest("The archive does not anonymize.")
    uids = {name: _uid(name) for name in ("studyUID", "seriesUID", "objectUID")}
    (instance,) = archive().instances(*uids.values())
    content_type = _content_type(instance)
    if content_type != DICOM:
        return _image(instance, content_type)
    syntax = request.args.get("transferSyntax") or EXPLICIT_VR_LITTLE_ENDIAN
    wanted = Acceptable((MediaRange(media_type=DICOM, multipart=False, transfer_syntax=syntax),))
    return bare_instance(instance, select_instance(instance, wanted, single_part=True).offer)


def _uid(name: str) -> str:
    values = request.args.getlist(name)
    if len(values) != 1 or not is_uid(values[0]):
        raise BadRequest(f"The parameter {name} has to be one UID.")
    return values[0]


def _content_type(instance: InstanceFile) -> str:
    """The first of the asked content types that the archive makes; 406 when it makes none of them."""
    default = DICOM if instance.pixels is None else RENDERED_MEDIA_TYPES[0]
    asked = request.args.get("contentType")
    if not asked:
        return default
    for wanted in asked.split(","):
        media_type, _ = parse_media_type(wanted.strip())
        if media_type in (DICOM, *RENDERED_MEDIA_TYPES):
            return media_type
        if media_type in ("*/*", "image/*"):
            return default
    raise NotAcceptable(f"An instance is available as {DICOM}, {', '.join(RENDERED_MEDIA_TYPES)}.")


def _image(instance: InstanceFile, media_type: str) -> Response:
    pixels = pixels_of(instance)
    if not can_decode(instance.transfer_syntax_uid):
        raise NotAcceptable("The pixels of this instance cannot be decoded here.")
    (number,) = parse_frame_list(request.args.get("frameNumber", "1"), pixels.number_of_frames)[:1]
    rendering = replace(parse_rendering(_rendering_arguments()), media_type=media_type)
    attributes = dcmread(instance.path, stop_before_pixels=True)
    return Response(rendering.render(frame_array(instance, number), attributes, number), content_type=media_type)


def _rendering_arguments() -> dict[str, str]:
    """The parameters of WADO-URI under the names of WADO-RS."""
    asked = request.args
    arguments = {"quality": asked.get("imageQuality", "")}
    if "windowCenter" in asked or "windowWidth" in asked:
        arguments["window"] = f"{asked.get('windowCenter', '')},{asked.get('windowWidth', '')}"
    if "rows" in asked or "columns" in asked:
        # Either side may be left open: the image fits into the other.
        arguments["viewport"] = f"{asked.get('columns', '8192')},{asked.get('rows', '8192')}"
    return arguments
