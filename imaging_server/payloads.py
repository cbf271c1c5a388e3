"""What an archive says, as callers may read it: addresses become the gateway's, and data sets are checked against the request.

Spec: DICOM PS3.18 §8.4, Annex F.2; SMART Imaging Access groups 10, 14 and 17.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, first_text, rewrite_urls
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import origin_of
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.resource import DicomResource, parse_path


class GatewayAddresses:
    """Translates one archive's addresses to the gateway's, for one EHR's callers."""

    def __init__(self, *, archive_root: str, gateway_root: str) -> None:
        self._archive_root = archive_root.rstrip("/")
        self._archive_origin, self._archive_path, self._is_plain = _taken_apart(self._archive_root)
        self._gateway_root = gateway_root.rstrip("/")

    def rewriter(self, asked: DicomResource, study: StudyInstanceUID) -> Callable[[str], str | None]:
        """Rewrites addresses of ``study`` in the answer to ``asked``; None for every other address, which nobody may follow.

        Relative addresses are resolved against the archive's own address of ``asked``.
        """
        base = self._archive_root + asked.path

        def rewrite(address: str) -> str | None:
            if address == base and asked.study == study and self._is_plain:
                return self._gateway_root + asked.path  # what a frame says of itself, and all of its archive's words
            resource = self._resource(base, address)
            if resource is None or resource.study != study:
                return None
            return self._gateway_root + resource.path

        return rewrite

    def _resource(self, base: str, address: str) -> DicomResource | None:
        if not address:
            return None
        try:
            absolute = urljoin(base, address)
            parts = urlsplit(absolute)
            origin = origin_of(absolute)
        except ValueError:
            return None
        if origin != self._archive_origin or parts.username or parts.query or parts.fragment:
            return None
        if not parts.path.startswith(self._archive_path + "/"):
            return None
        return parse_path(parts.path.removeprefix(self._archive_path))


@lru_cache(maxsize=64)  # there are as many as the site has archives
def _taken_apart(archive_root: str) -> tuple[str, str, bool]:
    """Origin and path, and whether there is nothing else."""
    parts = urlsplit(archive_root)
    return origin_of(archive_root), parts.path, not (parts.username or parts.query or parts.fragment)


def metadata_for_caller(
    datasets: Sequence[Mapping[str, Any]], asked: DicomResource, addresses: GatewayAddresses, *, server: str
) -> list[dict[str, Any]]:
    """Metadata of exactly what was asked, with the gateway's addresses.

    UpstreamError when the archive mixes in anything of another study, series or instance: then nothing of it goes down (W5).
    """
    if asked.study is None or not all(_says_of_itself(one, asked) for one in datasets):
        raise UpstreamError("The archive answered about something else than what was asked.", server=server)
    rewrite = addresses.rewriter(asked, asked.study)
    return _rewritten(datasets, lambda one: rewrite_urls(one, rewrite), server)


def matches_for_caller(
    datasets: Sequence[Mapping[str, Any]],
    asked: DicomResource,
    visible: frozenset[StudyInstanceUID],
    addresses: GatewayAddresses,
    *,
    server: str,
) -> list[dict[str, Any]]:
    """The matches of a search that belong to ``visible`` studies, with the gateway's addresses; all others are left out.

    A match that does not say which study it belongs to is left out too: the archive's filter is never trusted (group 14).
    """
    kept = []
    for dataset in datasets:
        study = first_text(dataset, STUDY_INSTANCE_UID)
        if study in visible and _says_of_itself(dataset, asked):
            kept.append(dataset)
    return _rewritten(
        kept,
        lambda one: rewrite_urls(one, addresses.rewriter(asked, StudyInstanceUID(first_text(one, STUDY_INSTANCE_UID) or ""))),
        server,
    )


def _says_of_itself(dataset: Mapping[str, Any], asked: DicomResource) -> bool:
    named = ((STUDY_INSTANCE_UID, asked.study), (SERIES_INSTANCE_UID, asked.series), (SOP_INSTANCE_UID, asked.instance))
    return all(uid is None or first_text(dataset, tag) == uid for tag, uid in named)


def _rewritten(
    datasets: Sequence[Mapping[str, Any]], rewrite: Callable[[Mapping[str, Any]], dict[str, Any]], server: str
) -> list[dict[str, Any]]:
    try:
        return [rewrite(one) for one in datasets]
    except RecursionError as exc:
        raise UpstreamError("The archive's JSON is nested too deeply.", server=server) from exc
