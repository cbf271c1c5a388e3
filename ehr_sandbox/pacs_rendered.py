"""WADO-RS rendered images and thumbnails at every level.

Spec: PS3.18 §10.4.1.1.3 (rendered resources), §10.4.1.1.5 (thumbnails), §8.3.5 (rendering parameters). For a
study or series asked for as one image the middle image of its first series with pixels stands for it; asked
for as ``multipart/related`` each of its images is sent, at its first frame.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from flask import Blueprint, Response, request
from pydicom import dcmread
from werkzeug.exceptions import BadRequest, NotAcceptable

from ehr_sandbox.dicomweb_multipart import Part
from ehr_sandbox.dicomweb_rendering import MAXIMUM_VIEWPORT_PIXELS, Rendering, Viewport, VoiFunction, Window
from ehr_sandbox.pacs_archive import InstanceFile, archive
from ehr_sandbox.pacs_frames import parse_frame_list, pixels_of
from ehr_sandbox.pacs_pixels import can_decode, frame_array
from ehr_sandbox.pacs_wado import acceptable, multipart_response

blueprint = Blueprint("pacs_rendered", __name__)

RENDERED_MEDIA_TYPES = ("image/jpeg", "image/png")
THUMBNAIL_VIEWPORT = Viewport(width=128, height=128)

_Parsed = TypeVar("_Parsed")

_STUDY = "/studies/<uid:study_uid>"
_SERIES = f"{_STUDY}/series/<uid:series_uid>"
_INSTANCE = f"{_SERIES}/instances/<uid:sop_uid>"
_FRAMES = f"{_INSTANCE}/frames/<frame_list>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """One frame to render."""

    instance: InstanceFile
    frame_number: int

    def render(self, rendering: Rendering) -> bytes:
        attributes = dcmread(self.instance.path, stop_before_pixels=True)
        return rendering.render(frame_array(self.instance, self.frame_number), attributes, self.frame_number)


@blueprint.get(f"{_STUDY}/rendered")
@blueprint.get(f"{_SERIES}/rendered")
@blueprint.get(f"{_INSTANCE}/rendered")
@blueprint.get(f"{_FRAMES}/rendered")
def retrieve_rendered(
    study_uid: str, series_uid: str | None = None, sop_uid: str | None = None, frame_list: str | None = None
) -> Response:
    """Images with the image's own window unless the query gives one."""
    pictures = _pictures(archive().instances(study_uid, series_uid, sop_uid), frame_list)
    media_type, multipart = acceptable().select_rendered(RENDERED_MEDIA_TYPES)
    rendering = replace(parse_rendering(request.args), media_type=media_type)
    if not multipart:
        if frame_list is not None and len(pictures) > 1:
            raise NotAcceptable("Several frames are sent as multipart/related only.")
        return Response(_representative(pictures).render(rendering), content_type=media_type)
    parts = [Part(content_type=media_type, body=functools.partial(_one_piece, picture, rendering)) for picture in pictures]
    return multipart_response(parts, media_type)


@blueprint.get(f"{_STUDY}/thumbnail")
@blueprint.get(f"{_SERIES}/thumbnail")
@blueprint.get(f"{_INSTANCE}/thumbnail")
@blueprint.get(f"{_FRAMES}/thumbnail")
def retrieve_thumbnail(
    study_uid: str, series_uid: str | None = None, sop_uid: str | None = None, frame_list: str | None = None
) -> Response:
    """One small image that stands for the resource."""
    pictures = _pictures(archive().instances(study_uid, series_uid, sop_uid), frame_list)
    media_type, _ = acceptable().select_rendered(RENDERED_MEDIA_TYPES)
    asked = parse_rendering(request.args)
    rendering = replace(asked, media_type=media_type, viewport=asked.viewport or THUMBNAIL_VIEWPORT)
    return Response(_representative(pictures).render(rendering), content_type=media_type)


def _pictures(instances: list[InstanceFile], frame_list: str | None) -> list[_Picture]:
    if frame_list is not None:
        (instance,) = instances
        numbers = parse_frame_list(frame_list, pixels_of(instance).number_of_frames)
        return [_Picture(instance=instance, frame_number=number) for number in numbers]
    shown = [one for one in instances if one.pixels is not None and can_decode(one.transfer_syntax_uid)]
    if not shown:
        raise NotAcceptable("There is nothing to be rendered as an image.")
    return [_Picture(instance=instance, frame_number=1) for instance in shown]


def _representative(pictures: list[_Picture]) -> _Picture:
    series_uid = pictures[0].instance.series_uid
    of_first_series = [picture for picture in pictures if picture.instance.series_uid == series_uid]
    return of_first_series[len(of_first_series) // 2]


def _one_piece(picture: _Picture, rendering: Rendering) -> Iterable[bytes]:
    yield picture.render(rendering)


def parse_rendering(arguments: Mapping[str, str]) -> Rendering:
    """Reads ``window``, ``viewport`` and ``quality``; 400 names the parameter that cannot be understood."""
    return Rendering(
        window=_parsed(arguments, "window", _window),
        viewport=_parsed(arguments, "viewport", _viewport),
        quality=_parsed(arguments, "quality", _quality) or Rendering().quality,
    )


def _parsed(arguments: Mapping[str, str], name: str, parse: Callable[[str], _Parsed]) -> _Parsed | None:
    text = arguments.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise BadRequest(f"The parameter {name} cannot be understood.") from error


def _window(text: str) -> Window:
    center, width, *function = text.split(",")
    # PS3.18 §8.3.5.1.4 writes the functions in lower case with a hyphen, the attribute in capitals.
    name = function[0].upper().replace("-", "_") if function else VoiFunction.LINEAR
    return Window(center=float(center), width=float(width), function=VoiFunction(name))


def _viewport(text: str) -> Viewport:
    pieces = text.split(",")
    width, height = int(pieces[0]), int(pieces[1])
    if not (1 <= width <= MAXIMUM_VIEWPORT_PIXELS and 1 <= height <= MAXIMUM_VIEWPORT_PIXELS):
        raise ValueError("the viewport has no usable size")
    if len(pieces) == 2:
        return Viewport(width=width, height=height)
    x, y, region_width, region_height = (float(piece) for piece in pieces[2:])
    if not (abs(region_width) >= 1 and abs(region_height) >= 1 and max(map(abs, (x, y))) < 1e6):
        raise ValueError("the region has no usable size")
    return Viewport(width=width, height=height, region=(x, y, region_width, region_height))


def _quality(text: str) -> int:
    quality = int(text)
    if not 1 <= quality <= 100:
        raise ValueError("the quality is not between 1 and 100")
    return quality
