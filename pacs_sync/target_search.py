"""Searches whose every match is looked at: some servers ignore what they do not know, and answer with everything.

Numbers of patients stand in no address: servers and proxies write addresses down.

Spec: FHIR R4 Search §3.1.1 (unknown parameters may be ignored; ``total`` is optional), §3.1.1.4.7 (escaping); FHIR R4 RESTful
API §3.1.0.9 (search by form).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhir_imaging.clients.fhir import SearchPage
from fhir_imaging.errors import NotFound, UpstreamError
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import dicts
from pacs_sync.target_access import TargetAccess

log = logging.getLogger("imaging_cds.sync")

_BY_PATIENTS_NUMBERS = frozenset({"Patient", "ServiceRequest"})
"""Types that are found by a patient's or an order's number."""
_NO_FORMS = frozenset({405, 415, 501})
"""As 404: the server knows no search by form."""
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
    """Searches of one FHIR server. UpstreamError where it cannot answer, also with 404: then its address is wrong.

    References within the server come back as they are written, ``Type/id``: some servers make whole addresses of them.
    """

    def __init__(self, access: TargetAccess) -> None:
        self._access = access
        self._without_forms: set[str] = set()

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
        """All pages, however many; each with the access that counts by then.

        UpstreamError where a server says that it found more than it gives, and has no further page.
        """
        try:
            page = self._first(kind, params)
            if page.next_url is None and page.total is not None and page.total > len(page.matches):
                raise self._without_pages(kind, page)
            yield self._local_page(page)
            while page.next_url is not None:
                following = page.next_url
                page = self._following(kind, params, following)
                if page.next_url == following:
                    raise UpstreamError("The FHIR server's pages have no end.", server=origin_of(self._access.base_url))
                yield self._local_page(page)
        except NotFound as exc:
            raise UpstreamError(
                f"The FHIR server has no {kind} to search, or no such page.",
                server=origin_of(self._access.base_url),
                status=404,
            ) from exc

    def _without_pages(self, kind: str, page: SearchPage) -> UpstreamError:
        """What is left out may be what is looked for: no study is taken for missing because of it."""
        words = (
            f"The FHIR server found {page.total} {kind}, gave {len(page.matches)} and no link to the rest, so nothing certain "
            "is known. It must link its further pages (Bundle.link, relation next) or give all at once."
        )
        return UpstreamError(words, server=origin_of(self._access.base_url))

    def one(self, kind: str, resource_id: str) -> dict[str, Any] | None:
        """The resource with this id; None where there is none."""
        try:
            found: dict[str, Any] = self._local(self._access.read(lambda client: client.read(kind, resource_id)))
            return found
        except NotFound:
            return None

    def _local_page(self, page: SearchPage) -> SearchPage:
        return replace(page, matches=tuple(map(self._local, page.matches)))

    def _local(self, value: Any) -> Any:
        """The resource with references that lead to this server as ``Type/id``."""
        if isinstance(value, dict):
            return {
                name: member.removeprefix(f"{self._access.base_url}/")
                if name == "reference" and isinstance(member, str)
                else self._local(member)
                for name, member in value.items()
            }
        return [self._local(member) for member in value] if isinstance(value, list) else value

    def _first(self, kind: str, params: Sequence[tuple[str, str]]) -> SearchPage:
        if not self._is_by_form(kind):
            return self._access.read(lambda client: client.search(kind, params))
        try:
            return self._access.read(lambda client: client.search_by_form(kind, params))
        except NotFound:
            pass
        except UpstreamError as refusal:
            if refusal.status not in _NO_FORMS:
                raise
        page = self._access.read(lambda client: client.search(kind, params))
        self._note_no_forms(kind)  # not before: what answers nothing at all says nothing of forms
        return page

    def _following(self, kind: str, params: Sequence[tuple[str, str]], url: str) -> SearchPage:
        """The page behind a link; by form too where the link repeats what was asked for."""
        repeated = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        asked = {name for name, _ in params if not name.startswith("_")}
        if self._is_by_form(kind) and any(name.partition(":")[0] in asked for name, _ in repeated):
            return self._access.read(lambda client: client.search_by_form(kind, repeated))
        return self._access.read(lambda client: client.follow(url))

    def _is_by_form(self, kind: str) -> bool:
        return kind in _BY_PATIENTS_NUMBERS and kind not in self._without_forms

    def _note_no_forms(self, kind: str) -> None:
        if kind not in self._without_forms:
            self._without_forms.add(kind)
            words = "%s knows no search of %s by POST: numbers of patients stand in the addresses that it is asked"
            log.warning(words, origin_of(self._access.base_url), kind)
