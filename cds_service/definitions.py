"""What a CDS service is to the rest of this package: its discovery entry, its FHIR queries and its pure evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.gather import Gathered
from cds_service.protocol import HookRequest, HookShape, parse_request
from cds_service.settings import CdsHooksVersion
from imaging_findings.facts import FactQuery
from imaging_findings.site_policy import SitePolicy

# The hook library's definitions as published; a hook of our own has none.
HOOK_VERSIONS: Mapping[str, str] = {
    "patient-view": "1.0",
    "order-select": "1.0",
    "order-sign": "1.0",
    "encounter-start": "1.0",
    "encounter-discharge": "1.0",
    "appointment-book": "1.0",
    "order-dispatch": "1.1",
}
RELEASE_3 = "3.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Something about which a service says nothing, and why: a later study, an open order, a resource that cannot be read."""

    about: str
    """Reference of the finding, order or resource."""
    reason: str
    by: str | None = None
    """Reference of what answers it, where something does."""
    rule_id: str | None = None
    """The rule that would have spoken, where one was reached."""


def _nothing_to_check(_request: HookRequest) -> None:
    return None


def _always_judges(_request: HookRequest, _policy: SitePolicy) -> str | None:
    return None


def _nothing_kept(_gathered: Gathered, _context: CardContext) -> tuple[Silence, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """One service, on one hook: several services of a hook are told apart by their id in the URL."""

    service_id: str
    hook: str
    title: str
    description: str
    usage_requirements: str
    queries: tuple[FactQuery, ...]
    serves_patients: bool
    """Whether users who are a patient or proxy get anything; where not, their requests fetch nothing."""
    evaluate: Callable[[Gathered, CardContext], tuple[IssuedCard, ...]]
    """Pure: the cards for what was gathered; each service reads the facts that its own queries ask for."""
    silences: Callable[[Gathered, CardContext], tuple[Silence, ...]] = _nothing_kept
    """Pure: what was left out of the same cards and why, for ``imaging-cds explain``."""
    hook_aliases: tuple[str, ...] = ()
    """Other names under which a request may state the hook; discovery lists ``hook`` alone."""
    needs_user: bool = True
    """Whether the hook's context requires ``userId``; a hook of our own may be fired by a system."""
    needs_encounter: bool = False
    """Whether the hook's context requires ``encounterId``."""
    hook_context: tuple[tuple[str, str], ...] = ()
    """The context's fields with their meaning, where no published definition of the hook tells them."""
    check: Callable[[HookRequest], None] = _nothing_to_check
    """Pure: InvalidRequest for what the hook adds to the context, before anything is fetched."""
    nothing_to_judge: Callable[[HookRequest, SitePolicy], str | None] = _always_judges
    """Pure: why the context alone shows that there will be no card; then nothing is gathered. None = gather and judge."""

    def request_in(self, body: object) -> HookRequest:
        """The request in a parsed JSON body; InvalidRequest names the member that is wrong (R15)."""
        shape = HookShape(
            hook=self.hook, aliases=self.hook_aliases, needs_user=self.needs_user, needs_encounter=self.needs_encounter
        )
        request = parse_request(body, hook=shape)
        self.check(request)
        return request

    def discovery_entry(
        self, specification: CdsHooksVersion = CdsHooksVersion.V2, documentation: str | None = None
    ) -> dict[str, Any]:
        """The service as discovery lists it (R5); by the 3.0 release also with the versions it follows (R6).

        ``documentation`` is the address of the page for people (R40).
        """
        entry = self._described() | (self._versions() if specification is CdsHooksVersion.V3 else {})
        if documentation:
            entry["usageRequirements"] += f" How to register a client, and what each answer means: {documentation}"
        return entry

    def _versions(self) -> dict[str, str]:
        hook_version = HOOK_VERSIONS.get(self.hook)
        return {"version": RELEASE_3} | ({"hookVersion": hook_version} if hook_version else {})

    def _described(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "hook": self.hook,
            "id": self.service_id,
            "title": self.title,
            "description": self.description,
            "usageRequirements": self.usage_requirements,
        }
        return entry | ({"prefetch": {query.key: query.template for query in self.queries}} if self.queries else {})


def registry(definitions: Iterable[ServiceDefinition]) -> Mapping[str, ServiceDefinition]:
    """The services by id; ValueError when two share one (the URL of one would answer for the other)."""
    found: dict[str, ServiceDefinition] = {}
    for definition in definitions:
        if definition.service_id in found:
            raise ValueError(f"two CDS services have the id {definition.service_id}")
        found[definition.service_id] = definition
    return found
