r"""The plain heads of HTTP messages, written and read at once: nearly all requests to an archive and its answers have such.

Python's http.client writes and reads heads line by line, with its parser for e-mail: that was half of what a frame's way here
costs. Here a head is plain or None. Plain is what one pattern describes: letters of ASCII, no folded lines, no field twice, a
body of stated length on a connection that stays. All else is left to Python's own way, with not a byte taken from it; what is
plain, both read alike.

Spec: RFC 9112 §3, §4, §5, §6.3; RFC 9110 §5.1, §5.6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Possessive (++, *+) all of them: each byte is looked at once.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_FIELDS = rf"(?:{_NAME}:[\t\x20-\x7e]*+\r\n)++"
_NAMES = re.compile(_NAME)
_HOST = re.compile(r"[0-9A-Za-z.-]*[0-9A-Za-z]")
# What urllib3 sends as it stands; all else it rewrites or refuses.
_REQUEST = re.compile(rf"GET /(?:[0-9A-Za-z/._~,?&=+:;@!$'()*-]++|%[0-9A-F]{{2}})*+ HTTP/1\.1\r\n{_FIELDS}\r\n")
_ANSWER = re.compile(rf"HTTP/1\.1 ([2-5][0-9][0-9]) [\t\x20-\x7e]*+\r\n({_FIELDS})\r\n".encode("ascii"))
_FIELD = re.compile(r"([^:]++):[\t ]*+([^\r]*+)\r\n")
_WRITTEN_UNASKED = frozenset({"accept-encoding", "user-agent"})
"""Fields that urllib3 adds where they are missing."""
_OF_THE_WAY = frozenset({"host", "content-length", "transfer-encoding"})
_WITHOUT_BODY = frozenset({204, 304})
_MOST_FIELDS = 64
_LONGEST_NUMBER = 18


class Fields(Mapping[str, str]):
    """The fields of a plain head: found however their name is written, listed in lower case."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        """As every mapping has it, without an error raised and caught for what is not there."""
        return self._values.get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class PlainHead:
    """An answer's head of ``size`` bytes; ``length`` more are its body."""

    status: int
    fields: Fields
    length: int
    size: int


def plain_request(method: str, target: str, host: str, headers: Mapping[str, str]) -> bytes | None:
    """The request as urllib3 writes it; None where that takes more than to write it down. ``host``: of ``plain_host``."""
    names = {name.lower() for name in headers}
    if method != "GET" or not names >= _WRITTEN_UNASKED or not names.isdisjoint(_OF_THE_WAY):
        return None
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    written = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    is_ours = written.count("\n") == len(headers) + 3 and _NAMES.fullmatch("".join(headers))  # and holds no line but ours
    return written.encode("ascii") if is_ours and _REQUEST.fullmatch(written) else None


def plain_host(host: str, port: int, default_port: int) -> str | None:
    """What stands in ``Host`` for a name or an IPv4 address; None for any other."""
    if _HOST.fullmatch(host) is None:
        return None
    return host if port == default_port else f"{host}:{port}"


def plain_head(begun: bytes) -> PlainHead | None:
    """The head that an answer begins with; None when it is not plain, or not here yet in whole."""
    found = _ANSWER.match(begun)
    if found is None:
        return None
    fields = _FIELD.findall(found[2].decode("ascii"))
    values = {name.lower(): value for name, value in fields}
    length, status = _length(values), int(found[1])
    if length is None or len(values) != len(fields) or len(fields) > _MOST_FIELDS or status in _WITHOUT_BODY:
        return None
    return PlainHead(status, Fields(values), length, found.end())


def _length(values: Mapping[str, str]) -> int | None:
    """How many bytes of body follow on a connection that stays; None where that is not simply said."""
    if "transfer-encoding" in values or "content-encoding" in values:
        return None
    if values.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    stated = values.get("content-length", "")
    return int(stated) if stated.isdigit() and len(stated) <= _LONGEST_NUMBER else None
