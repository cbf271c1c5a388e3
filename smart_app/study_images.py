"""What became of a study's images, in words, and where one picture of them is.

Spec: smart-launch.md §8 (study without usable endpoint); SMART Imaging Access C3-C6, P1; PS3.18 §10.4.1.1.3 (rendered),
PS3.3 Instance Availability (0008,0056).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from fhir_imaging.endpoints import EndpointState, ResolvedEndpoint
from fhir_imaging.settings import origin_of
from fhir_imaging.study import DERIVED_MODALITIES, ImagingStudy, concept_code
from fhir_imaging.tolerant import dicts, text
from smart_app.ohif_config import WadoRoot

THUMBNAIL_PIXELS = 192
"""Edge of a thumbnail: twice what the list shows, for screens of high density."""


class Availability(StrEnum):
    """What the list can say of images; the row carries it as an attribute."""

    ONLINE = "online"
    ARCHIVED = "archived"
    OFFLINE = "offline"
    GONE = "gone"
    PENDING = "pending"
    NO_SERVER = "no-server"
    SERVER_OFF = "server-off"
    NOT_PERMITTED = "not-permitted"
    NOT_USABLE = "not-usable"


ENDPOINT_WORDS = {
    EndpointState.USABLE: "Images available",
    EndpointState.MISSING: "No image server named",
    EndpointState.OTHER_VIEWER: "Images only in another viewer",
    EndpointState.INACTIVE: "Image server switched off",
    EndpointState.UNRESOLVED: "Image server not described",
    EndpointState.ORIGIN_REFUSED: "Image server not allowed here",
}
ARCHIVE_WORDS = {
    Availability.ARCHIVED: "In the archive: opening may take some minutes",
    Availability.OFFLINE: "Kept offline: ask the archive to bring the images back",
    Availability.GONE: "Images no longer available",
}
PENDING_WORDS = "Registered, no images yet"
ENDPOINT_NOT_PERMITTED = "Not permitted: the EHR does not say where the images are"
TOKEN_NOT_WANTED = "Image server does not take this sign-in"  # noqa: S105 - words for people
ADDRESS_NOT_USABLE = "Image server's address not usable by the viewer"

PATIENT_WORDS = {
    Availability.ONLINE: "Pictures available",
    Availability.ARCHIVED: "Pictures are in the archive: opening may take some minutes",
    Availability.OFFLINE: "Pictures are kept elsewhere: ask the imaging department if you need them",
    Availability.GONE: "Pictures are no longer kept",
    Availability.PENDING: "No pictures yet",
    Availability.NO_SERVER: "Pictures cannot be shown here",
    Availability.SERVER_OFF: "Pictures cannot be shown just now",
    Availability.NOT_PERMITTED: "Pictures cannot be shown here",
    Availability.NOT_USABLE: "Pictures cannot be shown here",
}
"""The same for a reader who is the patient or a related person."""

_OF_STATE = {
    EndpointState.USABLE: Availability.ONLINE,
    EndpointState.MISSING: Availability.NO_SERVER,
    EndpointState.OTHER_VIEWER: Availability.NOT_USABLE,
    EndpointState.INACTIVE: Availability.SERVER_OFF,
    EndpointState.UNRESOLVED: Availability.NO_SERVER,
    EndpointState.ORIGIN_REFUSED: Availability.NOT_PERMITTED,
}
_OF_DICOM = {
    "ONLINE": Availability.ONLINE,
    "NEARLINE": Availability.ARCHIVED,
    "OFFLINE": Availability.OFFLINE,
    "UNAVAILABLE": Availability.GONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyImages:
    """``address`` is the DICOMweb base where the images may be fetched from, None = they cannot be opened.

    ``left_out`` are further addresses of images that can be opened, whose servers are not allowed.
    """

    availability: Availability
    words: str
    address: str | None = None
    refused_address: str | None = None
    left_out: tuple[str, ...] = ()


def images_of(
    study: ImagingStudy, resource: Mapping[str, Any], resolved: ResolvedEndpoint, *, without_endpoints: bool = False
) -> StudyImages:
    """What is said of the images; ``without_endpoints``: the server refused to give Endpoints at all."""
    if study.number_of_instances == 0 or (study.status == "registered" and resolved.endpoint is None):
        return StudyImages(availability=Availability.PENDING, words=PENDING_WORDS)
    stated = _stated_availability(resource)
    if stated in (Availability.OFFLINE, Availability.GONE):
        return StudyImages(availability=stated, words=ARCHIVE_WORDS[stated])
    found = _reachable(resolved, without_endpoints=without_endpoints)
    if found.address is None or stated is not Availability.ARCHIVED:
        return found
    return replace(found, availability=stated, words=ARCHIVE_WORDS[stated])


def thumbnail_of(study: ImagingStudy, address: str) -> str | None:
    """The address of one small picture of the largest series that holds images; None where the study has none.

    Archives without thumbnails (Orthanc among them) render a series at a given size, and so do those with them.
    """
    acquired = [one for one in study.series if one.modality not in DERIVED_MODALITIES]
    if study.series and not acquired:
        return None
    if not acquired and study.modalities and not set(study.modalities) - DERIVED_MODALITIES:
        return None
    base = f"{address}/studies/{study.study_instance_uid}"
    size = f"rendered?viewport={THUMBNAIL_PIXELS},{THUMBNAIL_PIXELS}"
    if not acquired:
        return f"{base}/{size}"
    return f"{base}/series/{max(acquired, key=lambda one: one.instances or 0).uid}/{size}"


def _reachable(resolved: ResolvedEndpoint, *, without_endpoints: bool) -> StudyImages:
    if resolved.endpoint is None:
        if without_endpoints and resolved.state is EndpointState.UNRESOLVED:
            return StudyImages(availability=Availability.NOT_PERMITTED, words=ENDPOINT_NOT_PERMITTED)
        return StudyImages(
            availability=_OF_STATE[resolved.state],
            words=ENDPOINT_WORDS[resolved.state],
            refused_address=resolved.address if resolved.state is EndpointState.ORIGIN_REFUSED else None,
        )
    if not resolved.endpoint.send_token:
        return StudyImages(availability=Availability.NOT_PERMITTED, words=TOKEN_NOT_WANTED)
    address = _as_browsers_write(resolved.endpoint.address)
    try:
        WadoRoot(name="images", title="images", root=address)
    except ValueError:
        # A capability in a query, say: the viewer appends paths to the base and would lose it.
        return StudyImages(availability=Availability.NOT_USABLE, words=ADDRESS_NOT_USABLE)
    return StudyImages(
        availability=Availability.ONLINE,
        words=ENDPOINT_WORDS[resolved.state],
        address=address,
        left_out=resolved.refused,
    )


def _as_browsers_write(address: str) -> str:
    """With the origin as browsers write it: the viewer gives the token only to what begins like its root, letter for letter."""
    return urlsplit(address)._replace(netloc=origin_of(address).partition("://")[2]).geturl()


def _stated_availability(resource: Mapping[str, Any]) -> Availability | None:
    """DICOM's word for how near the images are: an element of STU3 that lived on, and extensions in later versions."""
    candidates = [text(resource.get("availability"))]
    for extension in dicts(resource.get("extension")):
        if (text(extension.get("url")) or "").lower().endswith("availability"):
            coded = extension.get("valueCodeableConcept") or extension.get("valueCoding")
            candidates += [text(extension.get("valueCode")), text(extension.get("valueString")), concept_code(coded)]
    return next((_OF_DICOM[word.upper()] for word in candidates if word and word.upper() in _OF_DICOM), None)
