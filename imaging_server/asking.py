"""How an archive is asked for what a caller accepts: in all forms at once, then form by form, for archives that know fewer.

Some archives refuse an Accept with several types, or have files in multipart messages only, or single ones only; some have no
HEAD. None of that is the caller's concern.

Spec: DICOM PS3.18 §8.7, §10.4.4; RFC 9110 §9.3.2 (HEAD), §12.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from imaging_server.media_types import DICOM, MediaType, accept_for, parse_media_types
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.upstream import Archive, UpstreamRequest
from imaging_server.upstream_answers import UpstreamAnswer

MAX_WAYS = 5
"""Requests for one of a caller's: a list with many types must not become many requests."""
_OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_DEFAULTS = {
    Kind.FRAMES: _OCTETS,
    Kind.BULK_DATA: _OCTETS.partition("; transfer-syntax")[0],
    Kind.RENDERED: "image/jpeg",
    Kind.THUMBNAIL: "image/jpeg",
}
"""What "anything" means to an archive that wants to be told; frames as they are stored, as for files (W1)."""
_REFUSALS_OF_A_FORM = frozenset({400, 406})
_DOUBTFUL_OF_HEAD = frozenset({400, 404, 405, 406, 500, 501})
"""Orthanc says 404 to HEAD at addresses that it has, others 405 or 501. An archive that is busy is not asked twice."""


@dataclass(frozen=True, slots=True)
class Way:
    """One Accept value for an archive. ``unwraps``: the caller wants the only part of a message, as a file."""

    accept: str
    unwraps: bool = False

    @property
    def names_transfer_syntax(self) -> bool:
        """Whether a transfer syntax is asked for that the archive may have to make."""
        syntaxes = (one.parameters.get("transfer-syntax", "*") for one in parse_media_types(self.accept))
        return any(syntax != "*" for syntax in syntaxes)


def ways_to_ask(resource: DicomResource, accepted: str | None) -> tuple[Way, ...]:
    """What to ask an archive for, in turn. NotSupported (406) when nothing that is accepted is offered."""
    return _ways(resource.kind, resource.level, accepted)


@lru_cache(maxsize=256)  # a viewer asks for each of its frames in the same words
def _ways(kind: Kind, level: Level, accepted: str | None) -> tuple[Way, ...]:
    whole = accept_for(kind, level, accepted)
    is_instance = kind is Kind.RETRIEVE and level is Level.INSTANCE
    if "," not in whole and "*/*" not in whole and not (is_instance and DICOM in whole):
        return (Way(whole),)  # by far the most
    ways = [Way(whole)]
    for one in sorted(parse_media_types(whole), key=lambda one: -float(one.parameters.get("q", "1"))):
        if one.name == "*/*" and kind in _DEFAULTS:
            ways.append(Way(_DEFAULTS[kind]))
        else:
            ways.append(Way(str(_without_quality(one))))
        if is_instance and one.name == DICOM:
            ways.append(Way(_wrapped(one), unwraps=True))
    return tuple(dict.fromkeys(ways))[:MAX_WAYS]


def ways_to_a_file(transfer_syntax: str | None) -> tuple[Way, ...]:
    """One object as a file: every archive must have the first form, and yet some have nothing but the second."""
    named = {} if transfer_syntax is None else {"transfer-syntax": transfer_syntax}
    file = MediaType(DICOM, named)
    return (Way(_wrapped(file), unwraps=True), Way(str(file), unwraps=True))


def ask_in_turn(
    archive: Archive, request: UpstreamRequest, ways: tuple[Way, ...], *, only_head: bool
) -> tuple[UpstreamAnswer, Way]:
    """The first answer that is not about the form, or the last one, with the way that led to it.

    ``only_head``: the body will not be read. An archive that has no HEAD is asked as for GET, and its body left where it is.
    """
    *others, last = ways
    for way in others:
        answer = _ask(archive, replace(request, accept=way.accept), only_head=only_head)
        if answer.status not in _REFUSALS_OF_A_FORM:
            return answer, way
        answer.close()
    return _ask(archive, replace(request, accept=last.accept), only_head=only_head), last


def _ask(archive: Archive, request: UpstreamRequest, *, only_head: bool) -> UpstreamAnswer:
    if not only_head:
        return archive.ask(request)
    answer = archive.ask(replace(request, method="HEAD"))
    if answer.status not in _DOUBTFUL_OF_HEAD:
        return answer
    answer.close()
    return archive.ask(request)


def _wrapped(file: MediaType) -> str:
    syntax = {name: value for name, value in file.parameters.items() if name == "transfer-syntax"}
    return str(MediaType("multipart/related", {"type": DICOM, **syntax}))


def _without_quality(one: MediaType) -> MediaType:
    return MediaType(one.name, {name: value for name, value in one.parameters.items() if name != "q"})
