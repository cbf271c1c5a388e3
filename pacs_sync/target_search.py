"""Searches whose every match is looked at: some servers ignore what they do not know, and answer with everything.

Spec: FHIR R4 Search §3.1.1 (unknown parameters may be ignored; ``total`` is optional), §3.1.1.4.7 (escaping).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.clients.fhir import SearchPage
from fhir_imaging.errors import NotFound, UpstreamError
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import dicts
from pacs_sync.target_access import TargetAccess

MAX_PAGES = 5
"""Of a search that should find one or a few."""
PAGE_SIZE = 200
_ESCAPED = str.maketrans({"\\": "\\\\", "|": "\\|", ",": "\\,", "$": "\\$"})


def token(system: str | None, value: str) -> str:
    """A token as a search parameter; without a system any system counts."""
    escaped = value.translate(_ESCAPED)
    return escaped if system is None else f"{system.translate(_ESCAPED)}|{escaped}"


def has_identifier(resource: Mapping[str, Any], system: str, value: str) -> bool:
    """Whether it has this very identifier."""
    return any(one.get("system") == system and one.get("value") == value for one in dicts(resource.get("identifier")))


class TargetSearch:
    """Searches of one FHIR server. UpstreamError where it cannot answer, also with 404: then its address is wrong."""

    def __init__(self, access: TargetAccess) -> None:
        self._access = access

    def few(
        self, kind: str, params: Sequence[tuple[str, str]], is_asked: Callable[[Mapping[str, Any]], bool]
    ) -> tuple[dict[str, Any], ...]:
        """The matches that are truly what was asked for; ``is_asked`` leaves out nothing that a server may rightly match.

        UpstreamError where a server that matches other things too has more of them than can be looked through.
        """
        found: list[dict[str, Any]] = []
        matches_others = False
        for number, page in enumerate(self.pages(kind, params)):
            asked = [one for one in page.matches if one.get("resourceType") == kind and is_asked(one)]
            matches_others = matches_others or len(asked) < len(page.matches)
            found += asked
            if number + 1 == MAX_PAGES and page.next_url is not None:
                if matches_others:
                    names = ", ".join(name for name, _ in params if not name.startswith("_count"))
                    words = f"The FHIR server does not search {kind} by {names}, so nothing certain is known."
                    raise UpstreamError(words, server=origin_of(self._access.base_url))
                break
        return tuple({str(one.get("id")): one for one in found}.values())

    def pages(self, kind: str, params: Sequence[tuple[str, str]]) -> Iterator[SearchPage]:
        """All pages, however many; each with the access that counts by then."""
        try:
            page = self._access.read(lambda client: client.search(kind, params))
            yield page
            while page.next_url is not None:
                following = page.next_url
                page = self._access.read(lambda client, url=following: client.follow(url))  # type: ignore[misc]
                if page.next_url == following:
                    raise UpstreamError("The FHIR server's pages have no end.", server=origin_of(self._access.base_url))
                yield page
        except NotFound as exc:
            raise UpstreamError(
                f"The FHIR server has no {kind} to search, or no such page.",
                server=origin_of(self._access.base_url),
                status=404,
            ) from exc

    def one(self, kind: str, resource_id: str) -> dict[str, Any] | None:
        """The resource with this id; None where there is none."""
        try:
            return self._access.read(lambda client: client.read(kind, resource_id))
        except NotFound:
            return None
