"""A launch before it has a token: what may be launched, what is asked for, and what is remembered until the callback.

Spec: SMART App Launch 2.2 "Launch App: EHR Launch / Standalone Launch" (A4-A14), RFC 7636, RFC 9207.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from fhir_imaging.scopes import in_v1
from fhir_imaging.settings import EhrSettings, ScopeStyle, find_ehr_by_iss
from fhir_imaging.uids import StudyInstanceUID, is_uid, study_uid
from smart_app.explanations import Reason

MAX_PARAMETER_LENGTH = 4096
PICK_STUDY = "launch/imagingstudy"
"""Lower case, as SMART writes it: asks the EHR to have an ImagingStudy picked (A19, experimental)."""
LONG_URL = 2000
"""Browsers and proxies in hospitals still cut longer addresses; a POST is used above it where the EHR offers one (A12)."""


class LaunchKind(StrEnum):
    """Who chose the patient: the chart that launched us, or the EHR's own picker."""

    EHR = "ehr"
    STANDALONE = "standalone"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """A launch that may be begun: ``iss`` byte for byte as received, ``launch`` the EHR's opaque handle."""

    ehr: EhrSettings
    iss: str
    kind: LaunchKind
    launch: str | None = None
    study: StudyInstanceUID | None = None
    """The study that a landing page asked for; rechecked against the token's patient."""


@dataclass(frozen=True, slots=True)
class LaunchRefusal:
    """Why a launch is not begun; nothing has been sent anywhere."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLaunch:
    """What the callback must find again, kept server-side under ``state``. ``binding`` is the browser's, by digest.

    Once the callback came, ``session`` or ``failure`` says what became of it, so that a reload repeats nothing (A21).
    """

    ehr: str
    iss: str
    kind: LaunchKind
    code_verifier: str
    nonce: str | None
    binding: str
    scopes: str
    created_at: int
    study: str | None = None
    handle: str | None = None
    """Keyed digest of ``iss`` and ``launch``, by which the same launch is known when its address is opened again."""
    session: str | None = None
    failure: str | None = None

    def finished(self, *, session: str | None = None, failure: Reason | None = None) -> PendingLaunch:
        """The same launch after its callback: the secrets are gone."""
        return replace(
            self, code_verifier="", nonce=None, session=session, failure=failure.value if failure is not None else None
        )

    @property
    def is_finished(self) -> bool:
        """Whether a callback has already come."""
        return self.session is not None or self.failure is not None

    def to_record(self) -> dict[str, Any]:
        """The JSON object that is stored sealed."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PendingLaunch:
        """The launch in a stored record."""
        return cls(**{**record, "kind": LaunchKind(record["kind"])})


def accept_ehr_launch(ehrs: tuple[EhrSettings, ...], iss: str | None, launch: str | None) -> LaunchRequest | LaunchRefusal:
    """The EHR launch that ``iss`` and ``launch`` ask for (A4, A5)."""
    if not iss or not launch or len(launch) > MAX_PARAMETER_LENGTH:
        return LaunchRefusal(Reason.LAUNCH_PARAMETERS)
    ehr = find_ehr_by_iss(ehrs, iss)
    if ehr is None:
        return LaunchRefusal(Reason.UNKNOWN_EHR)
    return LaunchRequest(ehr=ehr, iss=iss, kind=LaunchKind.EHR, launch=launch)


def accept_standalone_launch(
    ehrs: tuple[EhrSettings, ...], iss: str | None, study: str | None
) -> LaunchRequest | LaunchRefusal:
    """The standalone launch at ``iss``, for one named study or none (A6)."""
    if not iss:
        return LaunchRefusal(Reason.LAUNCH_PARAMETERS)
    ehr = find_ehr_by_iss(ehrs, iss)
    if ehr is None:
        return LaunchRefusal(Reason.UNKNOWN_EHR)
    if study is not None and not is_uid(study):
        return LaunchRefusal(Reason.NOT_A_STUDY)
    return LaunchRequest(ehr=ehr, iss=iss, kind=LaunchKind.STANDALONE, study=study_uid(study) if study else None)


def scopes_for(request: LaunchRequest, capabilities: tuple[str, ...] = ()) -> str:
    """The scopes to ask: ``launch`` in an EHR launch, ``launch/patient`` in a standalone one (A13).

    ``capabilities`` are the EHR's own, by which ``scope_style`` is decided where the site leaves it open.
    """
    chosen_by_us = ("launch", "launch/patient", PICK_STUDY)
    configured = [scope for scope in request.ehr.scopes.split() if scope not in chosen_by_us]
    if asks_in_v1(request.ehr, capabilities):
        configured = list(dict.fromkeys(map(in_v1, configured)))
    if request.kind is LaunchKind.EHR:
        return " ".join(["launch", *configured])
    picked = [PICK_STUDY] if request.ehr.study_picker and request.study is None else []
    return " ".join(["launch/patient", *picked, *configured])


def asks_in_v1(ehr: EhrSettings, capabilities: tuple[str, ...]) -> bool:
    """Whether this EHR is asked in the grammar of v1: by the site's word, else where it offers that one only (A16)."""
    if ehr.scope_style is ScopeStyle.AUTO:
        return "permission-v1" in capabilities and "permission-v2" not in capabilities
    return ehr.scope_style is ScopeStyle.V1


def asks_identity(scopes: str) -> bool:
    """Whether an id_token is asked for, and so a nonce is due."""
    return "openid" in scopes.split()


def is_same_issuer(answered: str | None, expected: tuple[str | None, ...]) -> bool:
    """RFC 9207: an ``iss`` on the redirect must name the authorization server that was asked; absent says nothing."""
    return answered is None or answered in expected


def failure_of(error: str) -> Reason:
    """The page for an OAuth error code on the redirect (A20)."""
    return {
        "access_denied": Reason.DENIED,
        "invalid_scope": Reason.SCOPE_REFUSED,
        "unauthorized_client": Reason.CLIENT_REJECTED,
        "invalid_client": Reason.CLIENT_REJECTED,
        "login_required": Reason.SIGN_IN_FAILED,
        "interaction_required": Reason.SIGN_IN_FAILED,
        "account_selection_required": Reason.SIGN_IN_FAILED,
        "unmet_authentication_requirements": Reason.SIGN_IN_FAILED,
        "invalid_request": Reason.REQUEST_REFUSED,
        "unsupported_response_type": Reason.REQUEST_REFUSED,
        "consent_required": Reason.DENIED,
        "temporarily_unavailable": Reason.EHR_UNAVAILABLE,
        "server_error": Reason.EHR_UNAVAILABLE,
    }.get(error, Reason.AUTHORIZATION_FAILED)


def token_failure_of(error: str) -> Reason:
    """The page for an OAuth error code of the token endpoint."""
    return {
        "invalid_client": Reason.CLIENT_REJECTED,
        "unauthorized_client": Reason.CLIENT_REJECTED,
        "invalid_grant": Reason.CODE_REFUSED,
        "invalid_request": Reason.REQUEST_REFUSED,
        "unsupported_grant_type": Reason.REQUEST_REFUSED,
        "invalid_scope": Reason.SCOPE_REFUSED,
    }.get(error, Reason.AUTHORIZATION_FAILED)
