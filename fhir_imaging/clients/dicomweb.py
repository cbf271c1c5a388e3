"""What a DICOMweb archive knows of its studies: searches and metadata, in the DICOM JSON model. No pixels.

An answer is never silently empty: what is no array of data sets is an error, and a search at the root that is not there too.

Spec: DICOM PS3.18 §8.3.4 (limit, offset, Warning 299), §10.4.1.1.2 (metadata), §10.6 (search), Annex F (DICOM JSON model).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.clients.archive_session import ArchiveAnswer, ArchiveSession, Query
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.settings import origin_of
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, series_uid, sop_uid, study_uid

# Alone: some archives answer 400 to a list of media types.
DICOM_JSON = "application/dicom+json"
DICOM_FILES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
DataSet = Mapping[str, Any]
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Matches:
    """One page of a search. ``more``: the archive says that it has more than it gave (206, or Warning 299)."""

    datasets: tuple[DataSet, ...]
    more: bool = False


class DicomwebClient:
    """One DICOMweb root. Thread-safe. UpstreamError where it cannot be asked, or answers with something else."""

    def __init__(self, root: str, session: ArchiveSession) -> None:
        self.root = root.rstrip("/")
        self.session = session
        self._server = origin_of(root)

    def studies(self, query: Query = (), *, limit: int | None = None, offset: int = 0) -> Matches:
        """Studies that match. UpstreamRefused (404) where there is no such service: that is not "no studies"."""
        found = self._search(f"{self.root}/studies", query, limit, offset)
        if found is None:
            raise UpstreamRefused("The archive has no search at its DICOMweb root.", server=self._server, status=404)
        return found

    def series(
        self, study: StudyInstanceUID, query: Query = (), *, limit: int | None = None, offset: int = 0
    ) -> Matches | None:
        """Series of a study; None when the archive does not have the study."""
        return self._search(f"{self._study(study)}/series", query, limit, offset)

    def instances(
        self,
        study: StudyInstanceUID,
        series: SeriesInstanceUID,
        query: Query = (),
        *,
        limit: int | None = None,
        offset: int = 0,
    ) -> Matches | None:
        """Instances of a series; None when the archive does not have it."""
        return self._search(f"{self._series(study, series)}/instances", query, limit, offset)

    def metadata(
        self, study: StudyInstanceUID, series: SeriesInstanceUID | None = None, instance: SopInstanceUID | None = None
    ) -> tuple[DataSet, ...] | None:
        """All attributes but the large ones, of each instance of a study, of a series, or of one; None when it is not there."""
        address = self._study(study) if series is None else self._series(study, series)
        if instance is not None:
            if series is None:
                raise ValueError("an instance is addressed within its series")
            address += f"/instances/{sop_uid(instance)}"
        answer = self.session.ask(f"{address}/metadata", accept=DICOM_JSON)
        return None if answer is None else self._datasets(answer)

    def instance(self, study: StudyInstanceUID, series: SeriesInstanceUID, instance: SopInstanceUID) -> bytes | None:
        """The file of one instance, in the transfer syntax that the archive has it in; None when it is not there."""
        address = f"{self._series(study, series)}/instances/{sop_uid(instance)}"
        answer = self.session.fetch(address, accept=DICOM_FILES)
        if answer is None:
            return None
        part = only_part(*answer)
        if part is None:
            raise UpstreamError("The archive sent something else than one DICOM file.", server=self._server)
        return part

    def close(self) -> None:
        """Closes all connections."""
        self.session.close()

    def _search(self, address: str, query: Query, limit: int | None, offset: int) -> Matches | None:
        paging = [] if limit is None else [("limit", str(limit))]
        if offset:
            paging.append(("offset", str(offset)))
        answer = self.session.ask(address, [*query, *paging], accept=DICOM_JSON)
        if answer is None:
            return None
        remark = answer.headers.get("Warning", "").strip().lower()
        # The standard has one code for two remarks (PS3.18 §8.3.4.2, §8.3.4.4); only their words tell them apart.
        more = answer.status == 206 or (remark.startswith("299") and "fuzzymatching" not in remark)
        return Matches(self._datasets(answer), more)

    def _datasets(self, answer: ArchiveAnswer) -> tuple[DataSet, ...]:
        if answer.status == 204:
            return ()
        if not isinstance(answer.content, list) or not all(isinstance(one, dict) for one in answer.content):
            raise UpstreamError("The archive's JSON holds no data sets.", server=self._server, status=answer.status)
        return tuple(answer.content)

    def _study(self, study: StudyInstanceUID) -> str:
        return f"{self.root}/studies/{study_uid(study)}"

    def _series(self, study: StudyInstanceUID, series: SeriesInstanceUID) -> str:
        return f"{self._study(study)}/series/{series_uid(series)}"


def only_part(body: bytes, content_type: str) -> bytes | None:
    """The file inside a multipart answer (RFC 2046 §5.1), or an answer that is the file itself; None for anything else."""
    if body[128:132] == b"DICM":
        return body
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return None
    mark = b"--" + (boundary[1] or boundary[2]).encode("latin-1")
    _, _, rest = body.partition(mark)
    head, _, content = rest.partition(b"\r\n\r\n")
    part, end, after = content.partition(b"\r\n" + mark)
    is_one = bool(end) and after.startswith(b"--") and b"\r\n" in head
    return part if is_one and part[128:132] == b"DICM" else None
