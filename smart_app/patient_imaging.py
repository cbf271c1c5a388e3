"""One session's patient with everything that the pages show: identity, studies, and plain notes on what is missing and why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import ImagingError, NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.study import points_to_patient
from fhir_imaging.texts import N_, gettext
from fhir_imaging.tolerant import as_dict, text
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.site_policy import SitePolicy
from smart_app.active_session import ActiveSession
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.gathering import BusyPolicy, Gathering
from smart_app.imaging_base import find_imaging_base, has_other_patients
from smart_app.imaging_notes import CONTEXTS, NOTE_FOR_PATIENT, note_on_other_reports, notes_on
from smart_app.patient_banner import PatientBanner, read_banner
from smart_app.refused_endpoints import RefusedEndpoints
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.study_findings import (
    NO_HIGHLIGHTS,
    StudyHighlights,
    highlights,
    is_for_clinicians,
    released_to_patient,
    searches_for,
)
from smart_app.study_list import ListContext, StudyList, build_study_list
from smart_app.study_regions import StudyKinds
from smart_app.study_reports import ReportsByStudy, is_by_device
from smart_app.study_search import PATIENT, REPORTS, STUDIES, GatheredRecords, Servers, Wanted, matches_of
from smart_app.token_origins import token_receivers

NOT_LOOKED_AT = N_("For the findings beside the studies, {what} could not be looked at.")
LOOK_UP_S = 60.0
"""The longest that everything together is waited for; what has not come then counts as not to be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientImaging:
    """What a page shows of one session. ``notes`` are whole sentences for the user."""

    ehr: EhrSettings
    session: ActiveSession
    patient: dict[str, Any] | None
    """The Patient as the EHR gave it; None where it could not be had, or is not the session's."""
    banner: PatientBanner
    studies: StudyList
    highlights: StudyHighlights
    notes: tuple[str, ...]
    is_cut: bool = False
    """Whether the server has, or may have, more studies of this patient than came."""

    def absent(self) -> ExplainedRefusal:
        """Why a study that is not in the list is not opened: it is not this patient's, or nobody can tell."""
        return ExplainedRefusal(Reason.IMAGING_UNAVAILABLE if self.is_cut else Reason.STUDY_NOT_OF_PATIENT)


class Inquiry:
    """One session's patient being asked after: under way from the start, with the answer at any moment of it.

    ``study`` narrows the question to one. ExplainedRefusal where nothing may be asked. Used as a context, or closed.
    """

    def __init__(self, services: SmartAppServices, live: LiveSession, study: StudyInstanceUID | None = None) -> None:
        self.session = live.session
        self._services = services
        self._live = live
        self._study = study
        self.ehr = _ehr_of(services, live.session)
        metadata = services.metadata.of(live.session.iss)
        receivers = token_receivers(self.ehr, metadata, services.settings.origin)
        self._base = find_imaging_base(self.ehr, metadata, live.session.iss)
        self.refused_endpoints = RefusedEndpoints(services, live)
        if origin_of(self._base.url) not in receivers:
            self.refused_endpoints.record([self._base.url])
            raise ExplainedRefusal(Reason.EHR_SERVER_REFUSED, facts={"origin": origin_of(self._base.url)})
        is_foreign = has_other_patients(self.ehr, metadata, live.session.iss, self._base)
        self.context = ListContext(
            patient_id=self.session.patient,
            patient_bases=(self.session.iss,) if is_foreign else (self.session.iss, self._base.url),
            relative_studies_are_own=not is_foreign,
            token_receivers=receivers,
            endpoint_rewrites=self.ehr.endpoint_rewrites,
            kinds=StudyKinds(services.policy.studies),
            for_patient=not is_for_clinicians(live.session.user),
        )
        self._reports = ReportsByStudy()
        self._pages_of_reports = 0
        self._open = ExitStack()
        self._imaging_outbound = self._open.enter_context(reaching(services.outbound, self._base.url))
        wanted = _wanted(self.session, study, services.policy)
        settings = services.settings
        sleep = None if services.sleep is time.sleep else services.sleep
        self.busy = BusyPolicy(retries=settings.busy_retries, longest_wait_s=settings.busy_wait_s, sleep=sleep)
        self.gathering = Gathering(wanted, self._servers, live.access_token, self.busy, self._renewed)

    def __enter__(self) -> Inquiry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing more is asked."""
        self.gathering.stop()
        self._open.close()

    def require_living(self) -> None:
        """ExplainedRefusal, with nothing more asked, when the session has ended or was signed out since, in any worker."""
        services = self._services
        session = services.sessions.find(self._live.session_id, now=services.now())
        ended = Reason.SESSION_UNKNOWN.value if session is None else session.ended
        if ended is not None:
            self.gathering.stop()
            raise ExplainedRefusal(Reason(ended))

    def patient(self) -> dict[str, Any] | None:
        """The Patient, waited for alone; None where it could not be had, or is not the session's."""
        for _ in self.gathering.events(partial(self.gathering.has_answered, PATIENT), within_s=LOOK_UP_S):
            pass
        return self.gathering.records().patient

    def to_the_end(self) -> PatientImaging:
        """Everything, waited for; ExplainedRefusal where the studies cannot be had."""
        self.gathering.follow()
        for _ in self.gathering.events(within_s=LOOK_UP_S):
            pass
        return self.answer()

    def answer(self, *, is_whole: bool = True) -> PatientImaging:
        """What is known now. ``is_whole``: everything came, so that findings and notes can be told.

        ExplainedRefusal where the studies cannot be had.
        """
        records = self.gathering.records()
        problem = records.problems.get(STUDIES)
        if records.studies is None or (problem is not None and is_whole):
            raise self._unavailable(problem)
        studies = build_study_list(records.studies, self._reports_of(records, is_whole=is_whole), self.context)
        self.refused_endpoints.record(studies.refused_addresses)
        lines = self._highlights(records, studies) if is_whole else NO_HIGHLIGHTS
        notes = (
            *notes_on(self.session, records, records.studies, studies),
            *note_on_other_reports(sum(not self._is_own(one) for one in records.reports or ())),
            *self._base.notes,
            *(gettext(NOT_LOOKED_AT).format(what=words) for words in lines.not_seen),
        )
        return PatientImaging(
            ehr=self.ehr,
            session=self.session,
            patient=records.patient,
            banner=read_banner(records.patient, self.session.patient, self._services.clock().date()),
            studies=studies,
            highlights=lines,
            notes=self._readable(notes) if is_whole else (),
            is_cut=STUDIES in records.cut or records.studies.is_doubtful,
        )

    def reports_so_far(self) -> ReportsByStudy:
        """The reports that came, each read once however often the list is built; of a patient's none, until all is known."""
        if not self.context.for_patient:
            pages = self.gathering.pages(REPORTS)
            self._reports.add(filter(self._is_own, matches_of(pages[self._pages_of_reports :], REPORTS)))
            self._pages_of_reports = len(pages)
        return self._reports

    def _is_own(self, report: Mapping[str, Any]) -> bool:
        """Whether a report is this patient's: an accession number or a study's id in another's proves nothing."""
        subject = text(as_dict(report.get("subject")).get("reference"))
        return points_to_patient(subject, self.context.patient_id, self.context.patient_bases)

    def _reports_of(self, records: GatheredRecords, *, is_whole: bool) -> ReportsByStudy:
        """The reports that this user may read: for a patient only what the site has released, which the whole record tells."""
        if not self.context.for_patient or not is_whole or not records.reports:
            return self.reports_so_far()
        released = released_to_patient(records, self.context, self._services.clock(), self._services.policy)
        found = (one for one in records.reports if f"DiagnosticReport/{one.get('id')}" in released)
        return ReportsByStudy(one for one in found if self._is_own(one) and not is_by_device(one))

    def _highlights(self, records: GatheredRecords, studies: StudyList) -> StudyHighlights:
        if self._study is not None or not is_for_clinicians(self.session.user):
            return NO_HIGHLIGHTS
        return highlights(records, studies.rows, self.context, self._services.clock(), self._services.policy)

    def _readable(self, notes: tuple[str, ...]) -> tuple[str, ...]:
        """Notes speak of scopes and servers; a patient is told what they mean."""
        return ((NOTE_FOR_PATIENT,) if notes else ()) if self.context.for_patient else notes

    def _servers(self, token: str) -> Servers:
        return Servers(
            imaging=FhirClient(self._base.url, self._imaging_outbound, access_token=token),
            ehr=FhirClient(self.session.iss, self._services.outbound, access_token=token),
        )

    def _renewed(self, key: str, refused: str) -> str | None:
        """Another token after one was refused: the studies' refusal renews it, any other's only where it is due anyway.

        A server that never gives reports must not make every list renew the session's token.
        """
        renewed = SessionTokens(self._services).live(self._live.session_id, was_refused=key == STUDIES)
        return None if renewed.access_token == refused else renewed.access_token

    def _unavailable(self, error: ImagingError | None) -> ImagingError:
        facts = {"imaging server": self._base.url}
        if isinstance(error, UpstreamRefused) and error.status == 401:
            # The token may have been revoked before its time; it has been renewed, or cannot be.
            return ExplainedRefusal(Reason.SESSION_ENDED)
        if isinstance(error, UpstreamError) and error.status is not None:
            facts["answer"] = f"HTTP {error.status}"
        if isinstance(error, UpstreamRefused) and error.status == 403:
            return ExplainedRefusal(Reason.NO_IMAGING_PERMISSION, facts=facts)
        if isinstance(error, NotFound) or (isinstance(error, UpstreamError) and error.status in _NOT_OFFERED):
            return ExplainedRefusal(Reason.NO_IMAGING_SERVICE, facts=facts)
        if isinstance(error, UpstreamError) and error.status in (429, 503):
            return ExplainedRefusal(Reason.IMAGING_BUSY, facts=facts, retry_after_s=error.retry_after_s)
        return ExplainedRefusal(Reason.IMAGING_UNAVAILABLE, facts=facts)


_NOT_OFFERED = (405, 501)
"""How a FHIR server answers a search of a resource type that it does not have, where not with 404."""


def look_up(services: SmartAppServices, live: LiveSession, study: StudyInstanceUID | None = None) -> PatientImaging:
    """Asks the EHR and its imaging server with the session's token, to the end; ``study`` narrows the question to one.

    A refused token is renewed once and the question asked once more (A39). ExplainedRefusal where the list cannot be had.
    """
    with Inquiry(services, live, study) as inquiry:
        return inquiry.to_the_end()


def _ehr_of(services: SmartAppServices, session: ActiveSession) -> EhrSettings:
    ehr = services.ehr(session.ehr)
    if ehr is None:
        raise ExplainedRefusal(Reason.UNKNOWN_EHR, facts={"iss": session.iss})
    if not session.scopes.granting("ImagingStudy", "s", contexts=CONTEXTS):
        raise ExplainedRefusal(Reason.NO_IMAGING_PERMISSION, facts={"iss": session.iss, "granted scope": session.scope})
    return ehr


def _wanted(session: ActiveSession, study: StudyInstanceUID | None, policy: SitePolicy) -> Wanted:
    granted, actionable = session.scopes, policy.packs.actionable
    # One study is asked for to open its images: neither its report nor a finding is looked at then.
    is_list = study is None
    # What a patient may read depends on findings and communications, though none of them is shown.
    speaks = is_list and (is_for_clinicians(session.user) or policy.release.serves_patients)
    return Wanted(
        patient_id=session.patient,
        study=study,
        reports=is_list and bool(granted.granting("DiagnosticReport", "s", contexts=CONTEXTS)),
        patient=bool(granted.granting("Patient", "r", contexts=CONTEXTS)),
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
