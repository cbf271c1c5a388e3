"""Who may see which study: pure decisions over facts that others gathered.

Spec: SMART Imaging Access F5, F6, F8, F9, W3-W5, P6; SMART App Launch 2.2 scopes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from fhir_imaging.scopes import ClinicalScope, ScopeContext
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.access import AccessGrant
from imaging_server.resource import DicomResource, Kind

DCM_SYSTEM = "http://dicom.nema.org/resources/ontology/DCM"
# system/ is left out: Backend mode is not offered, and a missing patient is no system access (F8).
_CONTEXTS = (ScopeContext.PATIENT, ScopeContext.USER)


class Reason(StrEnum):
    """Why a request is refused; stands in the answer and in the audit record."""

    NO_PATIENT = "no-patient-in-context"
    TOKEN_ENDED = "token-ended"  # noqa: S105 - a reason, not a secret
    INSUFFICIENT_SCOPE = "insufficient-scope"
    STUDY_NOT_OF_PATIENT = "study-not-of-patient"
    REFUSED_BY_EHR = "refused-by-ehr"
    NOT_IN_ARCHIVE = "not-in-archive"
    NO_IMAGES_YET = "no-images-yet"
    NOT_IN_STUDY = "not-in-study"
    IDENTITY_CONFLICT = "identity-conflict"
    OTHER_PATIENT = "other-patient"
    OTHER_TOKENS_PAGE = "other-tokens-page"


REASON_IN_WORDS = {
    Reason.NO_PATIENT: "The token has no patient in context, so it opens no images.",
    Reason.TOKEN_ENDED: "The token has ended.",
    Reason.INSUFFICIENT_SCOPE: "The token's scopes do not cover this.",
    Reason.STUDY_NOT_OF_PATIENT: "This study is not among those of the token's patient.",
    Reason.REFUSED_BY_EHR: "The EHR does not show this patient's studies to this token.",
    Reason.NOT_IN_ARCHIVE: "The archive does not list this study.",
    Reason.NO_IMAGES_YET: "The archive lists no images of this study yet.",
    Reason.NOT_IN_STUDY: "The study does not hold what was asked for.",
    Reason.IDENTITY_CONFLICT: "The archive and the EHR do not agree whose study this is.",
    Reason.OTHER_PATIENT: "The token is for another patient than the one that is asked for.",
    Reason.OTHER_TOKENS_PAGE: "This link to a further page was made for another token.",
}
"""What a caller is told."""
NOTHING_THERE = frozenset({Reason.NOT_IN_ARCHIVE, Reason.NO_IMAGES_YET})
"""The study is the caller's patient's, and the archive has nothing of it: 404, and nobody is held back for asking."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The request may go to the archive."""

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Refused:
    """The request must not reach the archive; falsy, yet it explains itself."""

    reason: Reason

    def __bool__(self) -> bool:
        return False


Verdict: TypeAlias = Granted | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """What the EHR says of one study of the token's patient."""

    study: StudyInstanceUID
    modalities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found out about the study that a request names.

    ``owned`` is None when the EHR does not confirm, to this caller, that the study is the token's patient's.
    ``contains`` is whether the archive lists that study and places the named series and instance in it.
    ``same_person`` is whether the archive names the same patient as FHIR, or one alone where the site does not compare; None
    when the archive lists no such study.
    """

    owned: StudyFacts | None
    contains: bool
    same_person: bool | None = None


def decide_beforehand(grant: AccessGrant, resource: DicomResource, *, now: int) -> Verdict:
    """What the token alone decides, before any server is asked. ``now`` in UTC seconds, leeway already taken off."""
    if now >= grant.expires_at:
        return Refused(Reason.TOKEN_ENDED)
    if grant.patient_id is None:
        return Refused(Reason.NO_PATIENT)
    if not _scopes(grant, resource):
        return Refused(Reason.INSUFFICIENT_SCOPE)
    return Granted()


def decide(grant: AccessGrant, resource: DicomResource, evidence: Evidence, *, now: int) -> Verdict:
    """Whether the request about one study may go to the archive. Every check is repeated here, so this alone suffices."""
    beforehand = decide_beforehand(grant, resource, now=now)
    if isinstance(beforehand, Refused):
        return beforehand
    if evidence.owned is None or evidence.owned.study != resource.study:
        return Refused(Reason.STUDY_NOT_OF_PATIENT)
    if evidence.same_person is False:
        return Refused(Reason.IDENTITY_CONFLICT)
    if not any(_matches(scope, evidence.owned) for scope in _scopes(grant, resource)):
        return Refused(Reason.INSUFFICIENT_SCOPE)
    if not evidence.contains:
        if evidence.same_person is None:
            return Refused(Reason.NOT_IN_ARCHIVE)
        return Refused(Reason.NO_IMAGES_YET if resource.series is None else Reason.NOT_IN_STUDY)
    return Granted()


def decide_endpoint(grant: AccessGrant, *, now: int) -> Verdict:
    """Whether a token may read where a study's images are: an address, and nothing of any patient."""
    if now >= grant.expires_at:
        return Refused(Reason.TOKEN_ENDED)
    if grant.patient_id is None:
        return Refused(Reason.NO_PATIENT)
    readable = (grant.scopes.granting(kind, "r", contexts=_CONTEXTS) for kind in ("Endpoint", "ImagingStudy"))
    return Granted() if any(readable) else Refused(Reason.INSUFFICIENT_SCOPE)


def visible_studies(grant: AccessGrant, resource: DicomResource, owned: Iterable[StudyFacts]) -> tuple[StudyFacts, ...]:
    """Those of the patient's studies that the token's scopes let a search show."""
    scopes = _scopes(grant, resource)
    return tuple(study for study in owned if any(_matches(scope, study) for scope in scopes))


def _scopes(grant: AccessGrant, resource: DicomResource) -> Sequence[ClinicalScope]:
    """The scopes that grant this kind of request, as far as their filters can be enforced (P6)."""
    letter = "s" if resource.kind is Kind.SEARCH else "r"
    granting = grant.scopes.granting("ImagingStudy", letter, contexts=_CONTEXTS)
    return [scope for scope in granting if all(name == "modality" and _codes(value) for name, value in scope.filters)]


def _matches(scope: ClinicalScope, study: StudyFacts) -> bool:
    """Whether a study passes all filters of a scope; several filters on modality must each hold, as in a FHIR search."""
    return all(_codes(value) & study.modalities for _, value in scope.filters)


def _codes(value: str) -> frozenset[str]:
    """Modality codes of a FHIR token list (``CT``, ``DCM|CT`` or ``CT,MR``); empty when one of them is of another system."""
    codes = set()
    for token in value.split(","):
        system, bar, code = token.rpartition("|")
        if not code or (bar and system != DCM_SYSTEM):
            return frozenset()
        codes.add(code)
    return frozenset(codes)
