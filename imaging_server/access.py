"""What a checked token opens: the grant that every decision starts from, and the token itself, which is never printed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import NewType

from fhir_imaging.scopes import GrantedScopes
from imaging_server.iua import IuaClaims

FhirPatientId = NewType("FhirPatientId", str)

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGrant:
    """What one token allows, after every check of the token itself has passed.

    ``patient_id`` is None when the token has no usable patient in context; such a grant opens nothing. ``expires_at`` in UTC
    seconds. ``token_reference`` is the token's ``jti`` or a keyed digest, for joining audit records; never the token.
    """

    ehr: str
    issuer: str
    patient_id: FhirPatientId | None
    scopes: GrantedScopes
    user: str | None
    client_id: str | None
    expires_at: int
    token_reference: str
    iua: IuaClaims = field(default_factory=IuaClaims)
    """Who the user is and why they look, where the token says so; for the audit record only."""
    revision: int = 0
    """Number of the newest revocation that concerns this patient: what was answered before it is not asked for again."""


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token as presented. The value leaves only for the EHR that issued it."""

    value: str = field(repr=False)
    fingerprint: str = field(init=False, repr=False, compare=False)
    """SHA-256 over the whole token: keys caches in memory, several for each frame."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", hashlib.sha256(self.value.encode()).hexdigest())


def read_patient_id(unverified_claim: object) -> FhirPatientId | None:
    """The patient in context, from the ``patient`` claim; None for anything but one plain FHIR logical id.

    A list, an empty text or a reference such as ``Patient/1`` is not guessed at: SMART App Launch says that the parameter is
    the id, and a claim in another shape comes from a server whose meaning we do not know.
    """
    if isinstance(unverified_claim, str) and _FHIR_ID.fullmatch(unverified_claim) and set(unverified_claim) != {"."}:
        return FhirPatientId(unverified_claim)
    return None
