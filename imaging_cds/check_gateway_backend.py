"""Whether a Backend Services client is kept from patients whom it may not see, in whatever way they are named.

Spec: SMART Imaging Access F7: 403 for such a patient; from a list that names nobody, such studies are left out.
"""

from __future__ import annotations

from fhir_imaging.study import patient_id_of, read_study_uid
from imaging_cds.check_gateway_examination import Examination, page_of, subject_of
from imaging_cds.check_gateway_patients import NO_POST, exactly_403, naming_another, naming_nobody
from imaging_cds.check_gateway_probe import Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged
from imaging_cds.check_gateway_subject import TokenKind


def _refused(exam: Examination) -> Outcome:
    if exam.subject.backend_mode and exam.subject.other_patient is None:
        raise NotTried("Needs --other-patient: a patient whom the backend client may not see.")
    token = _token(exam)
    asked = naming_another(exam, token)
    by_post = exam.search(("patient", exam.subject.foreign_patient), token=token, method="POST")
    return exactly_403(asked if by_post.status in NO_POST else [*asked, ("POST _search", by_post)])


def _left_out(exam: Examination) -> Outcome:
    token, other, study = _token(exam), exam.subject.other_patient, exam.subject.other_study
    if other is None and study is None:
        raise NotTried("Needs --other-patient or --other-study: whom the backend client may not see, or a study of theirs.")
    told = naming_nobody(exam, token)
    listed = [name for name, reply in told if _shows(reply.end, other, study)]
    served = sum(reply.end.is_served for _, reply in told)
    return judged(
        [f"{name}: the other patient's study" for name in listed],
        f"{len(told)} searches, {served} served, none with the other patient's study.",
    )


def _token(exam: Examination) -> str:
    """The client's token, where it is shown to open anything: else a refusal proves nothing."""
    if not exam.subject.backend_mode:
        raise NotOffered("No Backend Services mode (say --backend-mode if the server has it).")
    token = exam.subject.token(TokenKind.SYSTEM)
    reply = exam.search_own(token=token)
    if not page_of(reply).bundle:
        raise NotTried(f"--system-token opens nothing of --patient ({reply.said}), so that a refusal would prove nothing.")
    return token


def _shows(reply: Reply, patient: str | None, study: str | None) -> bool:
    found = page_of(reply).studies
    of_patient = patient is not None and any(patient_id_of(subject_of(one)) == patient for one in found)
    return of_patient or (study is not None and any(read_study_uid(one) == study for one in found))


BACKEND_REQUIREMENTS = (
    Requirement(
        ids="F7",
        name="backend",
        asks="A Backend Services client gets 403 for a patient whom it may not see, with every other parameter too.",
        remedy="Check the client's rights for the named patient, however the patient is written.",
        check=_refused,
    ),
    Requirement(
        ids="F7",
        name="left-out",
        asks="What a Backend Services client may not see is left out of lists that name nobody, or name it otherwise.",
        remedy="Filter every list by the client's rights, after the search too.",
        check=_left_out,
    ),
)
