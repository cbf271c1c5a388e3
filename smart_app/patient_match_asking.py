"""Asks the archive whose study it holds, before anything of the study's images is loaded, and records a blocked study.

The question goes to the study's own Endpoint with the session's token, which that origin may have, and waits no longer
than two seconds: what is not known by then is shown as unverified.

Spec: DICOM PS3.18 §10.6 (QIDO-RS), SMART Imaging Access group 29.
"""

from __future__ import annotations

from typing import Any

import requests

from fhir_imaging.audit import AuditAction, AuditLog, AuditOutcome, AuditRecord, user_at
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.dicom_json import ISSUER_OF_PATIENT_ID, PATIENT_ID
from fhir_imaging.errors import UpstreamError
from fhir_imaging.web import request_reference
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.patient_imaging import PatientImaging, reaching
from smart_app.patient_match import ArchiveAnswer, Match, PatientMatch, judge_match
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession

LONGEST_WAIT_S = 2.0
_NOT_ANSWERED = ArchiveAnswer(datasets=None)


def match_patient(
    services: SmartAppServices, live: LiveSession, imaging: PatientImaging, study_instance_uid: str, address: str
) -> PatientMatch:
    """Whether the study at ``address`` is of the session's patient; ExplainedRefusal when it provably is not."""
    rule = services.identifier_systems.get(live.session.ehr)
    answer = _NOT_ANSWERED
    if rule is not None:
        with reaching(services.outbound, address) as outbound:
            answer = _ask(outbound, live.access_token, address, study_instance_uid)
    found = judge_match(rule, imaging.banner.identifiers, answer, study_instance_uid)
    if found.match is Match.DIFFERENT:
        _record(services, live, study_instance_uid, found)
        raise ExplainedRefusal(Reason.STUDY_OF_ANOTHER_PERSON, facts={"study": study_instance_uid, "finding": found.words})
    return found


def _ask(outbound: OutboundSession, token: str, address: str, study_instance_uid: str) -> ArchiveAnswer:
    fields = [("includefield", PATIENT_ID), ("includefield", ISSUER_OF_PATIENT_ID)]
    by_uid = _search(outbound, token, f"{address}/studies", [("StudyInstanceUID", study_instance_uid), *fields])
    if by_uid.is_refused:
        return _NOT_ANSWERED  # a right to search that is missing says nothing of the person
    if by_uid.datasets or by_uid.datasets is None:
        return by_uid
    # A gateway that compares persons itself leaves such a study out of the search, and refuses it by name.
    by_name = _search(outbound, token, f"{address}/studies/{study_instance_uid}/series", [("limit", "1")])
    return by_name if by_name.is_refused else by_uid


def _search(outbound: OutboundSession, token: str, url: str, query: list[tuple[str, str]]) -> ArchiveAnswer:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/dicom+json"}
    try:
        with outbound.ask(url, query, headers=headers, timeout_s=LONGEST_WAIT_S) as response:
            if response.status_code == 204:
                return ArchiveAnswer(datasets=())
            if response.status_code == 403:
                return ArchiveAnswer(datasets=None, is_refused=True)
            return ArchiveAnswer(datasets=_datasets(response.json()) if response.status_code == 200 else None)
    except (UpstreamError, requests.RequestException, ValueError):
        return _NOT_ANSWERED


def _datasets(body: Any) -> list[dict[str, Any]] | None:
    return [one for one in body if isinstance(one, dict)] if isinstance(body, list) else None


def _record(services: SmartAppServices, live: LiveSession, study_instance_uid: str, found: PatientMatch) -> None:
    """The refusal in the audit trail, before the page goes out."""
    AuditLog(services.store).append(
        AuditRecord(
            recorded_at=services.now(),
            ehr=live.session.ehr,
            action=AuditAction.STUDY_OPENED,
            outcome=AuditOutcome.DENIED,
            reason=f"patient-mismatch: {found.why.value}",
            patient_id=live.session.patient,
            user=user_at(live.session.user, live.session.iss),
            issuer=live.session.iss,
            study_instance_uid=study_instance_uid,
            request_id=request_reference(),
        )
    )
