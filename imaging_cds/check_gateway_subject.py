"""What an imaging server is checked with: its address, the tokens that its operator lent, and whom they are about."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from imaging_cds.check_gateway_report import NotTried

UNKNOWN_TOKEN = "imaging-cds-check-of-a-token-that-nobody-issued"  # noqa: S105 - it is nobody's token
NOBODY = "imaging-cds-check-nobody"
"""A patient id that no server has."""
UNKNOWN_UID = "2.25.329800735698586629295641978511506172918"
SECOND_UNKNOWN_UID = "2.25.329800735698586629295641978511506172919"
"""A UID of the 2.25 kind, made at random for this check: no archive has anything of this name."""


class TokenKind(StrEnum):
    """The tokens that a check can be lent, by the option that lends each."""

    GOOD = "token"
    ENDED = "expired-token"
    FOREIGN = "foreign-token"
    UNSCOPED = "unscoped-token"
    PATIENTLESS = "patientless-token"
    SYSTEM = "system-token"
    MIXED = "mixed-token"
    WIDE = "wide-token"
    FILTERED = "filtered-token"
    SECOND = "second-token"
    IN_QUERY = "query-token"


TOKEN_MEANINGS: Mapping[TokenKind, str] = {
    TokenKind.GOOD: "an access token with patient/ImagingStudy.rs and the patient in context, as a launch gives it",
    TokenKind.ENDED: "the same, but ended",
    TokenKind.FOREIGN: "a token of another authorization server, or one issued for another resource server",
    TokenKind.UNSCOPED: "a token of the patient without any ImagingStudy scope, such as patient/Patient.r",
    TokenKind.PATIENTLESS: "a token with patient/ImagingStudy.rs and no patient in context",
    TokenKind.SYSTEM: "a token with system/ImagingStudy.rs (Backend Services)",
    TokenKind.MIXED: "a token of the patient with patient/Observation.rs and system/ImagingStudy.rs",
    TokenKind.WIDE: "a token of the patient with patient/ImagingStudy.cruds",
    TokenKind.FILTERED: "a token of the patient with a filtered scope such as patient/ImagingStudy.rs?modality=CT",
    TokenKind.SECOND: "another good token, to try addresses that were given out for the first",
    TokenKind.IN_QUERY: "a good token that may stand in the server's logs, since it is sent in addresses too: end it then",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One imaging server under check. ``base`` has no final slash."""

    base: str
    tokens: Mapping[TokenKind, str] = field(default_factory=dict, repr=False)
    patient: str | None = None
    """FHIR logical id of the patient of the good token."""
    other_patient: str | None = None
    other_study: str | None = None
    """Study Instance UID of a study that exists and is not the patient's."""
    other_series: str | None = None
    other_instance: str | None = None
    """Series and SOP Instance UID inside that study: whether they are guarded shows by their own UIDs only."""
    restricted_study: str | None = None
    """Study Instance UID of a study of the patient that holds something the token may not see."""
    backend_mode: bool = False
    """Whether the server says that it serves Backend Services clients."""
    budget_ms: float = 250.0
    """How long a repeated small image request may take, at the median."""

    def token(self, kind: TokenKind) -> str:
        """The token of this kind; NotTried where none was lent."""
        lent = self.tokens.get(kind)
        if lent is None:
            raise NotTried(f"Needs --{kind.value}: {TOKEN_MEANINGS[kind]}.")
        return lent

    def its_patient(self) -> str:
        """The patient of the good token; NotTried where nobody said who that is."""
        if self.patient is None:
            raise NotTried("Needs --patient: the FHIR id of the token's patient.")
        return self.patient

    def foreign_study(self) -> str:
        """A study of somebody else; NotTried where none was named."""
        if self.other_study is None:
            raise NotTried("Needs --other-study: the Study Instance UID of a study of another patient.")
        return self.other_study

    @property
    def foreign_patient(self) -> str:
        """Somebody else: a patient who was named, or nobody at all."""
        return self.other_patient or NOBODY


def altered(token: str) -> str:
    """The token with one claim changed and its old signature; one of another kind with a character in its middle changed."""
    parts, claims = token.split("."), claims_of(token)
    if claims is None:
        return one_character_changed(token)
    return ".".join([parts[0], _packed({**claims, "jti": "imaging-cds-check"}), parts[2]])


def forgeries(token: str) -> dict[str, str]:
    """By name, what somebody could make of a token without its issuer, for every kind of token."""
    if claims_of(token) is None:
        return {"altered": altered(token), "cut short": token[: len(token) // 2] or "x"}
    head, body, signature = token.split(".")
    return {
        "with a changed claim": altered(token),
        "with a changed signature": f"{head}.{body}.{one_character_changed(signature or 'x')}",
        "under alg none": unsigned(token),
    }


def unsigned(token: str) -> str:
    """The token's own claims under ``alg: none``; NotTried for an opaque token."""
    claims = claims_of(token)
    if claims is None:
        raise NotTried("The token is no JWT, so there is no signature to leave out.")
    return f"{_packed({'alg': 'none', 'typ': 'at+jwt'})}.{_packed(claims)}."


def one_character_changed(token: str) -> str:
    """In the middle of the longest piece between dots: the last bits of base64 may count for nothing, and so may headers."""
    parts = token.split(".")
    longest = max(range(len(parts)), key=lambda place: len(parts[place]))
    piece = parts[longest]
    middle = len(piece) // 2
    parts[longest] = f"{piece[:middle]}{'B' if piece[middle : middle + 1] in ('a', 'A') else 'A'}{piece[middle + 1 :]}"
    return ".".join(parts)


def claims_of(token: str) -> dict[str, Any] | None:
    """What a JWT says, unverified: a hint of what to ask for, nothing more. None for an opaque token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    return claims if isinstance(claims, dict) else None


def _packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
