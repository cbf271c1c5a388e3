"""What the services support, as values for a page that people read: services, hooks, data, and the rules with their authority.

Spec: CDS Hooks 3.0 R40. Everything is read from the definitions and rule packs themselves, so that the page cannot be outdated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from cds_service.definitions import HOOK_VERSIONS, ServiceDefinition
from imaging_findings.facts import FactQuery
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import PackInfo, Packs


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedService:
    """One service for people. ``hook_version`` is None for a hook that is in no published library."""

    service: ServiceDefinition
    hook_version: str | None
    required: tuple[FactQuery, ...]
    optional: tuple[FactQuery, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedPack:
    """One rule pack: on whose authority it speaks, and how many of its rows a clinician has yet to check."""

    info: PackInfo
    rows: int
    unchecked: int


def documented_services(services: Iterable[ServiceDefinition]) -> tuple[DocumentedService, ...]:
    """The services in the order of discovery."""
    return tuple(
        DocumentedService(
            service=service,
            hook_version=HOOK_VERSIONS.get(service.hook),
            required=tuple(query for query in service.queries if query.required),
            optional=tuple(query for query in service.queries if not query.required),
        )
        for service in services
    )


def documented_packs(packs: Packs | None = None) -> tuple[DocumentedPack, ...]:
    """The rule packs of a site, by title; None = the product's own."""
    return tuple(sorted(_packs_in(packs or bundled_packs()), key=lambda pack: pack.info.title))


def _packs_in(value: object) -> Iterator[DocumentedPack]:
    """Every object below that carries a ``PackInfo``, whatever kind of pack it is."""
    info = getattr(value, "info", None)
    if isinstance(info, PackInfo):
        grades = [grade for member in _members(value) for grade in _grades(member)]
        yield DocumentedPack(info=info, rows=len(grades), unchecked=grades.count("C"))
        return
    for member in _members(value):
        yield from _packs_in(member)


def _grades(value: object) -> Iterator[str]:
    grade = getattr(value, "evidence", None)
    if isinstance(grade, str):
        yield grade
        return
    for member in _members(value):
        yield from _grades(member)


def _members(value: object) -> Iterator[object]:
    if is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in fields(value))
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, tuple | list | frozenset):
        yield from value
