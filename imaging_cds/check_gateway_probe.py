"""One question to an imaging server, sent exactly as it is written, and its answer exactly as it came.

Other HTTP clients tidy addresses, follow redirects and unpack answers on the way; here that would hide what is looked for.

Spec: SMART Imaging Access C3 (who may see the token), C7 (503 and Retry-After).
"""

from __future__ import annotations

import json
import re
import ssl
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, SSLError, TimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from fhir_imaging.clients.deadlines import AnswerInTime, within
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import origin_of
from imaging_cds.check_gateway_echo import places_of

TIMEOUT_S = 30.0
JSON_LIMIT = 64 * 1024 * 1024
IMAGE_LIMIT = 4 * 1024 * 1024
"""Images are looked into, not downloaded: reading stops here."""
ANSWER_S = 120.0
"""How long an answer may take to its last byte: a server that drips must not hold the check for ever."""
SLOW_IN_A_ROW = 3
"""After so many answers in a row that took too long, a server has a tenth of the time, until one comes in it again."""
PATIENCE_S = 60
"""How long all waiting for Retry-After may take in one check."""
_KEPT_OF_REFUSALS = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request. ``url`` is sent as it is written, dots and all; ``token`` None sends no Authorization."""

    url: str
    method: str = "GET"
    accept: str = "*/*"
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    limit: int = JSON_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. ``status`` None = nothing, for the reason in ``failure``. Header names are in lower case."""

    question: Question
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False
    """Whether the body was read to its end."""
    failure: str | None = None
    elapsed_ms: float = 0.0
    led_to: Reply | None = None
    """What is where this answer sends on to, if that was looked at."""
    repeats: tuple[str, ...] = ()
    """Where the answer repeats the token of its question; looked for in what a probe keeps."""

    @property
    def is_served(self) -> bool:
        """Whether the server gave what was asked for."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether the server said no, in whatever way of saying so."""
        return self.status is not None and 400 <= self.status < 500

    @property
    def onward(self) -> str | None:
        """Where a redirect leads, for a question that changes nothing; None beyond the origin that was asked."""
        location, asked = self.headers.get("location"), self.question
        if location is None or self.status not in _REDIRECTS or asked.method not in ("GET", "HEAD"):
            return None
        try:
            url = urljoin(asked.url, location)
            is_here = origin_of(url) == origin_of(asked.url)
        except ValueError:
            return None
        return url if is_here and "@" not in _authority(url) else None

    @property
    def end(self) -> Reply:
        """The answer that a client ends with, who follows a redirect."""
        return self.led_to or self

    @property
    def said(self) -> str:
        """The outcome in a few words."""
        return self.failure or f"HTTP {self.status}"

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def text(self) -> bytes | None:
        """The body, unpacked; None when it was cut short or cannot be unpacked."""
        content, is_all = self._unpacked()
        return content if self.is_whole and is_all else None

    @property
    def content(self) -> bytes:
        """What was read of the body, unpacked as far as that goes."""
        return self._unpacked()[0]

    def _unpacked(self) -> tuple[bytes, bool]:
        """The body without its packing, and whether it was unpacked to its end."""
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return self.body, True
        if encoding not in ("gzip", "x-gzip", "deflate"):
            return self.body, False
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            return unpacking.decompress(self.body, JSON_LIMIT), unpacking.eof
        except zlib.error:
            return self.body, False

    def json(self) -> object | None:
        """The JSON value; None when there is none."""
        try:
            parsed: object = json.loads(self.text() or b"")
        except (ValueError, RecursionError):
            return None
        return parsed


class _InTime(HTTPConnection):
    """Headers and bodies keep the time for the whole answer."""

    response_class = AnswerInTime


class _TlsInTime(HTTPSConnection):
    """As ``_InTime``."""

    response_class = AnswerInTime


class Probe:
    """Asks the origins that it was given and nobody else; keeps what a later look at all answers needs."""

    def __init__(
        self,
        allowed_origins: Collection[str],
        *,
        authority: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        answer_s: float = ANSWER_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.allowed_origins = frozenset(origin_of(origin) for origin in allowed_origins)
        self.replies: list[Reply] = []
        """Every answer so far, without the bodies of what was served."""
        self._tls = _trusting(authority)
        self._timeout_s = timeout_s
        self._answer_s = answer_s
        self._sleep = sleep
        self._patience_s = PATIENCE_S
        self._slow: Counter[str] = Counter()
        """How many answers in a row took too long, by origin."""
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}

    def may_ask(self, url: str) -> bool:
        """Whether the address is on an origin that the token may be sent to."""
        try:
            origin = origin_of(url)
        except ValueError:
            return False
        return origin in self.allowed_origins and "@" not in _authority(url)

    def ask(self, question: Question) -> Reply:
        """The answer. A server that says when to come back is asked again, unchanged (C7), while patience lasts."""
        while True:
            reply = self._ask(question)
            body = reply.body[:_KEPT_OF_REFUSALS] if not reply.is_served else b""
            self.replies.append(replace(reply, body=body, repeats=_repeats(reply)))
            wait = reply.headers.get("retry-after", "")
            if reply.status not in (429, 503) or not _SECONDS.fullmatch(wait) or int(wait) > self._patience_s:
                return reply
            self._patience_s -= max(1, int(wait))
            self._sleep(int(wait))

    def close(self) -> None:
        """Lets go of every connection."""
        for pool in self._pools.values():
            pool.close()

    def _ask(self, question: Question) -> Reply:
        if not self.may_ask(question.url):
            return Reply(question=question, failure="nothing was sent: its origin was not allowed")
        begun, origin = time.perf_counter(), origin_of(question.url)
        share = 0.1 if self._slow[origin] >= SLOW_IN_A_ROW else 1.0
        timeout_s = self._timeout_s * share
        try:
            with within(self._answer_s * share):
                reply = self._sent(question, timeout_s)
        except NewConnectionError:
            return Reply(question=question, failure="it could not be reached (name, port or firewall)")
        except TimeoutError:
            self._slow[origin] += 1
            before = f", nor to {SLOW_IN_A_ROW} questions before it that had longer" if share < 1 else ""
            return Reply(question=question, failure=f"no answer within {timeout_s:g} s{before}")
        except SSLError:
            return Reply(question=question, failure="its TLS certificate or protocol is not accepted")
        except (HTTPError, ValueError, OSError):
            return Reply(question=question, failure="its answer broke off, or is not HTTP")
        elapsed_s = time.perf_counter() - begun
        self._slow[origin] = 0 if elapsed_s < timeout_s else self._slow[origin] + 1
        return replace(reply, elapsed_ms=elapsed_s * 1000)

    def _sent(self, question: Question, timeout_s: float) -> Reply:
        try:
            response = self._send(question, timeout_s)
        except ProtocolError:
            # A connection that was kept and that the server has closed meanwhile.
            response = self._send(question, timeout_s)
        headers = {name.lower(): value for name, value in response.headers.items()}
        body, is_whole = _read(response, question.limit)
        return Reply(question=question, status=response.status, headers=headers, body=body, is_whole=is_whole)

    def _send(self, question: Question, timeout_s: float) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": question.accept, "Accept-Encoding": "identity", "User-Agent": "imaging-cds check"}
        if question.token is not None:
            headers["Authorization"] = f"Bearer {question.token}"
        return self._pool(question.url).urlopen(
            question.method,
            _target(question.url),
            body=question.body,
            headers={**headers, **question.headers},
            timeout=timeout_s,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _pool(self, url: str) -> urllib3.HTTPConnectionPool:
        origin = origin_of(url)
        if origin not in self._pools:
            tls = {"ssl_context": self._tls} if origin.startswith("https:") else {}
            pool = urllib3.connectionpool.connection_from_url(origin, **tls)
            pool.ConnectionCls = _TlsInTime if tls else _InTime
            self._pools[origin] = pool
        return self._pools[origin]


def _repeats(reply: Reply) -> tuple[str, ...]:
    token = reply.question.token
    return () if token is None else places_of(token, reply.headers, reply.content, reply.json)


def _read(response: urllib3.BaseHTTPResponse, limit: int) -> tuple[bytes, bool]:
    """The body up to the limit, and whether that was all of it."""
    body = bytearray()
    try:
        while piece := response.read1(64 * 1024, decode_content=False):
            body += piece
            if len(body) > limit:
                response.close()
                return bytes(body[:limit]), False
    except HTTPError:
        response.close()
        return bytes(body), False
    response.release_conn()
    return bytes(body), True


def _authority(url: str) -> str:
    return url.split("://", 1)[1].split("/", 1)[0]


def _target(url: str) -> str:
    """Everything after the authority, untouched; a fragment is not for servers."""
    behind = url.split("://", 1)[1].partition("#")[0]
    target = behind[len(_authority(url).partition("?")[0]) :]
    return target if target.startswith("/") else f"/{target}"


def _trusting(authority: Path | None) -> ssl.SSLContext:
    """The public certificate authorities, and one more where the site has its own."""
    context = create_urllib3_context()
    context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    try:
        if authority is not None:
            context.load_verify_locations(cafile=authority)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError([f"--certificate-authority: {authority} cannot be read as PEM certificates."]) from exc
    return context
