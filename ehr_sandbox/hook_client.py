"""The CDS Hooks client of the sandbox EHR: discovery, service calls and feedback, each signed and each written down.

Spec: CDS Hooks 2.0, "Discovery", "Calling a CDS Service", "Feedback", "Security and Safety" (R4, R5, R8, R15, R34 to R38).
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from ehr_sandbox.cds_keys import ClientIdentity, ClientJwt
from ehr_sandbox.chart_card_checks import CheckedResponse, check_response
from ehr_sandbox.wire_log import REDACTED, Exchange, WireLog, redact

DISCOVERY_KEPT_S = 20.0
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
_CONNECT_TIMEOUT_S = 2.0
_SERVICE_ID = re.compile(r"[A-Za-z0-9._~\-]{1,200}")


class CdsServiceFailure(Exception):
    """A CDS service that could not be used; the message is fit for the clinician's eyes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsService:
    """One service as discovery describes it."""

    hook: str
    service_id: str
    title: str
    prefetch: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRequest:
    """What is sent to a CDS service, and the secrets in it that no log may show."""

    purpose: str
    method: str
    url: str
    body: Mapping[str, Any] | None = None
    secrets: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came back; `failure` says why nothing usable did."""

    status: int | None
    text: str
    milliseconds: float
    failure: str | None

    def parsed(self) -> object:
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass(slots=True, kw_only=True)
class HookClient:
    """Speaks to the CDS services behind one discovery address. Safe to share between threads.

    `clock` gives aware UTC time. No redirect is followed: a client JWT is good for exactly one URL.
    """

    discovery_url: str
    identity: ClientIdentity
    clock: Callable[[], datetime]
    timeout_s: float = 8.0
    discovery_timeout_s: float = 4.0
    feedback_timeout_s: float = 4.0
    _kept: tuple[float, tuple[CdsService, ...]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def services(self, listens: Callable[[str], bool], log: WireLog) -> tuple[CdsService, ...]:
        """The services whose hook is one that is meant, from a discovery not older than DISCOVERY_KEPT_S.

        Raises CdsServiceFailure when discovery cannot be had.
        """
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > DISCOVERY_KEPT_S:
                self._kept = (time.monotonic(), self._discover(log))
            return tuple(service for service in self._kept[1] if listens(service.hook))

    def forget_discovery(self) -> None:
        """The next call asks the discovery endpoint again."""
        with self._lock:
            self._kept = None

    def call(self, service: CdsService, body: Mapping[str, Any], remarks: tuple[str, ...], log: WireLog) -> CheckedResponse:
        """Calls one service and judges its answer. Raises CdsServiceFailure when there is none."""
        token = body.get("fhirAuthorization", {}).get("access_token", "")
        sent = SentRequest(
            purpose=f"{service.hook}: {service.title}",
            method="POST",
            url=self._service_url(service.service_id),
            body=body,
            secrets=(token,),
            remarks=remarks,
        )
        answer, signed = self._send(sent, self.timeout_s)
        if answer.failure or answer.status != 200:
            log.record(self._exchange(sent, signed, answer, failure=answer.failure or _status_text(answer)))
            raise CdsServiceFailure(answer.failure or _status_text(answer))
        checked = check_response(answer.parsed())
        log.record(self._exchange(sent, signed, answer, checked=checked))
        return checked

    def send_feedback(self, service_id: str, feedback: Mapping[str, Any], log: WireLog) -> None:
        """Posts one feedback entry. Raises CdsServiceFailure when the service did not take it."""
        url = f"{self._service_url(service_id)}/feedback"
        sent = SentRequest(purpose="feedback", method="POST", url=url, body={"feedback": [feedback]})
        answer, signed = self._send(sent, self.feedback_timeout_s)
        failure = answer.failure or (_status_text(answer) if answer.status not in (200, 201, 204) else None)
        log.record(self._exchange(sent, signed, answer, failure=failure))
        if failure:
            raise CdsServiceFailure(failure)

    def _service_url(self, service_id: str) -> str:
        return f"{self.discovery_url.rstrip('/')}/{service_id}"

    def _discover(self, log: WireLog) -> tuple[CdsService, ...]:
        sent = SentRequest(purpose="discovery", method="GET", url=self.discovery_url.rstrip("/"))
        answer, signed = self._send(sent, self.discovery_timeout_s)
        failure = answer.failure or (_status_text(answer) if answer.status != 200 else None)
        document = answer.parsed()
        listed = document.get("services") if isinstance(document, dict) else None
        if failure is None and not isinstance(listed, list):
            failure = "answered discovery with something else than a list of services"
        services, faults = _read_services(listed if isinstance(listed, list) else [])
        log.record(self._exchange(sent, signed, answer, failure=failure, faults=faults))
        if failure:
            raise CdsServiceFailure(failure)
        return services

    def _send(self, sent: SentRequest, timeout_s: float) -> tuple[_Answer, ClientJwt]:
        signed = self.identity.jwt_for(sent.url, now=self.clock())
        headers = {"Accept": "application/json", "Authorization": f"Bearer {signed.encoded}"}
        started = time.monotonic()
        status, content, failure = None, b"", None
        try:
            with requests.Session() as session:
                session.trust_env = False
                status, content = _exchange_bytes(session, sent, headers, timeout_s)
        except requests.Timeout:
            failure = f"did not answer within {timeout_s:g} seconds"
        except _TooLarge:
            failure = "sent an answer that is too large"
        except requests.RequestException:
            failure = "cannot be reached"
        milliseconds = (time.monotonic() - started) * 1000
        text = content.decode("utf-8", "replace")
        return _Answer(status=status, text=text, milliseconds=milliseconds, failure=failure), signed

    def _exchange(
        self,
        sent: SentRequest,
        signed: ClientJwt,
        answer: _Answer,
        *,
        failure: str | None = None,
        faults: tuple[str, ...] = (),
        checked: CheckedResponse | None = None,
    ) -> Exchange:
        secrets = (*sent.secrets, signed.encoded)
        headers = {"Accept": "application/json", "Authorization": f"Bearer {REDACTED}"}
        if sent.body is not None:
            headers["Content-Type"] = "application/json"
        return Exchange(
            at=self.clock(),
            purpose=sent.purpose,
            method=sent.method,
            url=sent.url,
            request_headers=headers,
            request_body=redact(json.dumps(sent.body), secrets) if sent.body is not None else "",
            status=answer.status,
            response_body=redact(answer.text, secrets),
            milliseconds=answer.milliseconds,
            failure=failure,
            jwt_header=signed.header,
            jwt_claims=signed.claims,
            faults=checked.all_faults() if checked else faults,
            remarks=sent.remarks + (checked.all_remarks() if checked else ()),
        )


class _TooLarge(Exception):
    """The answer is longer than any card response has reason to be."""


def _exchange_bytes(
    session: requests.Session, sent: SentRequest, headers: Mapping[str, str], timeout_s: float
) -> tuple[int, bytes]:
    """Status and body; the whole exchange ends by `timeout_s`, also when the service drips its answer."""
    deadline = time.monotonic() + timeout_s
    request = requests.Request(sent.method, sent.url, headers=dict(headers), json=sent.body)
    prepared = session.prepare_request(request)
    timeouts = (min(_CONNECT_TIMEOUT_S, timeout_s), timeout_s)
    content = bytearray()
    with session.send(prepared, timeout=timeouts, allow_redirects=False, stream=True) as response:
        for piece in response.iter_content(65536):
            content += piece
            if len(content) > MAX_RESPONSE_BYTES:
                raise _TooLarge
            if time.monotonic() > deadline:
                raise requests.Timeout
    return response.status_code, bytes(content)


def _status_text(answer: _Answer) -> str:
    return f"answered with status {answer.status}"


def _read_services(listed: list[Any]) -> tuple[tuple[CdsService, ...], tuple[str, ...]]:
    """The usable services of a discovery document, and what is wrong with the others (R5)."""
    services: list[CdsService] = []
    faults: list[str] = []
    for position, entry in enumerate(listed, start=1):
        fault = _service_fault(entry)
        if fault:
            faults.append(f"service {position}: {fault}")
            continue
        services.append(
            CdsService(
                hook=entry["hook"],
                service_id=entry["id"],
                title=entry.get("title") or entry["id"],
                prefetch=entry.get("prefetch", {}),
            )
        )
    return tuple(services), tuple(faults)


def _service_fault(entry: object) -> str | None:
    if not isinstance(entry, dict):
        return "R5: is no object"
    for name in ("hook", "id", "description"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            return f"R5: {name} is missing"
    if not _SERVICE_ID.fullmatch(entry["id"]):
        return "R8: id cannot stand in a URL"
    if not isinstance(entry.get("title", ""), str):
        return "R5: title is no text"
    prefetch = entry.get("prefetch", {})
    if not isinstance(prefetch, dict) or not all(isinstance(value, str) for value in prefetch.values()):
        return "R5: prefetch does not map keys to templates"
    return None
