"""``imaging-study-complete`` on a hook of our own: AI findings of one study as soon as it is complete.

No published hook says that a study is complete, so the hook's name is a setting in reverse domain form (clinical rules, X8),
and its context is defined here. A study that is not in the chart of the patient in context says nothing, whoever's it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.cards import card_for, gap_card
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Gathered
from cds_service.protocol import FHIR_ID, HookRequest
from cds_service.settings import STUDY_COMPLETE_HOOK
from fhir_imaging.errors import InvalidRequest
from fhir_imaging.tolerant import text
from fhir_imaging.uids import StudyInstanceUID, is_uid, study_uid
from imaging_findings import facts as all_facts
from imaging_findings.facts import Facts, read_facts
from imaging_findings.history import StudyFacts
from imaging_findings.observations import OTHER_PATIENT
from imaging_findings.one_study import study_guidance

ALIAS = "imaging-study-complete"
_REQUIRED = ("findings", "studies")
_ASKED = (*_REQUIRED, "reports", "communications")
QUERIES = tuple(replace(query, required=query.key in _REQUIRED) for query in all_facts.QUERIES if query.key in _ASKED)
CONTEXT = (
    ("patientId", "required: the id of the patient in whose chart the study is"),
    ("study", "ImagingStudy/{id}; this or studyInstanceUid is required, and where both are given they must agree"),
    ("studyInstanceUid", "the DICOM Study Instance UID, bare"),
    ("userId", "optional, since a system may fire the hook; a patient or a related person gets no cards"),
    ("encounterId", "optional"),
)
NOT_IN_CHART = "the patient's chart holds no such study"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStudy:
    """How the request names the study; at least one of the two."""

    reference: str | None
    """``ImagingStudy/{id}``."""
    uid: StudyInstanceUID | None

    def is_named(self, study: StudyFacts) -> bool:
        """Whether either name is this study's."""
        return study.reference == self.reference or study.study_instance_uid == self.uid

    def agrees(self, study: StudyFacts) -> bool:
        """Whether all that is given is this study's."""
        return self.reference in (None, study.reference) and self.uid in (None, study.study_instance_uid)


def named_study(request: HookRequest) -> NamedStudy:
    """The study in the request's context; InvalidRequest names the field that is wrong."""
    context = request.context
    reference = _reference(context, request.fhir_server) if context.get("study") is not None else None
    uid = _uid(context) if context.get("studyInstanceUid") is not None else None
    if reference is None and uid is None:
        raise InvalidRequest("context.study: must be given, or context.studyInstanceUid.")
    return NamedStudy(reference=reference, uid=uid)


def _reference(context: Mapping[str, Any], fhir_server: str | None) -> str:
    stated = text(context.get("study")) or ""
    relative = stated.removeprefix(f"{fhir_server.rstrip('/')}/") if fhir_server else stated
    resource_type, _, resource_id = relative.partition("/")
    if resource_type != "ImagingStudy" or not FHIR_ID.fullmatch(resource_id):
        raise InvalidRequest("context.study: must be a reference such as ImagingStudy/1.")
    return relative


def _uid(context: Mapping[str, Any]) -> StudyInstanceUID:
    stated = text(context.get("studyInstanceUid")) or ""
    if not is_uid(stated):
        raise InvalidRequest("context.studyInstanceUid: must be a DICOM UID (dotted digits, at most 64 characters).")
    return study_uid(stated)


def _check(request: HookRequest) -> None:
    named_study(request)


def evaluate(gathered: Gathered, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards of one study; none for a patient or proxy. InvalidRequest where the two names are two studies' names."""
    if context.request.user.is_patient_or_proxy:
        return ()
    facts, named = _facts(gathered, context), named_study(context.request)
    studies = _studies(facts, named)
    guidance = [one for study in studies for one in study_guidance(facts, study, context.policy.packs, context.now)]
    cards = tuple(card_for(one, facts, context) for one in guidance)
    if not cards and _is_incomplete(facts, named, found=bool(studies)):
        return (gap_card(facts, context),)
    return cards


def silences(gathered: Gathered, context: CardContext) -> tuple[Silence, ...]:
    """That the chart holds no such study, and resources that could not be used."""
    facts, named = _facts(gathered, context), named_study(context.request)
    absent = [] if _studies(facts, named) else [Silence(about=named.reference or str(named.uid), reason=NOT_IN_CHART)]
    return (*absent, *(Silence(about=one.reference, reason=one.reason) for one in facts.problems))


def _facts(gathered: Gathered, context: CardContext) -> Facts:
    """What was asked for and is this patient's; not a word about what may be another's, so that nobody is looked up here."""
    request = context.request
    bases = (request.fhir_server,) if request.fhir_server else ()
    facts = read_facts(
        gathered.resources, request.patient_id, partial=gathered.partial, bases=bases, site=context.policy.studies
    )
    return replace(
        facts,
        problems=tuple(one for one in facts.problems if one.reason != OTHER_PATIENT),
        unavailable=facts.unavailable & set(_ASKED),
    )


def _studies(facts: Facts, named: NamedStudy) -> list[StudyFacts]:
    """The chart's studies of that name (usually one)."""
    found = [study for study in facts.studies if named.is_named(study)]
    agreeing = [study for study in found if named.agrees(study)]
    # What a part of the list does not show may stand on the rest of it.
    if found and not agreeing and "studies" not in facts.partial:
        raise InvalidRequest("context.studyInstanceUid: is not that of the study that context.study names.")
    return agreeing


def _is_incomplete(facts: Facts, named: NamedStudy, *, found: bool) -> bool:
    """Whether silence could be taken for an answer: data came in part, or the very study cannot be read."""
    unread = {one.reference for one in facts.problems}
    if found:
        return "findings" in facts.partial or any(one.startswith("Observation") for one in unread)
    return "studies" in facts.partial or named.reference in unread


def service(hook: str = STUDY_COMPLETE_HOOK) -> ServiceDefinition:
    """The service on the hook's name at this site."""
    optional = ", ".join(query.key for query in QUERIES if not query.required)
    return ServiceDefinition(
        service_id="imaging-study-complete",
        hook=hook,
        title="AI findings of a completed study",
        description=(
            "AI results of one study as soon as it is complete: labelled AI (unsigned), at most a warning, without an order, "
            "beside what a radiologist has signed of the same study; and signed findings of ACR category 1 with what is on "
            f"record of their communication. The hook {hook} is this installation's own: no published hook library has it."
        ),
        usage_requirements=(
            "Not a standard hook: fire it when a study is complete, with context.patientId and context.study (ImagingStudy/id) "
            f"or context.studyInstanceUid; userId is optional. The short name {ALIAS} is understood too. Required data: "
            f"{', '.join(_REQUIRED)} (by prefetch or by fhirServer with fhirAuthorization; otherwise the answer is 412). "
            f"Optional data: {optional}; a card says when they were not available. Users who are a patient or a related person "
            "get no cards, and a study that is not in the patient's chart gives none."
        ),
        queries=QUERIES,
        serves_patients=False,
        evaluate=evaluate,
        silences=silences,
        hook_aliases=(ALIAS,),
        needs_user=False,
        check=_check,
        hook_context=CONTEXT,
    )
