"""STOW-RS: stores the instances of a multipart request, each by itself, and says what became of each.

Spec: PS3.18 §10.5 (store transaction) and Annex I.2 (store response, failure reasons).
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, json, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from ehr_sandbox.dicomweb_accept import DICOM, DICOM_JSON, MULTIPART, parse_media_type
from ehr_sandbox.dicomweb_json import JsonDataset
from ehr_sandbox.dicomweb_multipart import MalformedMultipart, PartReader
from ehr_sandbox.pacs_archive import Archive, archive
from ehr_sandbox.pacs_header import InstanceHeader, UnreadableInstance, read_header
from ehr_sandbox.pacs_index import DuplicateInstance
from ehr_sandbox.pacs_wado import acceptable

blueprint = Blueprint("pacs_stow", __name__)

DUPLICATE_SOP_INSTANCE = 0x0111
OTHER_STUDY = 0xA901
CANNOT_UNDERSTAND = 0xC000

_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_SEQUENCE = "00081199"
_OTHER_FAILURES_SEQUENCE = "0008119A"
_RETRIEVE_URL = "00081190"


@dataclass(slots=True)
class StoreReport:
    """What became of each instance of a request."""

    stored: list[InstanceHeader] = field(default_factory=list)
    failed: list[tuple[InstanceHeader | None, int]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """200 when all were stored, 202 when some were, 409 when none was (PS3.18 §10.5.3.1)."""
        if not self.failed:
            return 200
        return 202 if self.stored else 409

    def dataset(self, home: Archive) -> JsonDataset:
        """The store response (PS3.18 table I.2-1); unreadable instances have no UIDs to be named by."""
        model: dict[str, list[Any]] = {
            _FAILED_SOP_SEQUENCE: [_failed_item(header, reason) for header, reason in self.failed if header],
            _REFERENCED_SOP_SEQUENCE: [_stored_item(header, home) for header in self.stored],
            _OTHER_FAILURES_SEQUENCE: [_failure_reason(reason) for header, reason in self.failed if header is None],
        }
        response: JsonDataset = {tag: {"vr": "SQ", "Value": items} for tag, items in model.items() if items}
        studies = {header.study_uid for header in self.stored}
        if len(studies) == 1:
            response[_RETRIEVE_URL] = {"vr": "UR", "Value": [home.urls.study(studies.pop())]}
        return dict(sorted(response.items()))


@blueprint.post("/studies")
@blueprint.post("/studies/<uid:study_uid>")
def store(study_uid: str | None = None) -> Response:
    """Stores the parts; with a study in the path, only instances of that study."""
    media_type = acceptable().select_plain([DICOM_JSON, "application/json"])
    reader = PartReader(request.stream.read, _boundary().encode("ascii"))
    report = StoreReport()
    try:
        for path in _received(reader, archive().storage_dir):
            _store_one(path, study_uid, report)
    except MalformedMultipart as error:
        raise BadRequest(f"The multipart body is malformed: {error}.") from error
    if not report.stored and not report.failed:
        raise BadRequest("The request holds no instance.")
    return Response(json.dumps(report.dataset(archive())), status=report.status, content_type=media_type)


def _boundary() -> str:
    media_type, parameters = parse_media_type(request.headers.get("Content-Type") or "none/none")
    if media_type != MULTIPART or parameters.get("type", DICOM).lower() != DICOM:
        raise UnsupportedMediaType(f'Instances are stored as {MULTIPART}; type="{DICOM}".')
    boundary = parameters.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise BadRequest("The Content-Type names no usable boundary.")
    return boundary


def _received(reader: PartReader, storage_dir: Path) -> Iterator[Path]:
    """Each part as a temporary file, which is removed unless it was moved away."""
    incoming = storage_dir / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for _, body in reader.parts():  # a part is what its bytes say, whatever its header calls it
        descriptor, name = tempfile.mkstemp(dir=incoming, suffix=".part")
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in body:
                    file.write(piece)
            yield path
        finally:
            path.unlink(missing_ok=True)


def _store_one(path: Path, study_uid: str | None, report: StoreReport) -> None:
    try:
        header = read_header(path)
    except UnreadableInstance:
        report.failed.append((None, CANNOT_UNDERSTAND))
        return
    if study_uid is not None and header.study_uid != study_uid:
        report.failed.append((header, OTHER_STUDY))
        return
    # The name is made from the UIDs by a digest, so nothing that a client wrote becomes part of a path.
    digest = sha256(f"{header.study_uid} {header.sop_uid}".encode()).hexdigest()
    destination = archive().storage_dir / "stored" / digest[:2] / f"{digest}.dcm"
    try:
        archive().index.add_file(header, path, destination)
    except DuplicateInstance:
        report.failed.append((header, DUPLICATE_SOP_INSTANCE))
        return
    report.stored.append(header)


def _stored_item(header: InstanceHeader, home: Archive) -> JsonDataset:
    url = home.urls.instance(header.study_uid, header.series_uid, header.sop_uid)
    return {**_sop_reference(header), _RETRIEVE_URL: {"vr": "UR", "Value": [url]}}


def _failed_item(header: InstanceHeader, reason: int) -> JsonDataset:
    return {**_sop_reference(header), **_failure_reason(reason)}


def _sop_reference(header: InstanceHeader) -> JsonDataset:
    return {
        "00081150": {"vr": "UI", "Value": [header.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [header.sop_uid]},
    }


def _failure_reason(reason: int) -> JsonDataset:
    return {"00081197": {"vr": "US", "Value": [reason]}}
