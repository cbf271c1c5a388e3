"""Sources of the synchronisation over archives of tests, on a day of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.settings import PacsSettings
from pacs_sync.ports import Sighting, Source
from pacs_sync.qido_source import QidoSource
from pacs_sync.settings import PaceSettings
from pacs_sync.study_facts import SiteRules
from tests.archive_actors import HeldArchive, HeldStudy, served

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@contextmanager
def a_qido_source(
    settings: PacsSettings, *, now: Callable[[], datetime] = lambda: NOW, with_instances: bool = False, **pace: Any
) -> Iterator[QidoSource]:
    """A source over whatever archive answers there."""
    client = DicomwebClient(settings.dicomweb_root, ArchiveSession(settings))
    site = SiteRules(archive=settings.name, with_instances=with_instances)
    source = QidoSource(client, PaceSettings(**pace), site, now=now)
    try:
        yield source
    finally:
        source.close()


@contextmanager
def a_source(archive: HeldArchive, **options: Any) -> Iterator[QidoSource]:
    """A source over this archive."""
    with served(archive) as settings, a_qido_source(settings, **options) as source:
        yield source


def studies(count: int, first: int = 1, **facts: str) -> list[HeldStudy]:
    return [HeldStudy(f"2.25.{number}", **facts) for number in range(first, first + count)]


def sweep(source: Source, cursor: str | None = None) -> tuple[list[Sighting], str]:
    """All looks until the last page, and where the next begins."""
    found: list[Sighting] = []
    for _ in range(100):
        look = source.look(cursor)
        found += look.sightings
        cursor = look.cursor
        if look.is_last:
            return found, cursor
    raise AssertionError("the sweep has no end")


def uids(sightings: Iterable[Sighting]) -> set[str]:
    return {one.study for one in sightings}


def names(count: int, first: int = 1) -> set[str]:
    return {f"2.25.{number}" for number in range(first, first + count)}


def states(sightings: Iterable[Sighting]) -> dict[str, str]:
    return {one.study: one.state for one in sightings}
