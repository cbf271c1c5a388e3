"""An archive and a FHIR server that fail at random, quick enough to be asked for thousands of studies.

Both answer from one asyncio loop in a thread: what they do with a request is done whole before the next one.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MRN = "https://imaging-cds.example/demo/mrn"
SILENT = -1
"""No answer at all."""
BROKEN = -2
"""The connection is closed in place of an answer."""
_JSON = "application/dicom+json"


@dataclass(slots=True)
class Request:
    """As it came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_write(self) -> bool:
        return self.method != "GET" and not self.path.endswith("/_search")

    def first(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query if key == name), default)


@dataclass(slots=True)
class Answer:
    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Answer]


@dataclass(slots=True)
class Faults:
    """What goes wrong, drawn from one seed. ``seen`` counts what did; ``lost`` of these were done and not answered."""

    chance: random.Random
    rates: Mapping[int, float]
    """Share of requests that are refused with this status, SILENT or BROKEN."""
    are_on: bool = True
    seen: Counter[int] = field(default_factory=Counter)
    lost: int = 0

    def draw(self, is_write: bool) -> int | None:
        drawn = self.chance.random()
        for status, rate in self.rates.items():
            if status in (409, 412) and not is_write:
                continue
            drawn -= rate
            if drawn < 0 and self.are_on:
                self.seen[status] += 1
                return status
        return None


@dataclass(slots=True)
class Faulty:
    """A server behind its faults: half of those that answer nothing useful come after the work was done."""

    handler: Handler
    faults: Faults

    def __call__(self, request: Request) -> Answer:
        fault = self.faults.draw(request.is_write)
        if fault is None:
            return self.handler(request)
        if fault in (500, SILENT, BROKEN) and self.faults.chance.random() < 0.5:
            self.handler(request)
            self.faults.lost += request.is_write
        return Answer(fault, {"resourceType": "OperationOutcome"}, {"Retry-After": "0"} if fault == 429 else {})


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as our clients speak it."""

    def __init__(self, handler: Handler, open_ones: set[asyncio.Transport]) -> None:
        self._handler = handler
        self._open = open_ones
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[end + 4 : length], self._buffer[length:]
            method, target, _ = first.split(" ")
            parts = urlsplit(target)
            self._answer(self._handler(Request(method, parts.path, parse_qsl(parts.query), headers, body)))

    def _answer(self, answer: Answer) -> None:
        if answer.status == BROKEN:
            self._transport.close()
        elif answer.status != SILENT:
            body = b"" if answer.content is None else json.dumps(answer.content).encode()
            kind = _JSON if isinstance(answer.content, list) else "application/fhir+json"
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), **answer.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self._transport.write(f"HTTP/1.1 {answer.status} Stub\r\n{head}\r\n".encode("latin-1") + body)


@contextmanager
def served(handlers: Mapping[int, Handler]) -> Iterator[None]:
    """Each handler at its port, until the block ends."""
    up, loops, ended = threading.Event(), [], asyncio.Event()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        open_ones: set[asyncio.Transport] = set()
        servers = [
            await loops[0].create_server(partial(_Connection, handler, open_ones), "127.0.0.1", port)
            for port, handler in handlers.items()
        ]
        up.set()
        await ended.wait()
        for server in servers:
            server.close()
        for transport in list(open_ones):
            transport.abort()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(10)


def element(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


@dataclass(frozen=True, slots=True)
class StubStudy:
    uid: str
    day: date
    number: str
    images: int


@dataclass(slots=True)
class StubArchive:
    """Searches of studies by date or UID, and of their one series; it tells everything in its answers."""

    studies: list[StubStudy]
    is_away: Callable[[], bool] = lambda: False
    """Whether it does not find a study just now that it holds and lists: its index lags behind."""
    by_uid: dict[str, StubStudy] = field(default_factory=dict)
    missed: int = 0

    def __post_init__(self) -> None:
        self.by_uid = {one.uid: one for one in self.studies}

    def grows(self, place: int) -> None:
        """An image comes to the study at this place."""
        grown = replace(self.studies[place], images=self.studies[place].images + 1)
        self.studies[place] = self.by_uid[grown.uid] = grown

    def __call__(self, request: Request) -> Answer:
        parts = request.path.removeprefix("/dicom-web/").split("/")
        if len(parts) == 3:
            return Answer(200, [self._series(self.by_uid[parts[1]], request)])
        uid = request.first("StudyInstanceUID")
        if uid and self.is_away():
            self.missed += 1
            return Answer(200, [])
        if uid:
            return Answer(200, [self._study(self.by_uid[uid])] if uid in self.by_uid else [])
        first, _, last = request.first("StudyDate", "00000000-99999999").partition("-")
        found = [one for one in self.studies if first <= one.day.strftime("%Y%m%d") <= last]
        begin = int(request.first("offset", "0"))
        page = found[begin : begin + int(request.first("limit", "1000"))]
        return Answer(200, [self._study(one) for one in page])

    def _study(self, study: StubStudy) -> dict[str, Any]:
        return {
            "0020000D": element("UI", study.uid),
            "00080020": element("DA", study.day.strftime("%Y%m%d")),
            "00080061": element("CS", "CT"),
            "00100020": element("LO", study.number),
            "00100021": element("LO", "DEMO"),
            "00201206": element("IS", 1),
            "00201208": element("IS", study.images),
            "00080201": element("SH", "+0000"),
        }

    def _series(self, study: StubStudy, request: Request) -> dict[str, Any]:
        asked = {tag: element("LO") for key, tag in request.query if key == "includefield"}
        told = {
            "0020000D": element("UI", study.uid),
            "0020000E": element("UI", f"{study.uid}.1"),
            "00080060": element("CS", "CT"),
            "00201209": element("IS", study.images),
            "00080201": element("SH", "+0000"),
        }
        return asked | told


@dataclass(slots=True)
class StubFhir:
    """R4: searches by identifier, conditional creates, version-aware updates. ``resources`` by type and id."""

    base: str
    patients: Mapping[str, str]
    """Patient id by number."""
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    by_identifier: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [resource for (one, _), resource in list(self.resources.items()) if one == kind]

    def __call__(self, request: Request) -> Answer:
        kind, _, resource_id = request.path.removeprefix("/fhir/").partition("/")
        if kind == "metadata":
            rest = {"mode": "server", "resource": [{"type": "ImagingStudy", "conditionalCreate": True}]}
            return Answer(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]})
        if resource_id == "_search":
            return self._found(kind, dict(parse_qsl(request.body.decode())).get("identifier", ""))
        if request.method == "POST":
            return self._create(kind, request)
        if request.method == "PUT":
            return self._update(kind, resource_id, request)
        if resource_id:
            found = self.resources.get((kind, resource_id))
            return Answer(404 if found is None else 200, found or {"resourceType": "OperationOutcome"})
        return self._found(kind, request.first("identifier"))

    def _found(self, kind: str, wanted: str) -> Answer:
        matches = self._matches(kind, wanted)
        return Answer(200, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in matches]})

    def _matches(self, kind: str, wanted: str) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for token in wanted.split(","):
            system, _, value = token.partition("|")
            if kind == "Patient" and value in self.patients:
                found[value] = self._patient(value)
            ids = self.by_identifier.get((kind, system, value), [])
            found |= {one: self.resources[kind, one] for one in ids}
        return list(found.values())

    def _patient(self, number: str) -> dict[str, Any]:
        identifier = {"system": MRN, "value": number}
        return {"resourceType": "Patient", "id": self.patients[number], "identifier": [identifier]}

    def _create(self, kind: str, request: Request) -> Answer:
        condition = dict(parse_qsl(request.headers.get("if-none-exist", "")))
        standing = self._matches(kind, condition["identifier"]) if condition else []
        if len(standing) > 1:
            return Answer(412, {"resourceType": "OperationOutcome"})
        if standing:
            return self._written(standing[0], 200)
        new_id = str(len(self.resources) + 1)
        resource = {**json.loads(request.body), "id": new_id}
        for one in resource.get("identifier", []):
            self.by_identifier.setdefault((kind, one["system"], one["value"]), []).append(new_id)
        return self._put(kind, new_id, resource, "1", 201)

    def _update(self, kind: str, resource_id: str, request: Request) -> Answer:
        version = self.resources[kind, resource_id]["meta"]["versionId"]
        if request.headers.get("if-match") != f'W/"{version}"':
            return Answer(412, {"resourceType": "OperationOutcome"})
        return self._put(kind, resource_id, json.loads(request.body), str(int(version) + 1), 200)

    def _put(self, kind: str, resource_id: str, resource: dict[str, Any], version: str, status: int) -> Answer:
        self.resources[kind, resource_id] = {**resource, "meta": {**resource.get("meta", {}), "versionId": version}}
        return self._written(self.resources[kind, resource_id], status)

    def _written(self, resource: dict[str, Any], status: int) -> Answer:
        version, place = resource["meta"]["versionId"], f"{self.base}/{resource['resourceType']}/{resource['id']}"
        return Answer(status, None, {"Location": f"{place}/_history/{version}", "ETag": f'W/"{version}"'})
