"""Which server a question went to, in words of a trace: its role, and the name of its EHR or archive in the configuration.

Never its host: how a hospital's servers are called is no business of whoever keeps the traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from imaging_cds.settings import ApplicationSettings

STRANGER = ("other", "")
Place = tuple[str, str, int]
"""Scheme, host and port."""


class KnownServers:
    """Servers by their addresses; of several on one host, the one whose path the question is below."""

    def __init__(self, servers: Iterable[tuple[str, str, str]]) -> None:
        """Address, role and name of each; of two that are alike the first counts."""
        self._by_place: dict[Place, list[tuple[str, tuple[str, str]]]] = {}
        for address, role, name in servers:
            parts = urlsplit(address)
            place = (parts.scheme, parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443))
            self._by_place.setdefault(place, []).append((parts.path.rstrip("/") + "/", (role, name)))
        for known in self._by_place.values():
            known.sort(key=lambda one: len(one[0]), reverse=True)

    def of(self, place: Place, target: str) -> tuple[str, str]:
        """Role and name."""
        path = target.split("?", 1)[0] + "/"
        return next((said for below, said in self._by_place.get(place, ()) if path.startswith(below)), STRANGER)


def known_servers(settings: ApplicationSettings) -> KnownServers:
    """Those of an installation."""
    return KnownServers(_servers(settings))


def _servers(settings: ApplicationSettings) -> Iterator[tuple[str, str, str]]:
    for ehr in settings.ehr:
        yield ehr.fhir_base, "fhir", ehr.name
        if ehr.studies_server is not None:
            yield ehr.studies_server.fhir_base, "fhir-studies", ehr.name
        if ehr.imaging_base is not None:
            yield ehr.imaging_base, "fhir-imaging", ehr.name
    for archive in settings.pacs:
        yield archive.dicomweb_root, "archive", archive.name
        if archive.token_url is not None:
            yield _origin(archive.token_url), "authorization", archive.name
    for ehr in settings.ehr:
        named = (ehr.fhir_base, ehr.jwks_url, ehr.introspection_url, ehr.backend_token_url)
        others = (*ehr.server_origins, *ehr.token_origins)
        yield from ((_origin(address), "authorization", ehr.name) for address in (*named, *others) if address)
    for client in settings.cds.trusted_clients:
        yield from ((address, "fhir", "") for address in client.fhir_servers)
        keys = (client.jwks_url, *client.jku_prefixes)
        yield from ((_origin(address), "keys", "") for address in keys if address)
    yield settings.public_base_url, "imaging-server", ""


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
