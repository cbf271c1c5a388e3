"""Where an answer repeats the token of its question: in a link, an address of images, a header, an error text.

An address goes on to histories, Referer headers and logs of whoever it leads to, and a token in it is everything that is needed
to be its owner. Only lent tokens count; what nobody can use, such as the head that all tokens of an issuer share, does not.

Spec: SMART Imaging Access C3, F12, M8; RFC 6750 §5.3; smart-imaging.md §13 groups 17 and 34.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote_to_bytes

_LEAST = 16
"""Letters that a piece of a token has at least: fewer stand in an answer by chance."""
_TIMES_ENCODED = 2


def can_be_told(token: str) -> bool:
    """Whether a token is long enough to be known again."""
    return len(token) >= _LEAST


def places_of(token: str, headers: Mapping[str, str], body: bytes, json: Callable[[], object]) -> tuple[str, ...]:
    """Which headers, and which places in the body, hold the token or what is secret of it."""
    pieces = _secret_pieces(token)
    found = [name for name, said in headers.items() if _holds(said.encode("utf-8", "replace"), pieces)]
    if _holds(body, pieces):
        found += sorted(set(_places_in(json(), pieces))) or ["the body"]
    return tuple(found)


def _secret_pieces(token: str) -> list[bytes]:
    """The whole, and what is this token's own: claims and signature, or the second half of one without pieces."""
    parts = token.split(".")
    own = parts[1:] if len(parts) > 2 else [token[len(token) // 2 :]]
    return [one.lower().encode() for one in (token, *own) if len(one) >= _LEAST]


def _holds(said: bytes, pieces: list[bytes]) -> bool:
    """Whether a piece stands there: as it is, in JSON's own writing, percent-encoded, and in small letters (host names)."""
    said = said.replace(b"\\/", b"/")
    for _ in range(_TIMES_ENCODED + 1):
        small = said.lower()
        if any(piece in small for piece in pieces):
            return True
        if b"%" not in said:
            return False
        said = unquote_to_bytes(said)
    return False


def _places_in(value: object, pieces: list[bytes]) -> Iterable[str]:
    """The elements whose text holds a piece, by their names from the outside; without recursion, whatever a server nests."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        place, inside = waiting.pop()
        if isinstance(inside, dict):
            waiting += [(f"{place}.{name}".lstrip("."), one) for name, one in inside.items()]
        elif isinstance(inside, list):
            waiting += [(place, one) for one in inside]
        elif isinstance(inside, str) and _holds(inside.encode("utf-8", "replace"), pieces):
            yield place
