"""A hospital of any number of studies: ``python -m tests.benchmarks.sync_hospital NUMBER PACS_PORT FHIR_PORT``.

An archive that makes each study up when it is asked for it, and a FHIR server that keeps what it is given as text. Both are
quick, so that what is measured in another process is the synchronisation. The FHIR server's ``/counts``: resources by type.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl

from tests.contract.sync_kill_servers import Answer, Request, element, served
from tests.sr_actors import AReport
from tests.sync_actors import ACCESSIONS, MRN

NEWEST = date(2026, 6, 30)
STUDIES_A_DAY = 50
STUDIES_OF_PATIENT = 5
STUDIES_A_REPORT = 20
"""Each twentieth study has a structured report of a program beside its images."""
_NUMBERED = {"Patient": "DEMO", "ServiceRequest": "ACC"}
SERVED = ("Patient", "ServiceRequest", "ImagingStudy", "Endpoint", "Observation", "DiagnosticReport", "Device")


def oldest(number: int) -> date:
    """The day of the oldest of so many studies."""
    return NEWEST - timedelta(days=(number - 1) // STUDIES_A_DAY)


def has_report(index: int) -> bool:
    return index % STUDIES_A_REPORT == 0


def number_of_patient(index: int) -> int:
    return index // STUDIES_OF_PATIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyStudies:
    """The archive. Studies are numbered from the newest; of none of them anything is kept."""

    number: int
    report: str = field(default_factory=lambda: json.dumps(AReport().json()))

    def __call__(self, request: Request) -> Answer:
        parts = request.path.removeprefix("/dicom-web/").split("/")
        if len(parts) > 1:
            index = int(parts[1].split(".")[2])
            is_document = parts[-1] == "metadata"
            return Answer(200, [self._document(index)] if is_document else self._series(index, request))
        if uid := request.first("StudyInstanceUID"):
            return Answer(200, [self._study(int(uid.split(".")[2]))])
        first, _, last = request.first("StudyDate", f"{oldest(self.number):%Y%m%d}-{NEWEST:%Y%m%d}").partition("-")
        newest, end = (self._first_of(day) for day in (last, first))
        begin = newest + int(request.first("offset", "0"))
        end = min(end + STUDIES_A_DAY, begin + int(request.first("limit", "1000")), self.number)
        return Answer(200, [self._study(index) for index in range(begin, end)])

    def _first_of(self, day: str) -> int:
        return max(0, (NEWEST - date.fromisoformat(day)).days * STUDIES_A_DAY)

    def _study(self, index: int) -> dict[str, Any]:
        return {
            "0020000D": element("UI", f"2.25.{index}.600"),
            "00080020": element("DA", f"{NEWEST - timedelta(days=index // STUDIES_A_DAY):%Y%m%d}"),
            "00080030": element("TM", f"{index % 24:02}1500"),
            "00080050": element("SH", f"ACC-{index}"),
            "00080061": element("CS", "CT", *(["SR"] if has_report(index) else [])),
            "00080090": element("PN", {"Alphabetic": "Synthetic^Rita"}),
            "00081030": element("LO", "CT CHEST"),
            "00080201": element("SH", "+0100"),
            "00100020": element("LO", f"DEMO-{number_of_patient(index)}"),
            "00100021": element("LO", "DEMO"),
            "00201206": element("IS", 3 if has_report(index) else 2),
            "00201208": element("IS", 601 if has_report(index) else 600),
        }

    def _series(self, index: int, request: Request) -> list[dict[str, Any]]:
        """Each answer has all that was asked for, so that no file has to be read for what searches tell."""
        asked = {tag: element("LO") for key, tag in request.query if key == "includefield"}
        told = [(f"2.25.{index}.600.{one}", "CT", one, 300) for one in (1, 2)]
        told += [(f"2.25.{index}.6100", "SR", 100, 1)] if has_report(index) else []
        return [
            asked
            | {
                "0020000D": element("UI", f"2.25.{index}.600"),
                "0020000E": element("UI", uid),
                "00080060": element("CS", modality),
                "00200011": element("IS", number),
                "00201209": element("IS", images),
                "00080201": element("SH", "+0100"),
                "00180015": element("CS", "CHEST"),
            }
            for uid, modality, number, images in told
        ]

    def _document(self, index: int) -> dict[str, Any]:
        """The same report with UIDs and number of this study."""
        text = self.report.replace('"2.25.', f'"2.25.{index}.').replace('"SYN-1"', f'"DEMO-{number_of_patient(index)}"')
        made: dict[str, Any] = json.loads(text)
        return made


@dataclass(slots=True)
class ManyRecords:
    """The FHIR server: R4, found by identifier or tag, conditional creates, version-aware updates."""

    base: str
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    found_by: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def __call__(self, request: Request) -> Answer:
        if request.path == "/counts":
            return Answer(200, dict(Counter(kind for kind, _ in self.texts)))
        kind, _, resource_id = request.path.removeprefix("/fhir/").partition("/")
        if kind == "metadata":
            return Answer(200, _statement())
        if resource_id == "_search":
            return self._found(kind, dict(parse_qsl(request.body.decode())))
        if request.method == "POST":
            return self._create(kind, request)
        if request.method == "PUT":
            return self._update(kind, resource_id, request)
        return self._read(kind, resource_id) if resource_id else self._found(kind, dict(request.query))

    def _read(self, kind: str, resource_id: str) -> Answer:
        if kind in ("Patient", "ServiceRequest"):
            return Answer(200, _made_up(kind, f"{_NUMBERED[kind]}-{resource_id[1:]}"))
        stands = self.texts.get((kind, resource_id))
        return Answer(404, {"resourceType": "OperationOutcome"}) if stands is None else Answer(200, json.loads(stands))

    def _found(self, kind: str, asked: Mapping[str, str]) -> Answer:
        entries = [{"resource": one} for one in self._matches(kind, asked.get("identifier") or asked["_tag"])]
        return Answer(200, {"resourceType": "Bundle", "type": "searchset", "entry": entries})

    def _matches(self, kind: str, tokens: str) -> list[dict[str, Any]]:
        if kind in ("Patient", "ServiceRequest"):
            return [_made_up(kind, tokens.partition("|")[2])]
        ids = dict.fromkeys(one for token in tokens.split(",") for one in self.found_by.get((kind, token), ()))
        return [json.loads(self.texts[kind, one]) for one in ids]

    def _create(self, kind: str, request: Request) -> Answer:
        condition = dict(parse_qsl(request.headers.get("if-none-exist", "")))
        if standing := self._matches(kind, condition["identifier"]):
            return self._written(standing[0], 200)
        new_id, resource = str(len(self.texts) + 1), json.loads(request.body)
        tokens = {f"{one['system']}|{one['value']}" for one in resource["identifier"] if "system" in one}
        tokens |= {f"{one['system']}|{one['code']}" for one in resource["meta"].get("tag", ())}
        for token in sorted(tokens):
            if "imaging-cds" not in token:  # whose sync it is: nobody searches for that here, and it grows with all
                self.found_by.setdefault((kind, token), []).append(new_id)
        return self._put({**resource, "id": new_id}, "1", 201)

    def _update(self, kind: str, resource_id: str, request: Request) -> Answer:
        version = json.loads(self.texts[kind, resource_id])["meta"]["versionId"]
        if request.headers.get("if-match") != f'W/"{version}"':
            return Answer(412, {"resourceType": "OperationOutcome"})
        return self._put(json.loads(request.body), str(int(version) + 1), 200)

    def _put(self, resource: dict[str, Any], version: str, status: int) -> Answer:
        stands = {**resource, "meta": {**resource["meta"], "versionId": version}}
        self.texts[stands["resourceType"], stands["id"]] = json.dumps(stands)
        return self._written(stands, status)

    def _written(self, resource: dict[str, Any], status: int) -> Answer:
        version, place = resource["meta"]["versionId"], f"{self.base}/{resource['resourceType']}/{resource['id']}"
        return Answer(status, None, {"Location": f"{place}/_history/{version}", "ETag": f'W/"{version}"'})


def _statement() -> dict[str, Any]:
    kinds = [{"type": kind, "conditionalCreate": True} for kind in SERVED]
    rest = [{"mode": "server", "resource": kinds}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}


def _made_up(kind: str, value: str) -> dict[str, Any]:
    number = int(value.partition("-")[2])
    if kind == "Patient":
        return {"resourceType": kind, "id": f"p{number}", "identifier": [{"system": MRN, "value": value}]}
    subject = {"reference": f"Patient/p{number_of_patient(number)}"}
    identifier = [{"system": ACCESSIONS, "value": value}]
    return {"resourceType": kind, "id": f"o{number}", "status": "active", "identifier": identifier, "subject": subject}


def main(number: int, pacs_port: int, fhir_port: int) -> None:
    """Serves until it is ended."""
    records = ManyRecords(f"http://127.0.0.1:{fhir_port}/fhir")
    with served({pacs_port: ManyStudies(number=number), fhir_port: records}):
        threading.Event().wait()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
