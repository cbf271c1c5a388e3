"""One study of the patient at its WADO-RS address, and every kind of request that images are asked for with.

Spec: DICOM PS3.18 §10.4.1, §8.7; SMART Imaging Access C5, C6, W1, W2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.endpoints import ResolvedEndpoint
from fhir_imaging.study import ImagingStudy
from fhir_imaging.tolerant import as_dict, as_list, dicts
from fhir_imaging.uids import is_uid
from imaging_cds.check_gateway_probe import IMAGE_LIMIT, JSON_LIMIT, Probe, Question
from imaging_cds.check_gateway_report import NotTried

DICOM_JSON = "application/dicom+json"
ANY_DICOM = "multipart/related; type=application/dicom; transfer-syntax=*"
ANY_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
PICTURE = "image/jpeg"
STUDY, SERIES, SOP, _ROWS = "0020000D", "0020000E", "00080018", "00280010"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """``address`` is the Endpoint's. ``series`` and ``instance`` are None where the server did not say what the study holds."""

    address: str
    study: str
    series: str | None = None
    instance: str | None = None
    has_pixels: bool = False
    metadata: tuple[Mapping[str, Any], ...] = ()

    def url(self, path: str) -> str:
        """The address with a path added in front of its query, which may carry a capability (C6)."""
        base, mark, query = self.address.partition("?")
        return f"{base.rstrip('/')}{path}{mark}{query}"

    @property
    def study_path(self) -> str:
        """Of the study."""
        return f"/studies/{self.study}"

    @property
    def series_path(self) -> str:
        """Of one series; NotTried where none is known."""
        if self.series is None:
            raise NotTried("Neither metadata nor ImagingStudy.series names a series of the study.")
        return f"{self.study_path}/series/{self.series}"

    @property
    def instance_path(self) -> str:
        """Of one instance; NotTried where none is known."""
        if self.series is None or self.instance is None:
            raise NotTried("Neither metadata nor ImagingStudy.series.instance names an instance of the study.")
        return f"{self.series_path}/instances/{self.instance}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: what it is called, its path and what it asks for."""

    name: str
    path: str
    accept: str

    @property
    def limit(self) -> int:
        """How much of the answer is read."""
        return JSON_LIMIT if self.accept == DICOM_JSON else IMAGE_LIMIT


def kinds_of(images: Images) -> list[Kind]:
    """Every kind of request about the study, as deep as its contents are known."""
    levels = [("study", images.study_path)]
    if images.series is not None:
        levels.append(("series", images.series_path))
    if images.series is not None and images.instance is not None:
        levels.append(("instance", images.instance_path))
    kinds = [
        kind
        for level, path in levels
        for kind in (
            Kind(level, path, ANY_DICOM),
            Kind(f"metadata of {level}", f"{path}/metadata", DICOM_JSON),
            Kind(f"rendered {level}", f"{path}/rendered", PICTURE),
            Kind(f"thumbnail of {level}", f"{path}/thumbnail", PICTURE),
        )
    ]
    kinds += [Kind("series list", f"{images.study_path}/series", DICOM_JSON)]
    kinds += [Kind("instance list", f"{images.study_path}/instances", DICOM_JSON)]
    if len(levels) == 3:
        kinds.append(Kind("frames", f"{images.instance_path}/frames/1", ANY_FRAMES))
    return kinds


def asked(images: Images, kind: Kind, token: str | None, *, method: str = "GET") -> Question:
    """The question of one kind."""
    return Question(url=images.url(kind.path), token=token, accept=kind.accept, limit=kind.limit, method=method)


def images_of(probe: Probe, token: str, study: ImagingStudy, place: ResolvedEndpoint) -> Images:
    """The study where its Endpoint says; with a series and an instance, one with pixels where there is one."""
    uid = str(study.study_instance_uid)
    address = place.endpoint.address if place.endpoint else ""
    bare = Images(address=address, study=uid)
    reply = probe.ask(asked(bare, Kind("metadata", f"/studies/{uid}/metadata", DICOM_JSON), token))
    datasets = tuple(dicts(reply.json())) if reply.is_served else ()
    usable = [one for one in datasets if is_uid(value(one, SERIES)) and is_uid(value(one, SOP))]
    chosen = next((one for one in usable if _ROWS in one), usable[0] if usable else None)
    if chosen is not None:
        series, instance = value(chosen, SERIES), value(chosen, SOP)
        has_pixels = _ROWS in chosen
        return Images(address=address, study=uid, series=series, instance=instance, has_pixels=has_pixels, metadata=datasets)
    return Images(address=address, study=uid, series=next((one.uid for one in study.series), None))


def value(dataset: Mapping[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM JSON; empty where there is none."""
    values = as_list(as_dict(dataset.get(tag)).get("Value"))
    return values[0] if values and isinstance(values[0], str) else ""


def addresses_in(described: object, attributes: Collection[str] = ()) -> Iterator[str]:
    """Where DICOM JSON points, at any depth: its BulkDataURIs, and the values of these attributes."""
    if isinstance(described, list):
        yield from (address for inside in described for address in addresses_in(inside, attributes))
    for name, inside in as_dict(described).items():
        if name == "BulkDataURI" and isinstance(inside, str):
            yield inside
        elif name.upper() in attributes:
            yield from (one for one in as_list(as_dict(inside).get("Value")) if isinstance(one, str))
        else:
            yield from addresses_in(inside, attributes)


def studies_in(datasets: object) -> set[str]:
    """The Study Instance UIDs that a DICOM JSON answer names."""
    return {value(one, STUDY) for one in dicts(datasets)} - {""}
