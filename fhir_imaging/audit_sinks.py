"""Where audit events go beside the database: any sink, and a FHIR server. Sending again makes no second event.

Spec: IHE ITI BALP, RESTful ATNA (ITI-20 "Send Audit Resource Request"); FHIR R4 RESTful API (update as create, conditional
create); SMART Imaging Access group 34.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from fhir_imaging.audit_settings import FhirCreate
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import ImagingError, UpstreamError, UpstreamTimeout
from fhir_imaging.retry_after import seconds_to_wait

EVENT_TAG_SYSTEM = "urn:ietf:rfc:3986"
FHIR_JSON = "application/fhir+json"
_EVENT_REFUSED = frozenset({400, 409, 410, 412, 413, 415, 422})
"""Answers that are about this one event. Any other failure is about the server, and will be the same for the next event."""
_STORED = frozenset({200, 201, 204})
_OF_THE_SERVER = frozenset({401, 408, 429, 502, 503, 504})
"""Failures that no event can be the cause of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """One AuditEvent. ``key`` is its id; ``is_repeated`` when it may have been sent before."""

    key: str
    resource: dict[str, Any]
    is_repeated: bool


@dataclass(slots=True, kw_only=True)
class Sent:
    """What became of a batch. What is neither delivered nor rejected was not tried, or the sink failed with it.

    ``failure`` says why the sink as a whole cannot go on; ``wait_s`` how long it asked to be left alone. ``tried`` may have
    arrived all the same. ``suspect`` is the event at which the sink failed, where the event itself may be the cause.
    """

    delivered: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    wait_s: int | None = None
    tried: set[str] = field(default_factory=set)
    suspect: str | None = None


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


@dataclass(frozen=True, slots=True)
class _Answer:
    """``wait_s`` is how long the server asks to be left alone; a page for people is no FHIR server's."""

    status: int
    wait_s: int | None
    is_page: bool

    def is_stored(self, event: OutgoingEvent) -> bool:
        """Whether the server has the event now. What comes again, some answer with 304: they have just that."""
        if self.status in _STORED:
            return self.status == 204 or not self.is_page
        return self.status == 304 and event.is_repeated

    @property
    def in_words(self) -> str:
        """For the log, and for whoever looks after the sink."""
        said = f"the server answered {self.status}"
        return f"{said} with a page for people" if self.is_page and self.status in _STORED else said


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
            answer = self._answer_to(event)
        except _NoCredential as missing:
            sent.failure, sent.wait_s = str(missing), missing.wait_s
            return
        except UpstreamError as outage:
            sent.failure, sent.wait_s, sent.tried = _in_words(outage), outage.retry_after_s, {event.key}
            sent.suspect = event.key if isinstance(outage, UpstreamTimeout) else None
            return
        if answer.is_stored(event):
            sent.delivered.add(event.key)
        elif answer.status in _EVENT_REFUSED:
            sent.rejected[event.key] = answer.in_words
        else:
            sent.failure, sent.wait_s, sent.tried = answer.in_words, answer.wait_s, {event.key}
            sent.suspect = None if answer.status in _OF_THE_SERVER else event.key

    def _answer_to(self, event: OutgoingEvent) -> _Answer:
        """A token that the server takes no more is replaced, once."""
        with _getting_a_credential():
            credential = self._credential.headers() if self._credential else {}
        answer = self._asked(event, credential)
        if answer.status != 401 or self._credential is None:
            return answer
        with _getting_a_credential():
            fresh = self._credential.renewed(credential)
        return answer if fresh is None else self._asked(event, fresh)

    def _asked(self, event: OutgoingEvent, credential: Mapping[str, str]) -> _Answer:
        headers = {**credential, "Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "Prefer": "return=minimal"}
        with self._request(event, headers) as response:
            return _Answer(response.status_code, seconds_to_wait(response.headers), is_page=_is_page(response.headers))

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


def _is_page(headers: Mapping[str, str]) -> bool:
    """Frameworks call an empty answer HTML too."""
    return "html" in headers.get("Content-Type", "").lower() and headers.get("Content-Length") != "0"


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
