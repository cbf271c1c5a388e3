"""Whether an archive that is said to keep its hierarchy does: an image asked for below a study or series that is not its own.

Spec: SMART Imaging Access W3, group 10; DICOM PS3.18 §10.4.1 (an instance's address names its study and series).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import uuid4

from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.errors import ImagingError
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive, UpstreamRequest

AREA = Area("Archives: nginx in front")
_ANY_FORM = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_LIMIT = 8 << 20
_STUDIES = 5
_INSTANCES = 200


def check_hierarchy(context: CheckContext) -> Iterator[Finding]:
    """Each archive of which ``keeps_hierarchy`` is said, asked with the gateway's own credential. No pixel is read."""
    for settings in context.site.archives if context.site else ():
        if settings.keeps_hierarchy:
            archive = Archive(settings)
            try:
                yield _judged(settings, archive)
            except ImagingError as error:
                yield _not_tried(settings, error.detail)
            finally:
                archive.close()


def _judged(settings: PacsSettings, archive: Archive) -> Finding:
    images = _an_image_of_each_series(archive)
    image = next((one for one in images if _status(archive, one) == 200), None)
    if image is None:
        return _not_tried(settings, "none of the images that it lists first has a frame" if images else "it lists no image")
    strangers = [one for one in images if one.study != image.study]
    if not strangers:
        return _not_tried(settings, "it lists one study only, and what is tried is an image below another study")
    wrong = [level for level, address in _elsewhere(image, images, strangers[0]) if _status(archive, address) != 404]
    if not wrong:
        return AREA.ok(f"Archive {settings.name} keeps its hierarchy: an image is not found below another study or series.")
    return AREA.fault(
        f"Archive {settings.name} does not answer 404 for an image that is asked for below another {wrong[0]}.",
        "Say keeps_hierarchy = false: with kept decisions (imaging-cds nginx --mode auth-request) another patient's image "
        "would be served. --mode accel checks each image here.",
    )


def _elsewhere(
    image: DicomResource, images: Sequence[DicomResource], stranger: DicomResource
) -> Iterator[tuple[str, DicomResource]]:
    """The image's address with UIDs that exist, each of another image: an archive may look each of them up by itself."""
    sister = next((one for one in images if one.study == image.study and one.series != image.series), stranger)
    yield "study and series", replace(image, study=stranger.study, series=stranger.series)
    yield "study", replace(image, study=stranger.study)
    yield "series", replace(image, series=sister.series)
    yield "series", replace(image, series=stranger.series)
    yield "study, which nobody has", replace(image, study=StudyInstanceUID(_unknown_uid()))
    yield "series, which nobody has", replace(image, series=SeriesInstanceUID(_unknown_uid()))


def _an_image_of_each_series(archive: Archive) -> list[DicomResource]:
    """The first frame of an instance of each series, in the studies that the archive lists first."""
    studies = archive.search(STUDY_SEARCH, [("limit", str(_STUDIES))], limit=_LIMIT).datasets[:_STUDIES]
    named = [uid for one in studies if is_uid(uid := first_text(one, STUDY_INSTANCE_UID) or "")]
    return [image for study in named for image in _images_of(archive, StudyInstanceUID(study))]


def _images_of(archive: Archive, study: StudyInstanceUID) -> list[DicomResource]:
    below = DicomResource(kind=Kind.SEARCH, level=Level.INSTANCE, study=study)
    by_series: dict[str, DicomResource] = {}
    for one in archive.search(below, [("limit", str(_INSTANCES))], limit=_LIMIT).datasets:
        series, instance = first_text(one, SERIES_INSTANCE_UID) or "", first_text(one, SOP_INSTANCE_UID) or ""
        if is_uid(series) and is_uid(instance):
            image = DicomResource(
                kind=Kind.FRAMES,
                level=Level.INSTANCE,
                study=study,
                series=SeriesInstanceUID(series),
                instance=SopInstanceUID(instance),
                frames=(1,),
            )
            by_series.setdefault(series, image)
    return list(by_series.values())


def _status(archive: Archive, image: DicomResource) -> int:
    answer = archive.ask(UpstreamRequest(resource=image, accept=_ANY_FORM))
    answer.close()
    return answer.status


def _unknown_uid() -> str:
    """A UID that nobody has (DICOM PS3.5 §B.2: made of a UUID)."""
    return f"2.25.{uuid4().int}"


def _not_tried(settings: PacsSettings, why: str) -> Finding:
    return AREA.warning(
        f"Whether archive {settings.name} keeps its hierarchy could not be tried: {why}.",
        "Try again when it has images; until then leave keeps_hierarchy = false, unless the vendor says so.",
    )
