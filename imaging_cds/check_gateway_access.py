"""Whether a search looks at the whole token: who issued it, until when, for whom, and with which scopes.

Spec: SMART Imaging Access F5, F8, F9, M9, M12; smart-imaging.md §13 groups 1-8.
"""

from __future__ import annotations

from fhir_imaging.scopes import parse_scopes
from fhir_imaging.tolerant import dicts, text
from imaging_cds.check_gateway_examination import INCLUDE, Examination, page_of
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, fault, judged, ok, refused
from imaging_cds.check_gateway_subject import UNKNOWN_TOKEN, TokenKind, altered, claims_of, unsigned


def _without_token(exam: Examination) -> Outcome:
    named = exam.subject.its_patient() if exam.subject.patient else exam.subject.foreign_patient
    reply = exam.search(("patient", named), token=None)
    return refused([("a search without token", reply)])


def _unknown_token(exam: Examination) -> Outcome:
    named = exam.subject.patient or exam.subject.foreign_patient
    return refused([("a search with a made-up token", exam.search(("patient", named), token=UNKNOWN_TOKEN))])


def _altered(exam: Examination) -> Outcome:
    return refused([("a search with an altered token", exam.search_own(token=altered(exam.good)))])


def _unsigned(exam: Examination) -> Outcome:
    return refused([("a search with alg none", exam.search_own(token=unsigned(exam.good)))])


def _lent(kind: TokenKind) -> Requirement:
    ids, name, asks, remedy = _LENT[kind]

    def check(exam: Examination) -> Outcome:
        token = exam.subject.token(kind)
        exam.subject.its_patient()
        return refused([("a search by patient", exam.search_own(token=token))])

    return Requirement(ids=ids, name=name, asks=asks, remedy=remedy, check=check, proof=Examination.prove_token)


def _patientless(exam: Examination) -> Outcome:
    token = exam.subject.token(TokenKind.PATIENTLESS)
    return refused(
        [
            ("a search that names the patient", exam.search_own(token=token)),
            ("a search that names nobody", exam.search(token=token)),
        ]
    )


def _system(exam: Examination) -> Outcome:
    token = exam.subject.token(TokenKind.SYSTEM)
    if exam.subject.backend_mode:
        raise NotOffered("The server serves Backend Services (--backend-mode), so system scopes count.")
    return refused([("a search with system scopes", exam.search_own(token=token))])


def _mixed(exam: Examination) -> Outcome:
    token = exam.subject.token(TokenKind.MIXED)
    if exam.subject.backend_mode:
        raise NotOffered("The server serves Backend Services (--backend-mode), so the system scope counts by itself.")
    return refused([("a search by patient", exam.search_own(token=token))])


def _wide(exam: Examination) -> Outcome:
    exam.listed()
    reply = exam.search_own(token=exam.subject.token(TokenKind.WIDE))
    served = reply.is_served and bool(page_of(reply).bundle)
    return ok(reply.said) if served else fault(f"patient/ImagingStudy.cruds is refused: {reply.said}")


def _filtered(exam: Examination) -> Outcome:
    token = exam.subject.token(TokenKind.FILTERED)
    exam.listed()
    page = page_of(exam.search_own(INCLUDE, token=token))
    if page.reply.status == 403:
        raise NotOffered("A filtered scope grants nothing here, which is safe (P6).")
    if not page.bundle:
        return fault(f"The search with a filtered scope: {page.reply.said}")
    allowed = modalities_of(token)
    if allowed is None:
        raise NotTried("The token does not show its scope; only a JWT with ?modality= can be compared with the answer.")
    stated = [{text(one.get("code")) for one in dicts(study.get("modality"))} for study in page.studies]
    outside = [codes for codes in stated if codes and not codes & allowed]
    words = f"{len(outside)} of {len(page.studies)} studies are of another modality than {', '.join(sorted(allowed))}"
    return judged([words] if outside else [], f"{len(page.studies)} studies, all within the filter.")


def modalities_of(token: str) -> set[str] | None:
    """What a filtered scope narrows to; None where the token does not show it."""
    scope = text((claims_of(token) or {}).get("scope"))
    filters = [dict(one.filters) for one in parse_scopes(scope or "").clinical if one.covers("ImagingStudy")]
    named = {code.rpartition("|")[2] for one in filters for code in one.get("modality", "").split(",") if code}
    return named or None


_LENT = {
    TokenKind.ENDED: (
        "F5",
        "ended",
        "A search with an ended token is refused.",
        "Check exp (or introspect) on every request; no cache may outlive the token.",
    ),
    TokenKind.FOREIGN: (
        "F5 M9",
        "foreign",
        "A token of another issuer or for another resource server is refused.",
        "Compare iss and aud with the configured ones.",
    ),
    TokenKind.UNSCOPED: (
        "F5",
        "scope",
        "A token without an ImagingStudy scope is refused.",
        "Parse the scopes; search needs s, read and retrieval need r.",
    ),
}

ACCESS_REQUIREMENTS = (
    Requirement(
        ids="F5",
        name="no-token",
        asks="A search without a token is refused.",
        remedy="Demand a token before anything is looked up.",
        check=_without_token,
    ),
    Requirement(
        ids="F5",
        name="unknown-token",
        asks="A made-up token is refused.",
        remedy="Verify or introspect every token; fail closed.",
        check=_unknown_token,
    ),
    Requirement(
        ids="F5 M9",
        name="altered",
        asks="A token with one altered claim and the old signature (an opaque one: altered) is refused.",
        remedy="Verify the signature with the issuer's published keys, or introspect.",
        check=_altered,
        proof=Examination.prove_token,
    ),
    Requirement(
        ids="F5 M9",
        name="unsigned",
        asks="The token's claims under alg none are refused.",
        remedy="Allow the configured signature algorithms only.",
        check=_unsigned,
        proof=Examination.prove_token,
    ),
    _lent(TokenKind.ENDED),
    _lent(TokenKind.FOREIGN),
    _lent(TokenKind.UNSCOPED),
    Requirement(
        ids="F8 M9",
        name="no-patient",
        asks="A token without patient context opens nothing, whatever patient the address names.",
        remedy="Take the patient from the token only; absent means no access.",
        check=_patientless,
        proof=Examination.prove_token,
    ),
    Requirement(
        ids="F8",
        name="system",
        asks="A server without Backend mode does not honour system scopes.",
        remedy="Refuse system/ scopes unless Backend Services is configured.",
        check=_system,
        proof=Examination.prove_token,
    ),
    Requirement(
        ids="F9",
        name="mixed",
        asks="patient/Observation.rs with system/ImagingStudy.rs does not become patient imaging.",
        remedy="Keep each scope's own context; never combine the parts of two.",
        check=_mixed,
        proof=Examination.prove_token,
    ),
    Requirement(
        ids="M12",
        name="wide",
        asks="patient/ImagingStudy.cruds covers a search.",
        remedy="Parse scopes into context, resource and letters; do not compare strings.",
        check=_wide,
    ),
    Requirement(
        ids="M12 P6",
        name="filtered",
        asks="A filtered scope (?modality=) narrows the list.",
        remedy="Apply the filter, or grant nothing; never ignore it.",
        check=_filtered,
    ),
)
