"""A DICOMweb archive of studies in memory, with the habits of real ones switched on one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, json, request

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.settings import PacsSettings
from tests.conftest import free_port_number, serving

UPDATED = "0008041F"
JSON = "application/dicom+json"


def element(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


@dataclass
class HeldSeries:
    """A series; ``whole`` is what only the files of its instances say."""

    uid: str
    modality: str = "CT"
    instances: int = 2
    whole: dict[str, Any] = field(default_factory=dict)

    def instance(self, number: int) -> str:
        return f"{self.uid}.{number}"


@dataclass
class HeldStudy:
    """A study; ``updated`` as the archive writes its update time."""

    uid: str
    day: str = "20260310"
    patient: str = "MRN-1"
    issuer: str = "DEMO"
    accession: str = "A1"
    description: str = "CT chest"
    updated: str = "20260310080000"
    series: list[HeldSeries] = field(default_factory=list)
    availability: str | None = None

    def __post_init__(self) -> None:
        self.series = self.series or [HeldSeries(f"{self.uid}.1")]


@dataclass
class HeldArchive:
    """Answers searches and metadata of its studies, newest last. What it does not do as it should is said by its flags."""

    studies: list[HeldStudy] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers_seen: list[dict[str, str]] = field(default_factory=list)
    overlooks_offset: bool = False
    overlooks_limit: bool = False
    cap: int | None = None
    says_more: bool = False
    counts: bool = True
    counts_of_series: bool = True
    has_update_times: bool = False
    searches_update_times: bool = True
    refuses_includefield: bool = False
    tells_all: bool = False
    instead: Callable[[str], Response | None] = lambda path: None
    """What to answer to a path below the root instead."""
    before: Callable[[str], None] = lambda path: None
    """Happens before a request is answered."""

    def app(self) -> Flask:
        app = Flask("held-archive", static_folder=None)
        app.add_url_rule("/dicom-web/<path:path>", view_func=self._answer)
        return app

    def paths(self, ending: str = "") -> list[str]:
        return [one for one in self.asked if one.partition("?")[0].endswith(ending)]

    def _answer(self, path: str) -> Response:
        self.before(path)
        self.asked.append(f"{path}?{request.query_string.decode()}")
        self.headers_seen.append(dict(request.headers))
        instead = self.instead(path)
        if instead is not None:
            return instead
        if self.refuses_includefield and "includefield" in request.args:
            return Response("unknown attribute", 400)
        parts = path.split("/")
        found = [one for one in self.studies if len(parts) < 2 or one.uid == parts[1]]
        if len(parts) == 1:
            return self._page([self._study(one) for one in found if self._matches(one)])
        if not found:
            return Response("no such study", 404)
        series = [one for study in found for one in study.series if len(parts) < 4 or one.uid == parts[3]]
        if not series:
            return Response("no such series", 404)
        if parts[-1] == "series":
            return self._page([self._series(study, one) for study in found for one in study.series])
        if parts[-1] == "instances":
            return self._page([self._instance(found[0], one, n) for one in series for n in range(1, one.instances + 1)])
        named = parts[5] if len(parts) > 6 else None
        every = [(one, n) for one in series for n in range(1, one.instances + 1) if named in (None, one.instance(n))]
        whole = [{**self._instance(found[0], one, n), **self._study(found[0]), **one.whole} for one, n in every]
        return Response(json.dumps(whole), content_type=JSON)

    def _matches(self, study: HeldStudy) -> bool:
        wanted = request.args.get("StudyInstanceUID", study.uid)
        first, _, last = request.args.get("StudyDate", "-").partition("-")
        if wanted != study.uid or ((first or last) and not first <= study.day <= (last or first)):
            return False
        since = request.args.get(UPDATED, "").removesuffix("-")
        return not (since and self.searches_update_times) or study.updated[:14] >= since[:14]

    def _page(self, matches: list[dict[str, Any]]) -> Response:
        offset = 0 if self.overlooks_offset else int(request.args.get("offset", "0"))
        limit = len(matches) if self.overlooks_limit else int(request.args.get("limit", str(len(matches))))
        given = matches[offset:][: limit if self.cap is None else min(limit, self.cap)]
        if not given:
            return Response(status=204)
        warning = {"Warning": '299 archive "There are more."'} if self.says_more and offset + len(given) < len(matches) else {}
        return Response(json.dumps(given), content_type=JSON, headers=warning)

    def _study(self, study: HeldStudy) -> dict[str, Any]:
        told = {
            "0020000D": element("UI", study.uid),
            "00080020": element("DA", *filter(None, [study.day])),
            "00080030": element("TM", "101500"),
            "00080050": element("SH", study.accession),
            "00080061": element("CS", *dict.fromkeys(one.modality for one in study.series)),
            "00081030": element("LO", study.description),
            "00100020": element("LO", study.patient),
            "00100021": element("LO", study.issuer),
        }
        if study.availability is not None:
            told["00080056"] = element("CS", study.availability)
        if self.counts:
            told["00201206"] = element("IS", len(study.series))
            told["00201208"] = element("IS", sum(one.instances for one in study.series))
        if self.has_update_times and UPDATED in request.args.getlist("includefield"):
            told[UPDATED] = element("DT", study.updated)
        return told

    def _series(self, study: HeldStudy, series: HeldSeries) -> dict[str, Any]:
        told = {
            "0020000D": element("UI", study.uid),
            "0020000E": element("UI", series.uid),
            "00080060": element("CS", series.modality),
            "00180015": element("CS", "CHEST"),
        }
        if self.counts_of_series:
            told["00201209"] = element("IS", series.instances)
        if self.tells_all:
            told |= {tag: element("LO") for tag in request.args.getlist("includefield") if tag not in told}
        return told

    def _instance(self, study: HeldStudy, series: HeldSeries, number: int) -> dict[str, Any]:
        return {
            **self._series(study, series),
            "00080018": element("UI", series.instance(number)),
            "00080016": element("UI", "1.2.840.10008.5.1.4.1.1.2"),
            "00200013": element("IS", number),
        }


@contextmanager
def served(archive: HeldArchive, **settings: Any) -> Iterator[PacsSettings]:
    """The archive on a socket, and the settings that reach it."""
    with serving(archive.app(), free_port_number()) as base:
        root = f"{base}/dicom-web"
        yield PacsSettings(name="held", dicomweb_root=root, connect_timeout_s=2.0, read_timeout_s=5.0, **settings)


@contextmanager
def a_client(archive: HeldArchive, *, max_body_bytes: int = 10_000_000, **settings: Any) -> Iterator[DicomwebClient]:
    with ExitStack() as stack:
        reached = stack.enter_context(served(archive, **settings))
        client = DicomwebClient(reached.dicomweb_root, ArchiveSession(reached, max_body_bytes=max_body_bytes))
        stack.callback(client.close)
        yield client
