"""What a question to an archive says about the archive itself: one object that cannot be read is no outage for all the others.

Spec: SMART Imaging Access W7, group 23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import urllib3

from fhir_imaging.clients.breaker import Outcome
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from fhir_imaging.retry_after import seconds_to_wait
from imaging_server.archive_answers import ArchiveResponse
from imaging_server.resource import DicomResource

NOT_READY = frozenset({202, 429, 503})
"""The archive asks for patience: busy, at a limit, or still fetching from its own store (202)."""


class TooLate(UpstreamTimeout):
    """The archive took the request and said nothing in time."""


class BrokenOff(UpstreamError):
    """The archive ended the connection instead of answering."""


def asked_about(resource: DicomResource, query: Sequence[tuple[str, str]]) -> frozenset[str]:
    """What a failure may lie in: the study that is asked about, or each of those that a search names, or the search itself."""
    if resource.study is not None:
        return frozenset({resource.study})
    named = [value for name, value in query if name == "StudyInstanceUID"]
    return frozenset(",".join(named).split(",")) if named else frozenset({urlencode(query)})


def outcome_of(answer: ArchiveResponse | BaseException) -> Outcome:
    """500 and 503 may be about one study (a picture that cannot be made, a file on tape), so they count as answers."""
    if not isinstance(answer, BaseException):
        # A proxy before the archive says so too when one object takes its archive too long, or takes it down.
        return Outcome.UNANSWERED if answer.status in (502, 504) else Outcome.ANSWERED
    if isinstance(answer, TooLate | BrokenOff):
        return Outcome.UNANSWERED
    # What says "try again" is a pool without a free connection, which says nothing of the archive.
    return Outcome.OUTAGE if isinstance(answer, UpstreamError) and not answer.retryable else Outcome.UNKNOWN


def outcome_of_body(failure: Exception, *, is_passed_on: bool) -> Outcome:
    """Of one that could not be read to its end.

    An archive breaks off what its taker does not take in time, which is no fault of its own, and costs nobody time; so what is
    passed on while it is read counts against it only where it was waited for in vain. What makes no sense does not count.
    """
    if isinstance(failure, TimeoutError | urllib3.exceptions.TimeoutError):
        return Outcome.UNANSWERED
    makes_no_sense = isinstance(failure, urllib3.exceptions.DecodeError | ValueError)
    return Outcome.UNKNOWN if is_passed_on or makes_no_sense else Outcome.UNANSWERED


def all_in_use(server: str) -> UpstreamError:
    """Nobody gave a connection back in time."""
    return UpstreamError("All connections to the archive are in use.", server=server, retryable=True)


def not_ready(server: str, status: int, headers: Mapping[str, str]) -> UpstreamError:
    """For a status of ``NOT_READY``: 503, with the seconds that the archive names."""
    return UpstreamError(
        "The archive is not ready yet; please try again later.",
        server=server,
        status=status,
        retryable=True,
        retry_after_s=seconds_to_wait(headers),
    )


def broke_off(server: str, status: int) -> UpstreamError:
    """The archive did not say the whole of its answer."""
    return BrokenOff("The archive broke off its answer.", server=server, status=status)
