"""A launch that holds a token: whose data it may show, for how long, and to which browser it belongs.

Spec: SMART App Launch 2.2 (A27-A29, A38), DESIGN §7 (one session per launch, named in the path).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fhir_imaging.scopes import GrantedScopes, parse_scopes
from smart_app.named_study import NamedStudy
from smart_app.token_response import TokenResponse

REFRESH_AT = 0.8
"""Share of a token's life after which it is renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveSession:
    """One launch with its token. Times in UTC seconds. ``bindings`` are digests of the browsers that may use it."""

    ehr: str
    iss: str
    patient: str
    scope: str
    access_token: str | None
    refresh_token: str | None
    token_issued_at: int
    token_expires_at: int
    created_at: int
    session_expires_at: int
    bindings: tuple[str, ...]
    user: str | None = None
    """fhirUser, absolute or relative to the EHR's base; None where the EHR did not say (A35)."""
    tenant: str | None = None
    """The EHR's own opaque name of the organisation, where it has several (A32)."""
    need_patient_banner: bool = True
    style_url: str | None = None
    """Where the EHR's style stands, as its token response said (A31)."""
    named_studies: tuple[NamedStudy, ...] = ()
    wado_roots: tuple[str, ...] = ()
    """DICOMweb bases of the studies opened so far, in the order in which the viewer knows them."""
    ended: str | None = None
    """Why the session stopped; its tokens are wiped then."""

    @property
    def scopes(self) -> GrantedScopes:
        """What was granted, as a set."""
        return parse_scopes(self.scope)

    @property
    def named_uids(self) -> frozenset[str]:
        """The studies that the launch points at, as far as they are known by UID."""
        return frozenset(one.study_instance_uid for one in self.named_studies if one.study_instance_uid)

    def belongs_to(self, binding: str) -> bool:
        """Whether this browser opened the session (or was handed it by the one that did)."""
        return any(hmac.compare_digest(binding, one) for one in self.bindings)

    def is_refresh_due(self, now: int) -> bool:
        """Whether 80 % of the token's life has passed."""
        life = self.token_expires_at - self.token_issued_at
        return now >= self.token_issued_at + life * REFRESH_AT

    def has_live_token(self, now: int) -> bool:
        """Whether the access token may still be sent."""
        return self.access_token is not None and self.ended is None and now < self.token_expires_at

    def is_living(self, now: int) -> bool:
        """Whether the session can still be worked in: its token lives, or may be renewed."""
        return self.ended is None and (self.has_live_token(now) or self.refresh_token is not None)

    def renewed(self, response: TokenResponse, *, now: int, expires_at: int) -> ActiveSession:
        """The session after a refresh: a new refresh token replaces the old, which stays when none came (A38)."""
        return replace(
            self,
            access_token=response.access_token,
            refresh_token=response.refresh_token or self.refresh_token,
            scope=self.scope if response.scope is None else response.scope,
            token_issued_at=now,
            token_expires_at=expires_at,
        )

    def stopped(self, why: str) -> ActiveSession:
        """The session without its tokens."""
        return replace(self, access_token=None, refresh_token=None, ended=why)

    def shared_with(self, binding: str) -> ActiveSession:
        """The session with one more browser window that may use it."""
        return replace(self, bindings=(*self.bindings, binding))

    def with_wado_root(self, root: str) -> ActiveSession:
        """The session whose viewer also knows this DICOMweb base."""
        return self if root in self.wado_roots else replace(self, wado_roots=(*self.wado_roots, root))

    def to_record(self) -> dict[str, Any]:
        """The JSON object that is stored sealed."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ActiveSession:
        """The session in a stored record; members that another version of the app wrote and this one does not know are left."""
        known = {one.name: record[one.name] for one in fields(cls) if one.name in record}
        named = tuple(NamedStudy(**one) for one in record["named_studies"])
        lists = {name: tuple(record[name]) for name in ("bindings", "wado_roots")}
        return cls(**{**known, **lists, "named_studies": named})
