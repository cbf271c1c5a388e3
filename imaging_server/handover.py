"""What nginx in front may take over: the bytes of an answer, never the decision about it.

nginx proves itself by a key that is derived from the installation's master key; ``imaging-cds nginx`` writes it into a file
that only nginx reads. Whoever does not send it never sees an answer that is meant for nginx, nor an archive's credential.

Spec: SMART Imaging Access W3 (every request is decided), groups 18, 20 and 21; DESIGN §9.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fhir_imaging.clients.archive_credentials import ArchiveCredential, FixedCredential
from fhir_imaging.settings import HandOver, PacsSettings
from fhir_imaging.store.keys import Sealer
from imaging_server.access import AccessGrant
from imaging_server.asking import Way
from imaging_server.auditing import AccessAudit, Attempt
from imaging_server.rate_limit import HeldBack
from imaging_server.resource import DicomResource, Kind
from imaging_server.upstream import Archive

KEY_HEADER = "X-Imaging-Handover"
INTERNAL_PREFIX = "/_handed"
"""Where nginx has the archives, for itself alone."""
ACCEPT_HEADER = "X-Imaging-Archive-Accept"
AUTHORIZATION_HEADER = "X-Imaging-Archive-Authorization"
_KINDS = {
    HandOver.OFF: frozenset[Kind](),
    HandOver.FRAMES: frozenset({Kind.FRAMES}),
    HandOver.RETRIEVALS: frozenset({Kind.FRAMES, Kind.RETRIEVE}),
}


def handover_key(sealer: Sealer) -> str:
    """The key that nginx shows; the same in every process, and lost with the installation's master key."""
    return sealer.digest("nginx-handover", "v1")


def vendor_header(number: int) -> str:
    """The header in which nginx is told the value of the archive's further header of this number, in the settings' order."""
    return f"X-Imaging-Archive-Header-{number}"


def is_handed(hand_over: HandOver, kind: Kind) -> bool:
    """Whether answers of this kind may be fetched by nginx."""
    return kind in _KINDS[hand_over]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedArchive:
    """One archive as nginx may use it."""

    hand_over: HandOver
    keeps_hierarchy: bool
    credential: ArchiveCredential
    headers: tuple[str, ...] = field(repr=False)
    """Values of the archive's further headers, in the settings' order."""


class Handover:
    """Knows nginx by its key, and tells it where an answer is that was let through. Thread-safe."""

    def __init__(self, key: str, archives: Mapping[str, HandedArchive]) -> None:
        self._key = key.encode()
        self._archives = archives

    @classmethod
    def of(cls, archives: Sequence[PacsSettings], credentials: Mapping[str, ArchiveCredential], sealer: Sealer) -> Handover:
        """For the archives of a configuration, each with the credential that this process uses too."""
        handed = {
            one.name: HandedArchive(
                hand_over=one.hand_over,
                keeps_hierarchy=one.keeps_hierarchy,
                credential=credentials[one.name],
                headers=tuple(one.headers.values()),
            )
            for one in archives
        }
        return cls(handover_key(sealer), handed)

    def knows(self, presented: str | None) -> bool:
        """Whether it is nginx that asks: in constant time, so that no part of the key can be found out."""
        return presented is not None and hmac.compare_digest(presented.encode("utf-8", "replace"), self._key)

    def may_keep(self, archive: str) -> bool:
        """Whether a decision by study and series holds for every instance that an address names (group 10)."""
        handed = self._archives.get(archive)
        return handed is not None and handed.hand_over is not HandOver.OFF and handed.keeps_hierarchy

    def stays_the_same(self, archive: str) -> bool:
        """Whether what nginx is told of an archive does not change by itself, as a credential does that ends."""
        handed = self._archives.get(archive)
        return handed is not None and isinstance(handed.credential, FixedCredential)

    def directions_for(
        self, presented: str | None, archive: Archive, resource: DicomResource, ways: Sequence[Way]
    ) -> dict[str, str] | None:
        """As ``directions``, for nginx alone, and while the archive is not left alone: then the answer made here says so."""
        if not self.knows(presented) or archive.is_left_alone:
            return None
        return self.directions(archive.name, resource, ways)

    def directions(self, archive: str, resource: DicomResource, ways: Sequence[Way]) -> dict[str, str] | None:
        """The headers that send nginx to the archive; None when this answer is better made here.

        Only what is asked for in one form goes: nginx does not ask again in another. UpstreamError (503) when there is no
        credential to be had.
        """
        handed = self._archives.get(archive)
        if handed is None or not is_handed(handed.hand_over, resource.kind) or len(ways) != 1 or ways[0].unwraps:
            return None
        return {
            "X-Accel-Redirect": f"{INTERNAL_PREFIX}/{archive}{resource.path}",
            ACCEPT_HEADER: ways[0].accept,
            AUTHORIZATION_HEADER: handed.credential.headers().get("Authorization", ""),
            **{vendor_header(number): value for number, value in enumerate(handed.headers)},
        }


class AccessesOnly(AccessAudit):
    """For decisions that nginx asks for: what they refuse goes to the ordinary route at once, which refuses and records it."""

    def denied(self, attempt: Attempt, grant: AccessGrant | None, reason: str) -> None:
        """Leaves the record to the ordinary route."""

    def held_back(self, attempt: Attempt, grant: AccessGrant | None, held: HeldBack) -> None:
        """Leaves the record to the ordinary route."""
