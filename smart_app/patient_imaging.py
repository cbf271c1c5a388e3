"""One session's patient with everything that the pages show: identity, studies, and plain notes on what is missing and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import ImagingError, UpstreamError, UpstreamRefused
from fhir_imaging.scopes import ScopeContext
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.study import concept_text
from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.rules import ActionablePolicy
from smart_app.active_session import ActiveSession
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.imaging_base import find_imaging_base
from smart_app.patient_banner import PatientBanner, read_banner
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.study_findings import NO_HIGHLIGHTS, StudyHighlights, highlights, is_for_clinicians, searches_for
from smart_app.study_list import ListContext, StudyList, build_study_list
from smart_app.study_search import BusyPolicy, FoundStudies, GatheredRecords, Wanted, gather
from smart_app.token_origins import token_receivers

_CONTEXTS = (ScopeContext.PATIENT, ScopeContext.USER)
_RIGHTS = {
    "ImagingStudy": ("s", "the list of studies"),
    "DiagnosticReport": ("s", "reports"),
    "Patient": ("r", "the patient's name, birth date and record number"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientImaging:
    """What a page shows of one session. ``notes`` are whole sentences for the user."""

    ehr: EhrSettings
    session: ActiveSession
    banner: PatientBanner
    studies: StudyList
    highlights: StudyHighlights
    notes: tuple[str, ...]
    imaging_base: str
    token_receivers: frozenset[str]


class _TokenNotTaken(Exception):
    """The imaging server answered 401: the token may have been revoked before its time."""


def look_up(services: SmartAppServices, live: LiveSession, study: StudyInstanceUID | None = None) -> PatientImaging:
    """Asks the EHR and its imaging server with the session's token; ``study`` narrows the question to one.

    A refused token is renewed once and the question asked once more (A39). ExplainedRefusal where the list cannot be had.
    """
    try:
        return _look_up(services, live, study)
    except _TokenNotTaken:
        renewed = SessionTokens(services).live(live.session_id, was_refused=True)
    if renewed.access_token == live.access_token:
        raise ExplainedRefusal(Reason.SESSION_ENDED)
    try:
        return _look_up(services, renewed, study)
    except _TokenNotTaken as exc:
        raise ExplainedRefusal(Reason.SESSION_ENDED) from exc


def _look_up(services: SmartAppServices, live: LiveSession, study: StudyInstanceUID | None) -> PatientImaging:
    session = live.session
    ehr = services.ehr(session.ehr)
    if ehr is None:
        raise ExplainedRefusal(Reason.UNKNOWN_EHR, facts={"iss": session.iss})
    if not session.scopes.granting("ImagingStudy", "s", contexts=_CONTEXTS):
        raise ExplainedRefusal(Reason.NO_IMAGING_PERMISSION, facts={"iss": session.iss, "granted scope": session.scope})
    metadata = services.metadata.of(session.iss)
    receivers = token_receivers(ehr, metadata, services.settings.origin)
    base = find_imaging_base(ehr, metadata, session.iss)
    imaging_base = base.url
    if origin_of(imaging_base) not in receivers:
        raise ExplainedRefusal(Reason.EHR_SERVER_REFUSED, facts={"origin": origin_of(imaging_base)})
    with reaching(services.outbound, imaging_base) as imaging_outbound:
        records = gather(
            FhirClient(imaging_base, imaging_outbound, access_token=live.access_token),
            FhirClient(session.iss, services.outbound, access_token=live.access_token),
            _wanted(session, study, services.policy.packs.actionable),
            BusyPolicy(
                retries=services.settings.busy_retries,
                longest_wait_s=services.settings.busy_wait_s,
                sleep=services.sleep,
            ),
        )
    if records.studies is None:
        error = records.problems["ImagingStudy"]
        if isinstance(error, UpstreamRefused) and error.status == 401:
            raise _TokenNotTaken
        raise _unavailable(error, imaging_base)
    context = ListContext(
        patient_id=session.patient,
        patient_bases=(session.iss, imaging_base),
        token_receivers=receivers,
        endpoint_rewrites=ehr.endpoint_rewrites,
    )
    studies = build_study_list(records.studies, records.reports or (), context)
    speaks = study is None and is_for_clinicians(session.user)
    lines = highlights(records, studies.rows, context, services.clock(), services.policy) if speaks else NO_HIGHLIGHTS
    return PatientImaging(
        ehr=ehr,
        session=session,
        banner=read_banner(records.patient, session.patient, services.clock().date()),
        studies=studies,
        highlights=lines,
        notes=(
            *_notes(session, records, records.studies, studies),
            *base.notes,
            *(f"For the findings beside the studies, {words} could not be looked at." for words in lines.not_seen),
        ),
        imaging_base=imaging_base,
        token_receivers=receivers,
    )


def _wanted(session: ActiveSession, study: StudyInstanceUID | None, actionable: ActionablePolicy | None) -> Wanted:
    granted = session.scopes
    speaks = study is None and is_for_clinicians(session.user)
    return Wanted(
        patient_id=session.patient,
        study=study,
        reports=bool(granted.granting("DiagnosticReport", "s", contexts=_CONTEXTS)),
        patient=bool(granted.granting("Patient", "r", contexts=_CONTEXTS)),
        searches=searches_for(session.patient, granted, actionable) if speaks else (),
    )


@contextmanager
def reaching(outbound: OutboundSession, base: str) -> Iterator[OutboundSession]:
    """The shared session, or one for a single associated server that the EHR vouches for and nobody configured."""
    if origin_of(base) in outbound.allowed_origins:
        yield outbound
        return
    with OutboundSession([base], timeout_s=outbound.timeout_s) as single:
        yield single


def _unavailable(error: ImagingError, imaging_base: str) -> ImagingError:
    facts = {"imaging server": imaging_base}
    if isinstance(error, UpstreamError) and error.status is not None:
        facts["answer"] = f"HTTP {error.status}"
    if isinstance(error, UpstreamRefused) and error.status == 403:
        return ExplainedRefusal(Reason.NO_IMAGING_PERMISSION, facts=facts)
    return ExplainedRefusal(Reason.IMAGING_UNAVAILABLE, facts=facts)


def _notes(session: ActiveSession, records: GatheredRecords, found: FoundStudies, studies: StudyList) -> Iterator[str]:
    for resource_type, (letter, words) in _RIGHTS.items():
        scopes = session.scopes.granting(resource_type, letter, contexts=_CONTEXTS)
        if not scopes:
            yield f"The EHR did not allow this application to see {words} (patient/{resource_type}.{letter})."
        elif all(scope.filters for scope in scopes):
            yield f"The EHR limits {words} to a part of the record, so there may be more than is shown."
        elif resource_type in records.problems:
            yield f"The EHR did not answer the question for {words}. They may exist all the same."
    if found.without_endpoints:
        yield "The imaging server did not say where the images are (no right to read Endpoint)."
    if found.has_more:
        yield "There are more studies than are shown here; the newest may be missing."
    if studies.blocked:
        yield (
            f"{studies.blocked} entries were left out because they do not belong to this patient or do not say whose they "
            "are. Please report this."
        )
    for outcome in found.outcomes:
        yield from (f"The imaging server remarks: {words}" for words in _remarks(outcome))


def _remarks(outcome: dict[str, object]) -> Iterator[str]:
    for issue in dicts(outcome.get("issue")):
        words = concept_text(issue.get("details")) or text(issue.get("diagnostics"))
        if words and issue.get("severity") in ("error", "warning", "fatal"):
            yield words[:300]
