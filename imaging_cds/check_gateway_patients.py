"""Whether a search is held to the token's patient, in whatever way another patient or study is named.

Spec: SMART Imaging Access F6, M6, M10; smart-imaging.md §13 groups 8, 11 and 14.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from fhir_imaging.study import patient_id_of, read_study_uid
from imaging_cds.check_gateway_examination import FHIR_JSON, INCLUDE, Examination, page_of, subject_of, uids_of
from imaging_cds.check_gateway_probe import Question, Reply
from imaging_cds.check_gateway_report import NotOffered, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged, refused
from imaging_cds.check_gateway_search import LONG_AGO
from imaging_cds.check_gateway_subject import UNKNOWN_UID

NO_POST = (404, 405, 501)
"""What a server says that has no POST _search, which it need not have."""


def naming_another(exam: Examination, token: str) -> list[tuple[str, Reply]]:
    """Searches that name another patient by ``patient``, alone and beside everything that F1 knows."""
    other = ("patient", exam.subject.foreign_patient)
    reference = ("patient", f"Patient/{other[1]}")
    return [
        ("patient", exam.search(other, token=token)),
        ("patient with _include", exam.search(other, INCLUDE, token=token)),
        ("patient with _lastUpdated", exam.search(other, ("_lastUpdated", LONG_AGO), token=token)),
        ("patient with identifier", exam.search(other, ("identifier", f"urn:oid:{_a_study(exam)}"), token=token)),
        ("patient as a reference", exam.search(reference, token=token)),
    ]


def naming_nobody(exam: Examination, token: str) -> list[tuple[str, Reply]]:
    """Searches without ``patient``: by other parameters, by chains that fit everybody, and below the Patient."""
    other, study = exam.subject.foreign_patient, exam.subject.other_study or UNKNOWN_UID
    ways: dict[str, tuple[tuple[str, str], ...]] = {
        "no parameter": (),
        "subject of another": (("subject", f"Patient/{other}"),),
        "patient:Patient of another": (("patient:Patient", other),),
        "patient._id of another": (("patient._id", other),),
        "patient.birthdate since 1800": (("patient.birthdate", "gt1800-01-01"),),
        "patient:missing=false": (("patient:missing", "false"),),
        "identifier alone": (("identifier", f"urn:oid:{study}"),),
        "_lastUpdated alone": (("_lastUpdated", LONG_AGO),),
        "started alone": (("started", "gt1800-01-01"),),
    }
    told = [(name, exam.search(*params, token=token)) for name, params in ways.items()]
    compartment = f"{exam.subject.base}/Patient/{other}/ImagingStudy"
    return [*told, ("Patient/…/ImagingStudy", exam.ask(Question(url=compartment, token=token, accept=FHIR_JSON)))]


def _other_patient(exam: Examination) -> Outcome:
    return exactly_403(naming_another(exam, exam.good))


def _by_post(exam: Examination) -> Outcome:
    reply = exam.search(("patient", exam.subject.foreign_patient), token=exam.good, method="POST")
    if reply.status in NO_POST:
        raise NotOffered(f"POST ImagingStudy/_search: {reply.said}.")
    problems = [] if reply.status == 403 else [f"POST _search: {_told(reply)}"]
    problems += [f"own patient in the address, another in the form: {one}" for one in _of_others(exam, _mixed_post(exam))]
    return judged(problems, "403, and nothing of another whose id is in the form while the own one is in the address.")


def _repeated(exam: Examination) -> Outcome:
    own, other = exam.subject.its_patient(), exam.subject.foreign_patient
    return refused(
        [
            ("own patient and then another", exam.search(("patient", own), ("patient", other), token=exam.good)),
            ("another patient and then the own", exam.search(("patient", other), ("patient", own), token=exam.good)),
            ("both in one value", exam.search(("patient", f"{own},{other}"), token=exam.good)),
        ]
    )


def _nobody_named(exam: Examination) -> Outcome:
    exam.subject.its_patient()
    told = naming_nobody(exam, exam.good)
    problems = [f"{name}: {words}" for name, reply in told for words in _of_others(exam, reply)]
    return judged(problems, "Nothing but the patient's own, in whatever way it is asked.")


def _otherwise_named(exam: Examination) -> Outcome:
    own, other = ("patient", exam.subject.its_patient()), exam.subject.foreign_patient
    subjects = sorted(subject_of(one) for page in exam.pages for one in page.studies)
    bases = [one.removesuffix(f"Patient/{own[1]}") for one in subjects if "://" in one and one.endswith(f"/Patient/{own[1]}")]
    ways = [
        [own, ("patient:Patient", other)],
        [own, ("subject", f"Patient/{other}")],
        [("subject", f"Patient/{other}"), own],
        [own, ("subject:Patient", other)],
        [own, ("patient._id", other)],
        *([("patient", f"{base}Patient/{other}")] for base in bases[:1]),
    ]
    told = [("&".join(name for name, _ in way), exam.search(*way, INCLUDE, token=exam.good)) for way in ways]
    problems = [f"{name}: {words}" for name, reply in told for words in _of_others(exam, reply)]
    return judged(problems, f"{len(told)} ways: {', '.join(sorted({reply.said for _, reply in told}))}; nothing of another.")


def _mixed_post(exam: Examination) -> Reply:
    """Parameters of the address and of the form count together; who checks the one and searches by the other is open."""
    address = f"{exam.subject.base}/ImagingStudy/_search?{urlencode({'patient': exam.subject.its_patient()})}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"patient": exam.subject.foreign_patient}).encode("ascii")
    return exam.ask(Question(url=address, method="POST", token=exam.good, accept=FHIR_JSON, headers=form, body=body))


def _other_study(exam: Examination) -> Outcome:
    study = exam.subject.foreign_study()
    page = page_of(exam.search_own(("identifier", f"urn:oid:{study}")).end)
    is_served = study in uids_of([page])
    problems = ["the other patient's study is served under the own patient's id"] if is_served else []
    return judged([*problems, *_broken("own patient, other's study", page.reply)], f"Not served ({page.reply.said}).")


def _wildcards(exam: Examination) -> Outcome:
    own = exam.subject.its_patient()
    forms = ("*", f"{own}*", f"{own[:-1]}?", "%", f"{own}\\")
    told = [(f"patient={form}", exam.search(("patient", form), token=exam.good).end) for form in forms]
    problems = [f"{name} brings {len(page_of(reply).studies)} studies" for name, reply in told if page_of(reply).studies]
    problems += [words for name, reply in told for words in _broken(name, reply)]
    return judged(problems, f"{len(told)} forms: {', '.join(sorted({reply.said for _, reply in told}))}, no study.")


def _mapped(exam: Examination) -> Outcome:
    study = exam.subject.foreign_study()
    listed = study in exam.uids
    return judged(["the other patient's study is in the patient's list"] if listed else [], "The other study is not listed.")


def _a_study(exam: Examination) -> str:
    return exam.subject.other_study or UNKNOWN_UID


def _of_others(exam: Examination, reply: Reply) -> list[str]:
    """Studies that the patient's own list does not have: who filters wrongly may well write the own patient into them."""
    own, page = uids_of(exam.pages), page_of(reply.end)
    strangers = {patient_id_of(subject_of(one)) for one in page.studies if read_study_uid(one) not in own}
    if strangers - {exam.subject.patient}:
        return [f"studies of {len(strangers - {exam.subject.patient})} other patients"]
    unlisted = uids_of([page]) - own if own else set()
    return [f"{len(unlisted)} studies that the patient's list does not have"] if unlisted else _broken("", reply.end)


def _broken(name: str, reply: Reply) -> list[str]:
    is_broken = reply.status is None or (reply.status >= 500 and reply.status != 501)
    return [f"{name} {reply.said}".strip()] if is_broken else []


def exactly_403(asked: Iterable[tuple[str, Reply]]) -> Outcome:
    """Whether each search was refused in the one way that the guide names."""
    told = list(asked)
    return judged([f"{name}: {_told(reply)}" for name, reply in told if reply.status != 403], f"{len(told)} searches, all 403.")


def _told(reply: Reply) -> str:
    return f"{reply.said} with {len(uids_of([page_of(reply)]))} studies" if reply.is_served else reply.said


PATIENT_REQUIREMENTS = (
    Requirement(
        ids="F6",
        name="other-patient",
        asks="A search for another patient is 403, with every other parameter too; an empty Bundle is wrong.",
        remedy="Compare patient with the token's patient before searching.",
        check=_other_patient,
    ),
    Requirement(
        ids="F6",
        name="post",
        asks="A search for another patient by POST _search is 403.",
        remedy="Read the form's parameters through the same checks as the query's.",
        check=_by_post,
    ),
    Requirement(
        ids="F6 M6",
        name="repeated",
        asks="patient given twice, or two patients in one value, is refused.",
        remedy="Refuse repeated parameters; do not use the first or the last.",
        check=_repeated,
    ),
    Requirement(
        ids="F6",
        name="nobody-named",
        asks="Searches that name no patient bring the token's patient's studies or nothing.",
        remedy="Force the token's patient into every search.",
        check=_nobody_named,
    ),
    Requirement(
        ids="F6",
        name="otherwise-named",
        asks="Another patient who is named in other ways (absolute, by modifier, chain, subject beside the own) stays closed.",
        remedy="Refuse parameters and modifiers that are not understood; hold every one that names a patient to the token's.",
        check=_otherwise_named,
    ),
    Requirement(
        ids="F6",
        name="other-study",
        asks="Another patient's study is not served under the own patient's id.",
        remedy="Filter by patient and identifier together.",
        check=_other_study,
    ),
    Requirement(
        ids="M10",
        name="wildcard",
        asks="Patient ids with wildcards or escapes bring nothing.",
        remedy="Take ids of FHIR's grammar only, and never pass a number with * or ? to QIDO.",
        check=_wildcards,
    ),
    Requirement(
        ids="M10 F2",
        name="mapping",
        asks="The patient's list does not hold the other patient's study.",
        remedy="Map by identifier system and Issuer of Patient ID, never by the first identifier.",
        check=_mapped,
    ),
)
