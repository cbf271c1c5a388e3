"""Whether an archive that is said to keep its hierarchy does: an image asked for below a study or series that is not its own.

Spec: SMART Imaging Access W3, group 10; DICOM PS3.18 §10.4.1 (an instance's address names its study and series).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.errors import ImagingError
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive, UpstreamRequest

AREA = Area("Archives: nginx in front")
_ANY_FORM = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_LIMIT = 1 << 20


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
    image = _any_image(archive)
    if image is None:
        return _not_tried(settings, "it lists no image to try with")
    if _status(archive, image) != 200:
        return _not_tried(settings, "the image that it lists first has no frame")
    elsewhere = (
        ("study", replace(image, study=StudyInstanceUID(_unknown_uid()))),
        ("series", replace(image, series=SeriesInstanceUID(_unknown_uid()))),
    )
    wrong = [level for level, address in elsewhere if _status(archive, address) != 404]
    if not wrong:
        return AREA.ok(f"Archive {settings.name} keeps its hierarchy: an image is not found below another study or series.")
    return AREA.fault(
        f"Archive {settings.name} does not answer 404 for an image that is asked for below another {' or '.join(wrong)}.",
        "Say keeps_hierarchy = false: with kept decisions (imaging-cds nginx --mode auth-request) another patient's image "
        "would be served. --mode accel checks each image here.",
    )


def _any_image(archive: Archive) -> DicomResource | None:
    """The first frame of whatever the archive lists first."""
    found = archive.search(STUDY_SEARCH, [("limit", "1")], limit=_LIMIT).datasets
    study = first_text(found[0], STUDY_INSTANCE_UID) if found else None
    if study is None:
        return None
    below = DicomResource(kind=Kind.SEARCH, level=Level.INSTANCE, study=StudyInstanceUID(study))
    for one in archive.search(below, [("limit", "1")], limit=_LIMIT).datasets:
        series, instance = first_text(one, SERIES_INSTANCE_UID), first_text(one, SOP_INSTANCE_UID)
        if series and instance:
            return DicomResource(
                kind=Kind.FRAMES,
                level=Level.INSTANCE,
                study=StudyInstanceUID(study),
                series=SeriesInstanceUID(series),
                instance=SopInstanceUID(instance),
                frames=(1,),
            )
    return None


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
