"""Tokens that a launch of ours brought, known again without being kept: for EHRs whose tokens nobody else can explain.

The SMART app writes, the imaging server reads. The token itself is not in the database: its record is found by a keyed digest
over EHR and token, and the record's body is sealed.

Spec: DESIGN §8 (tokens, third way); SMART App Launch 2.2 (token response: ``scope``, ``patient``, ``expires_in``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fhir_imaging.store.engine import Store
from fhir_imaging.store.sealed import SealedRecords

KIND = "launched-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedToken:
    """What the token response said of one access token. ``issuer`` is the launch's FHIR base, ``expires_at`` in UTC seconds."""

    ehr: str
    issuer: str
    patient_id: str
    scopes: str
    user: str | None
    client_id: str
    expires_at: int


class LaunchedTokens:
    """The tokens of all launches of one installation, whichever worker got them."""

    def __init__(self, store: Store) -> None:
        self._records = SealedRecords(store, KIND)

    def note(self, token: str, launched: LaunchedToken) -> None:
        """Makes the token known until its end; noted again, the last word counts."""
        self._records.add(asdict(launched), expires_at=launched.expires_at, record_id=_id(launched.ehr, token))

    def find(self, token: str, *, ehr: str, now: int) -> LaunchedToken | None:
        """What is known of a token of this EHR; None for any other token, an ended one and one that was forgotten."""
        body = self._records.get(_id(ehr, token), now=now)
        return None if body is None else _read(body, ehr)

    def forget(self, token: str, *, ehr: str) -> None:
        """The token is no longer known."""
        self._records.remove(_id(ehr, token))


def _id(ehr: str, token: str) -> str:
    """Two EHRs may by chance have the same token: it is then two records. An EHR's name holds no line break."""
    return f"{ehr}\n{token}"


def _read(body: Mapping[str, Any], ehr: str) -> LaunchedToken | None:
    """The record; None when another version of this application wrote it in another shape."""
    names = {one.name for one in fields(LaunchedToken)}
    return LaunchedToken(**body) if set(body) == names and body["ehr"] == ehr else None
