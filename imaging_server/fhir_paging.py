"""Links to the next page of a search: sealed, so that neither a patient nor a study stands in an address, and short-lived.

A link goes on behind the last study of its page, not after a number of studies: what arrives meanwhile moves nothing. All
workers have the same key, so any of them follows it.

Spec: FHIR R4 Search (paging); SMART Imaging Access M8, groups 14, 15 and 34.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

from fhir_imaging.errors import InvalidRequest
from fhir_imaging.store.keys import Sealer

PAGE_PARAMETER = "page"
LINK_LIFETIME_S = 600
MAX_LINK_LENGTH = 7900
KIND = "imaging-fhir-page"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPage:
    """Where a list goes on: the parameters of its search, and the place (sort value and study) of the last one shown.

    ``token`` is the fingerprint of the token that the list was made for: another token gets a list of its own.
    """

    ehr: str
    token: str
    pairs: tuple[tuple[str, str], ...]
    after: tuple[str, str]


class PageLinks:
    """Seals and opens the value of ``page``. Thread-safe."""

    def __init__(self, sealer: Sealer, *, lifetime_s: int = LINK_LIFETIME_S, clock: Callable[[], float] = time.time) -> None:
        self._sealer = sealer
        self._lifetime_s = lifetime_s
        self._clock = clock

    def seal(self, page: NextPage) -> str:
        """The value of ``page``: letters, digits, hyphen and underscore. InvalidRequest where it would be too long."""
        content = {"kind": KIND, "until": int(self._clock()) + self._lifetime_s, **asdict(page)}
        # Compressed, since a search may name a hundred studies and servers take addresses of some thousand letters.
        sealed = self._sealer.seal(zlib.compress(json.dumps(content, separators=(",", ":")).encode()))
        value = sealed.decode().rstrip("=")
        if len(value) > MAX_LINK_LENGTH:
            raise InvalidRequest(
                "The search is too long to be given in pages; ask for more at once by _count.", code="too-long"
            )
        return value

    def open(self, value: str, *, ehr: str) -> NextPage:
        """The page that a link means at this EHR. InvalidRequest for one that has ended or was not made here.

        Whose token it was made for is still to be compared.
        """
        try:
            if len(value) > MAX_LINK_LENGTH or not value.isascii():
                raise ValueError
            sealed = self._sealer.open((value + "=" * (-len(value) % 4)).encode())
            content = json.loads(zlib.decompress(sealed)) if sealed is not None else None
        except (ValueError, zlib.error) as exc:
            raise _ended() from exc
        # Other sealed records share the key, so what this one is stands inside it.
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise _ended()
        if content["ehr"] != ehr or content["until"] <= self._clock():
            raise _ended()
        pairs = tuple((name, text) for name, text in content["pairs"])
        sort_value, study = content["after"]
        return NextPage(ehr=ehr, token=content["token"], pairs=pairs, after=(sort_value, study))


def _ended() -> InvalidRequest:
    return InvalidRequest("This link to a further page has ended. Search again.", code="page-ended")
