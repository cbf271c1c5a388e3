"""The way to one archive: bytes over a urllib3 pool, with the archive's own credential and nothing of the caller's.

``requests`` is not used here: urllib3 alone costs a third less for each frame (DESIGN §5). Redirects are never followed, since
they would carry the archive's credential elsewhere.

Spec: DICOM PS3.18 §8; SMART Imaging Access groups 18 to 20; RFC 9110 §15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from fhir_imaging.clients.archive_credentials import ArchiveCredential, credential_of, trust_of
from fhir_imaging.clients.breaker import Breaker, BreakerSettings, State
from fhir_imaging.errors import InvalidRequest, TooLarge, UpstreamError, UpstreamTimeout
from fhir_imaging.settings import PacsSettings, origin_of
from imaging_server.archive_answers import TAKES, ArchiveResponse
from imaging_server.archive_connections import with_lean_answers
from imaging_server.archive_frames import ArchiveLine, Asked, FrameQuestions
from imaging_server.archive_outcomes import BrokenOff, TooLate, all_in_use, asked_about, outcome_of
from imaging_server.resource import DicomResource
from imaging_server.upstream_answers import DICOM_JSON, UpstreamAnswer, raise_if_not_ready, read_datasets

# Made once: urllib3 would make it of "False" for each request.
_NO_RETRIES = urllib3.Retry(False, redirect=False)
_WANTED = frozenset({200, 206})
"""Of answers with any other status nobody reads the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One request to an archive. ``query`` holds names and values that were checked, in the order to be sent."""

    resource: DicomResource
    accept: str
    query: Sequence[tuple[str, str]] = ()
    method: str = "GET"
    byte_range: str | None = None
    if_range: str | None = None


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found; ``complete`` is False when the archive says that it has more (206 or Warning 299).

    ``is_literal`` is True when it says that it matched names letter by letter, though fuzzy matching was asked for.
    """

    datasets: tuple[Mapping[str, Any], ...]
    complete: bool = True
    is_literal: bool = False


class Archive:
    """One archive behind the gateway: requests are built here from parsed pieces. Thread-safe."""

    def __init__(
        self, settings: PacsSettings, credential: ArchiveCredential | None = None, *, breaker: Breaker | None = None
    ) -> None:
        """``credential`` is the one that the settings name, unless another is given."""
        self._breaker = breaker or Breaker(f"{settings.name}-archive", BreakerSettings())
        self.name = settings.name
        self.studies_per_search = settings.studies_per_search
        self.root = settings.dicomweb_root.rstrip("/")
        self.server = origin_of(settings.dicomweb_root)
        self._prefix = urlsplit(self.root).path
        self._timeout = urllib3.Timeout(connect=settings.connect_timeout_s, read=settings.read_timeout_s)
        self._whole_s = TAKES * settings.read_timeout_s
        self._wait_s = max(1, round(settings.connect_timeout_s))
        self._credential = credential or credential_of(settings)
        self._headers = {
            **settings.headers,
            "User-Agent": "imaging-cds",
            # A decoded body no longer fits its Content-Length, and decoding costs time (group 19).
            "Accept-Encoding": "identity",
        }
        # The pool waits for a free connection instead of opening more: the archive's limit is the site's decision.
        pool = urllib3.connection_from_url(
            self.root, maxsize=settings.max_connections, block=True, retries=_NO_RETRIES, **trust_of(settings)
        )
        self._pool = with_lean_answers(pool)
        self._line = ArchiveLine(
            server=self.server,
            pool=self._pool,
            breaker=self._breaker,
            credential=self._credential,
            read_timeout_s=settings.read_timeout_s,
        )

    @property
    def is_left_alone(self) -> bool:
        """Whether it was out of order and no request has found it back since: nobody but this process asks it then."""
        return self._breaker.state is not State.CLOSED

    def url_of(self, resource: DicomResource) -> str:
        """The archive's own address of a resource; for resolving what its answers say, never for callers."""
        return self.root + resource.path

    def ask(self, request: UpstreamRequest) -> UpstreamAnswer:
        """The archive's answer, of any status. UpstreamError when there is none."""
        target = self._prefix + quote(request.resource.path, safe="/,.-_")
        if request.query:
            # PS3.18 writes commas as they are (§8.3.4.1, §8.3.5.1), and Debian's Orthanc does not understand them encoded.
            target += "?" + urlencode(request.query, quote_via=quote, safe=",")
        headers = dict(self._headers, Accept=request.accept)
        if request.byte_range:
            headers["Range"] = request.byte_range
        if request.if_range:
            headers["If-Range"] = request.if_range
        about = asked_about(request.resource, request.query)
        credential = self._credential.headers()
        answer = self._send(request.method, target, {**headers, **credential}, about)
        if answer.status != 401:
            return answer
        answer.close()  # first, since there may be no other credential to be had
        fresh = self._credential.renewed(credential)
        return answer if fresh is None else self._send(request.method, target, {**headers, **fresh}, about)

    def search(self, resource: DicomResource, query: Sequence[tuple[str, str]], *, limit: int) -> Matches:
        """What a QIDO search finds; nothing for 204 and 404.

        InvalidRequest when the archive does not understand the query (400) or finds too much (413), UpstreamError otherwise.
        """
        answer = self.ask(UpstreamRequest(resource=resource, accept=DICOM_JSON, query=query))
        if answer.status in (200, 206):
            remark = answer.headers.get("Warning", "").strip().lower()
            # The standard has one code for both remarks (PS3.18 §8.3.4.2, §8.3.4.4); only its words tell them apart.
            is_literal = remark.startswith("299") and "fuzzymatching" in remark
            complete = answer.status == 200 and (is_literal or not remark.startswith("299"))
            return Matches(tuple(read_datasets(answer, limit=limit, server=self.server)), complete, is_literal)
        answer.close()
        if answer.status in (204, 404):
            return Matches(())
        if answer.status == 400:
            raise InvalidRequest("The archive does not understand this search.", code="archive-400")
        if answer.status == 413:
            raise TooLarge("The search finds more than the archive gives; narrow it.", code="archive-413")
        raise_if_not_ready(answer, self.server)
        raise UpstreamError("The archive could not search.", server=self.server, status=answer.status)

    def frames_of(self, series: DicomResource, accept: str, *, longest: int) -> FrameQuestions:
        """For one frame after the other of a series, in one form, of ``longest`` bytes at most."""
        target = self._prefix + quote(series.path, safe="/,.-_") + "/instances/"
        asked = Asked(target, {**self._headers, "Accept": accept}, asked_about(series, ()))
        return FrameQuestions(self._line, asked, longest=longest)

    def close(self) -> None:
        """Closes all idle connections."""
        self._pool.close()
        self._credential.close()

    def _send(self, method: str, target: str, headers: Mapping[str, str], about: frozenset[str]) -> UpstreamAnswer:
        question = self._breaker.begin(about)
        try:
            response = self._sent(method, target, headers)
        except BaseException as exc:
            question.ended(outcome_of(exc))
            raise
        question.heard()
        if method == "HEAD" or response.status not in _WANTED:
            question.ended(outcome_of(response))  # its head is all that is looked at
        return UpstreamAnswer(response, self.server, question, whole_s=self._whole_s)

    def _sent(self, method: str, target: str, headers: Mapping[str, str]) -> ArchiveResponse:
        for attempt in (1, 2):
            try:
                return self._pool.urlopen(
                    method,
                    target,
                    headers=headers,
                    redirect=False,
                    retries=_NO_RETRIES,
                    timeout=self._timeout,
                    pool_timeout=self._wait_s,
                    preload_content=False,
                    decode_content=False,
                )
            except urllib3.exceptions.EmptyPoolError as exc:
                raise all_in_use(self.server) from exc
            except urllib3.exceptions.NewConnectionError as exc:  # before timeouts: urllib3 counts it among them
                raise _unreachable(self.server, exc) from exc
            except urllib3.exceptions.ConnectTimeoutError as exc:
                raise UpstreamTimeout("The archive did not answer in time.", server=self.server) from exc
            except urllib3.exceptions.TimeoutError as exc:
                raise TooLate("The archive did not answer in time.", server=self.server) from exc
            except urllib3.exceptions.ProtocolError as exc:
                # A kept connection that the archive has closed meanwhile fails like this; nothing was sent twice that matters.
                if attempt == 2:
                    raise BrokenOff("The archive broke off.", server=self.server, cause=type(exc).__name__) from exc
            except urllib3.exceptions.HTTPError as exc:
                raise _unreachable(self.server, exc) from exc
        raise AssertionError("unreachable")


def _unreachable(server: str, cause: Exception) -> UpstreamError:
    return UpstreamError("The archive could not be reached.", server=server, cause=type(cause).__name__)
