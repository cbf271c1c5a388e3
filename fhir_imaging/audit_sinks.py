"""Where audit events go beside the database: a file of JSON lines and a FHIR server. Sending again makes no second event.

Spec: IHE ITI BALP, RESTful ATNA (ITI-20 "Send Audit Resource Request"); FHIR R4 RESTful API (update as create, conditional
create); SMART Imaging Access group 34.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fhir_imaging.audit_settings import FhirCreate
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import ImagingError, UpstreamError
from fhir_imaging.retry_after import seconds_to_wait

EVENT_TAG_SYSTEM = "urn:ietf:rfc:3986"
FHIR_JSON = "application/fhir+json"
_EVENT_REFUSED = frozenset({400, 409, 410, 412, 413, 415, 422})
"""Answers that are about this one event. Any other failure is about the server, and will be the same for the next event."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """One AuditEvent. ``key`` is its id; ``is_repeated`` when it may have been sent before."""

    key: str
    resource: dict[str, Any]
    is_repeated: bool


@dataclass(slots=True, kw_only=True)
class Sent:
    """What became of a batch. What is neither delivered nor rejected was not tried, or the sink failed with it.

    ``failure`` says why the sink as a whole cannot go on; ``wait_s`` how long it asked to be left alone.
    """

    delivered: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    wait_s: int | None = None


MayGoOn = Callable[[], bool]
"""Whether another event may be begun: another worker may have them soon, or this one is to end."""


class Sink(Protocol):
    """Takes events."""

    name: str

    def send(self, events: Sequence[OutgoingEvent], *, may_go_on: MayGoOn) -> Sent:
        """Sends what it can; raises nothing that another attempt could cure."""

    def close(self) -> None:
        """Closes what it holds open between two batches."""


class SinkCredential(Protocol):
    """The headers that open the FHIR server."""

    def headers(self) -> Mapping[str, str]:
        """For the next request; UpstreamError when there is no token to be had."""

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Other headers, after the server answered 401 to ``refused``; None when there are none worth trying."""

    def close(self) -> None:
        """Closes what was opened to get a token."""


class FileSink:
    """Appends one line for each event. Several processes may write to the same file, and it may be moved away at any time."""

    name = "file"

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync

    def send(self, events: Sequence[OutgoingEvent], *, may_go_on: MayGoOn) -> Sent:
        """All or nothing: a disk that is full half-way is left as it was."""
        try:
            with self._locked() as file:
                if not may_go_on():
                    return Sent()  # the wait for the lock took too long
                self._append(file, events)
        except OSError as exc:
            return Sent(failure=f"the file cannot be written: {exc.strerror}")
        return Sent(delivered={event.key for event in events})

    def close(self) -> None:
        """Nothing is open between two batches."""

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _append(self, file: int, events: Sequence[OutgoingEvent]) -> None:
        there = _keys_among(file, {event.key for event in events if event.is_repeated})
        lines = [_line(event.resource) for event in events if event.key not in there]
        size = os.fstat(file).st_size
        # A machine that lost power may have left half a line.
        is_torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        content = (b"\n" if is_torn else b"") + b"".join(lines)
        try:
            while content:
                content = content[os.write(file, content) :]
            if self._fsync:
                os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise


def _line(resource: Mapping[str, Any]) -> bytes:
    """One line, whatever the event holds: JSON escapes every line break, and all but ASCII."""
    return json.dumps(resource, separators=(",", ":")).encode("ascii") + b"\n"


def _keys_among(file: int, wanted: set[str]) -> set[str]:
    """Those keys whose whole line is in the file already."""
    if not wanted:
        return set()
    found: set[str] = set()
    with os.fdopen(os.dup(file), "rb", buffering=_CHUNK) as lines:
        lines.seek(0)
        for line in lines:
            if any(key.encode() in line for key in wanted - found):
                found |= wanted & {_key_of(line)}
    return found


def _key_of(line: bytes) -> str:
    try:
        return str(json.loads(line).get("id"))
    except (ValueError, AttributeError):
        return ""


class FhirSink:
    """Creates each event at a FHIR server, one after the other over kept connections."""

    name = "fhir"

    def __init__(
        self,
        base: str,
        session: OutboundSession,
        *,
        create: FhirCreate = FhirCreate.PUT,
        credential: SinkCredential | None = None,
    ) -> None:
        self._base = base.rstrip("/")
        self._session = session
        self._create = create
        self._credential = credential

    def send(self, events: Sequence[OutgoingEvent], *, may_go_on: MayGoOn) -> Sent:
        """Goes on past an event that the server rejects, and stops where the server itself fails."""
        sent = Sent()
        for event in events:
            if not may_go_on():
                break
            self._send_one(event, sent)
            if sent.failure is not None:
                break
        return sent

    def close(self) -> None:
        """Closes the connections to the server, and to where its tokens come from."""
        self._session.close()
        if self._credential is not None:
            self._credential.close()

    def _send_one(self, event: OutgoingEvent, sent: Sent) -> None:
        try:
            status, wait_s = self._answer_to(event)
        except _NoCredential as missing:
            sent.failure, sent.wait_s = str(missing), missing.wait_s
            return
        except UpstreamError as outage:
            sent.failure, sent.wait_s = _in_words(outage), outage.retry_after_s
            return
        if 200 <= status < 300:
            sent.delivered.add(event.key)
        elif status in _EVENT_REFUSED:
            sent.rejected[event.key] = f"the server answered {status}"
        else:
            sent.failure, sent.wait_s = f"the server answered {status}", wait_s

    def _answer_to(self, event: OutgoingEvent) -> tuple[int, int | None]:
        """The status, and how long the server asks to be left alone. A token that it takes no more is replaced, once."""
        with _getting_a_credential():
            credential = self._credential.headers() if self._credential else {}
        status, wait_s = self._asked(event, credential)
        if status != 401 or self._credential is None:
            return status, wait_s
        with _getting_a_credential():
            fresh = self._credential.renewed(credential)
        return (status, wait_s) if fresh is None else self._asked(event, fresh)

    def _asked(self, event: OutgoingEvent, credential: Mapping[str, str]) -> tuple[int, int | None]:
        headers = {**credential, "Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "Prefer": "return=minimal"}
        with self._request(event, headers) as response:
            return response.status_code, seconds_to_wait(response.headers)

    def _request(self, event: OutgoingEvent, headers: dict[str, str]) -> Any:
        if self._create is FhirCreate.PUT:
            url, body = f"{self._base}/AuditEvent/{event.key}", event.resource
            return self._session.put(url, data=json.dumps(body), headers=headers, stream=True)
        # An AuditEvent has no identifier to search by, so a tag is what the server compares.
        body = {name: value for name, value in event.resource.items() if name != "id"}
        meta = dict(body.get("meta", {}))
        meta["tag"] = [{"system": EVENT_TAG_SYSTEM, "code": f"urn:uuid:{event.key}"}]
        headers["If-None-Exist"] = f"_tag={EVENT_TAG_SYSTEM}|urn:uuid:{event.key}"
        return self._session.post(
            f"{self._base}/AuditEvent", data=json.dumps({**body, "meta": meta}), headers=headers, stream=True
        )


class _NoCredential(Exception):
    """There is no token to be had for the server; ``wait_s`` says how long its authorization server asks to be left alone."""

    def __init__(self, wait_s: int | None) -> None:
        super().__init__("no token could be had for the server")
        self.wait_s = wait_s


@contextmanager
def _getting_a_credential() -> Iterator[None]:
    try:
        yield
    except UpstreamError as outage:
        raise _NoCredential(outage.retry_after_s) from outage


def _in_words(outage: ImagingError) -> str:
    return {"upstream-timeout": "the server did not answer in time"}.get(outage.code, "the server cannot be reached")
