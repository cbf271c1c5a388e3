"""Frames that are asked for in the same words as one that was let through and passed on a moment ago.

Each is decided about, by the pass that was given (``passes``), and its archive's answer looked at by the same rules as any
other's (``answers``, ``multipart``): what is spared is all between, which is the same each time. What is not as plain as that
frame was goes to the application.

Spec: SMART Imaging Access W3, groups 10, 17, 19 and 21; DICOM PS3.18 §10.4.1.1.3; docs/decisions/0007.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from fhir_imaging.errors import UpstreamError
from fhir_imaging.in_front import REQUEST_STARTED, SameWords, SendAnswer
from fhir_imaging.web import reference_of
from imaging_server.archive_frames import FrameQuestion, FrameQuestions, NotPlain
from imaging_server.frame_addresses import FRAMES, INSTANCES
from imaging_server.media_types import as_told, may_go_down, parse_media_type
from imaging_server.multipart import the_only_part
from imaging_server.passes import StandingPass
from imaging_server.payloads import GatewayAddresses
from imaging_server.resource import DicomResource
from imaging_server.standing_directions import lines_for_all
from imaging_server.upstream import Archive

RAISED = "imaging_server.raised"
"""Where the WSGI environment has what the gate or the archive raised; no header of a request can get there."""
_REFERENCE = "X-Request-Id"
_SERIES_AT_ONCE = 64
"""Of one token; a reader who opens more of them at a time has each decided about anew."""
_RESTS_S = 5.0
"""What is not plain is asked for a second time, so it is not tried again at once."""
_SAYS_MORE = ("accept-ranges", "content-location", "content-encoding", "retry-after", "warning")
"""What an answer may say that a caller has to hear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFrames:
    """A series whose frames are passed on while the pass stands."""

    standing: StandingPass = field(repr=False)
    archive: Archive
    questions: FrameQuestions = field(repr=False)
    series: DicomResource
    example: DicomResource
    """Any frame of it."""
    addresses: GatewayAddresses = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """What is said of all of them alike."""
    tell: Callable[[str, float], None] = field(repr=False)
    """Tells log and metrics of a request by its number, and of the seconds until its answer."""
    sending: Callable[[int], AbstractContextManager[None]] = field(repr=False)
    """Around the sending of a body of so many bytes."""
    _lines: str = field(init=False, repr=False)
    _locations: tuple[str, str] | None = field(init=False, repr=False)
    """What the addresses of all of them begin with, in the archive's words and in ours."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lines", lines_for_all(self.headers))
        object.__setattr__(self, "_locations", self._found_locations())

    def _found_locations(self) -> tuple[str, str] | None:
        theirs, last = self.archive.url_of(self.example), self.example.path.removeprefix(self.series.path)
        ours = self._rewritten(self.example, theirs)
        if ours is None or not (theirs.endswith(last) and ours.endswith(last)):
            return None
        return theirs.removesuffix(last) + INSTANCES, ours.removesuffix(last) + INSTANCES

    def answer(self, question: FrameQuestion, asked: str) -> tuple[str, Sequence[bytes | memoryview], int]:
        """An archive's answer as it goes down: its headers, but for the request's number, its body's pieces, and their length.

        NotPlain where it has something else to say.
        """
        said = question.head.fields
        content_type = parse_media_type(said.get("content-type", ""))
        if content_type is None or not may_go_down(self.example, content_type) or any(name in said for name in _SAYS_MORE):
            raise NotPlain
        pieces = the_only_part(question.body, content_type, lambda address: self._told(address, asked))
        if pieces is None:
            raise NotPlain
        length = sum(map(len, pieces))
        return f"Content-Type: {as_told(content_type)}\r\n{self._lines}Content-Length: {length}\r\n", pieces, length

    def _told(self, address: str, asked: str) -> str | None:
        """An address in a part, as the caller may read it."""
        if self._locations is not None and address == self._locations[0] + asked:
            return self._locations[1] + asked
        named = FRAMES.fullmatch(asked)
        return None if named is None else self._rewritten(self.series.frames_of(*named.groups()), address)

    def _rewritten(self, asked: DicomResource, address: str) -> str | None:
        return None if asked.study is None else self.addresses.rewriter(asked, asked.study)(address)


class StandingFrames:
    """For one caller's requests in the same words. Thread-safe."""

    def __init__(self) -> None:
        self._series: dict[str, SeriesFrames] = {}
        self._rests_until: dict[str, float] = {}

    @classmethod
    def of(cls, words: SameWords) -> StandingFrames:
        """Those of these words, none at first."""
        if not isinstance(words.in_turn, cls):
            words.in_turn = cls()
        return words.in_turn

    def add(self, address: str, series: SeriesFrames) -> None:
        """``address``: the first part of its frames' paths. A series that has just shown to be otherwise is not taken."""
        if time.monotonic() < self._rests_until.get(address, 0.0):
            return
        if len(self._series) >= _SERIES_AT_ONCE:
            self._series, self._rests_until = {}, {}
        self._series[address] = series

    def __call__(self, path: str, number: str | None, send: SendAnswer) -> Mapping[str, Any] | None:
        """Answers a request for a frame (``SameWords.in_turn``)."""
        began = time.perf_counter()
        address, _, asked = path.partition(INSTANCES)
        series, named = self._series.get(address), FRAMES.fullmatch(asked)
        if series is None or named is None or not named["frames"].isdigit():
            return {}
        question = None if series.archive.is_left_alone else series.questions.begin()
        if question is None:
            return {}
        reference = reference_of(number or "")
        try:
            with question:
                # Last, since it counts towards the limits: what goes to the application is counted there.
                if not series.standing.opens(named["instance"]):
                    return {}
                question.ask(asked)
                lines, pieces, length = series.answer(question, asked)
                took_s = time.perf_counter() - began
                try:
                    with series.sending(length):
                        send(f"{lines}{_REFERENCE}: {reference}\r\n", pieces)
                finally:
                    series.tell(reference, took_s)
                return None
        except NotPlain:
            self._rests_until[address] = time.monotonic() + _RESTS_S
            self._series.pop(address, None)
        except UpstreamError as raised:  # the application explains it under the same number
            return {RAISED: raised, REQUEST_STARTED: began, "HTTP_X_REQUEST_ID": reference}
        return {REQUEST_STARTED: began}
