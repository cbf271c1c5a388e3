"""Whether an ImagingStudy that is read by its own address is guarded as the search is, where a server offers that.

The guide asks for searches only, so a server need not have it; one that has it may have forgotten the check there.

Spec: SMART Imaging Access F5, F6, F8, M9; FHIR R4 §3.1.0.1 (read).
"""

from __future__ import annotations

from fhir_imaging.study import read_study_uid
from fhir_imaging.tolerant import as_dict
from imaging_cds.check_gateway_examination import FHIR_JSON, Examination
from imaging_cds.check_gateway_probe import Question, Reply
from imaging_cds.check_gateway_report import NotOffered, Outcome
from imaging_cds.check_gateway_requirement import Requirement, refused
from imaging_cds.check_gateway_subject import UNKNOWN_TOKEN, TokenKind, altered

_REFUSED = (TokenKind.ENDED, TokenKind.FOREIGN, TokenKind.UNSCOPED, TokenKind.PATIENTLESS)


def _guarded(exam: Examination) -> Outcome:
    address, _ = _own(exam)
    tokens = {"no token": None, "a made-up token": UNKNOWN_TOKEN, "an altered token": altered(exam.good)}
    lent = {f"--{kind.value}": exam.subject.tokens[kind] for kind in _REFUSED if kind in exam.subject.tokens}
    return refused((f"a read with {name}", _read(exam, address, token)) for name, token in {**tokens, **lent}.items())


def _of_another(exam: Examination) -> Outcome:
    address, uid = _own(exam)
    other = exam.subject.foreign_study()
    before, found, behind = address.rpartition(uid)
    if not found:
        raise NotOffered("Ids are not made of Study Instance UIDs, so that nobody knows another's.")
    return refused([("another patient's ImagingStudy", _read(exam, f"{before}{other}{behind}", exam.good))])


def _own(exam: Examination) -> tuple[str, str]:
    """The address of a study of the patient and its UID; NotOffered where the study cannot be read there."""
    exam.listed()
    entries = [one for page in exam.pages for one in page.entries if one.resource.get("resourceType") == "ImagingStudy"]
    for entry in entries:
        uid, address = read_study_uid(entry.resource), entry.full_url or ""
        if isinstance(uid, str) and exam.probe.may_ask(address):
            reply = _read(exam, address, exam.good)
            if reply.is_served and as_dict(reply.json()).get("resourceType") == "ImagingStudy":
                return address, uid
            raise NotOffered(f"An ImagingStudy is not read by its fullUrl ({reply.said}).")
    raise NotOffered("No ImagingStudy has a fullUrl at this server.")


def _read(exam: Examination, address: str, token: str | None) -> Reply:
    return exam.ask(Question(url=address, token=token, accept=FHIR_JSON))


READ_REQUIREMENTS = (
    Requirement(
        ids="F5 F8 M9",
        name="read",
        asks="A single ImagingStudy, where it can be read, is refused without a token that a search would take.",
        remedy="Send reads through the same check of the token as searches.",
        check=_guarded,
    ),
    Requirement(
        ids="F6",
        name="read",
        asks="Another patient's ImagingStudy cannot be read by its address.",
        remedy="Compare the study's patient with the token's before it is answered.",
        check=_of_another,
    ),
)
