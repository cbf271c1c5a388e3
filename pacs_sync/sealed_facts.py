"""What stands sealed in the synchronisation's tables, as small JSON objects, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.store.keys import Sealer
from pacs_sync.ports import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whose a study is, as a person said, and what the archive said of its patient then (None: nothing)."""

    subject: Subject
    decided_for: PatientNumber | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a study is held, or why its last attempt failed, in words for people."""

    detail: str
    patient: PatientNumber | None = None


class SealedFacts:
    """Seals and opens them with the installation's key. What another key sealed, or nobody, opens as None."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def text(self, content: str) -> bytes:
        """A UID, or a place in an archive's news."""
        return self._sealer.seal(content.encode())

    def opened_text(self, sealed: bytes | None) -> str | None:
        """What ``text`` sealed."""
        plain = None if sealed is None else self._sealer.open(sealed)
        return None if plain is None else plain.decode()

    def decision(self, decision: Decision) -> bytes:
        """Of a person."""
        return self._json(asdict(decision))

    def opened_decision(self, sealed: bytes | None) -> Decision | None:
        """What ``decision`` sealed."""
        body = self._opened(sealed)
        return None if body is None else Decision(subject=Subject(**body["subject"]), decided_for=_number(body["decided_for"]))

    def trouble(self, trouble: Trouble) -> bytes:
        """Of one study."""
        return self._json(asdict(trouble))

    def opened_trouble(self, sealed: bytes | None) -> Trouble:
        """What ``trouble`` sealed; empty words for None."""
        body = self._opened(sealed) or {"detail": "", "patient": None}
        return Trouble(detail=body["detail"], patient=_number(body["patient"]))

    def _json(self, body: Mapping[str, Any]) -> bytes:
        return self._sealer.seal(json.dumps(body, separators=(",", ":")).encode())

    def _opened(self, sealed: bytes | None) -> dict[str, Any] | None:
        plain = None if sealed is None else self._sealer.open(sealed)
        return None if plain is None else json.loads(plain)


def _number(body: Mapping[str, Any] | None) -> PatientNumber | None:
    return None if body is None else PatientNumber(**body)
