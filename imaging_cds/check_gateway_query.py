"""Whether a token counts in an address too, where logs, histories and Referer headers keep it.

That it is accepted there shows only with a token that holds, and this puts it into logs of the server and of every proxy on the
way. So the good token is never tried: one is lent for this alone (``--query-token``), which its operator ends afterwards.

Spec: SMART Imaging Access F5, W3; RFC 6750 §2.3 (may be supported, not recommended) and §5.3; RFC 9700 §4.3.2 (clients must
not); smart-imaging.md §13 group 1.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_places import asked, kinds_of
from imaging_cds.check_gateway_probe import Question, Reply
from imaging_cds.check_gateway_report import NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, refused
from imaging_cds.check_gateway_subject import TokenKind

_NAMES = ("access_token", "token")
"""RFC 6750's own name, and the one that viewers and archives have in its place."""
_REMEDY = "Take the token from the Authorization header only; answer 401 to a request that has it in its address."


def _search(exam: Examination) -> Outcome:
    lent = _with_lent_token(exam)
    lent.listed()
    own = ("patient", lent.subject.its_patient())
    _refused_without([exam.search(own, token=None)])
    return refused((f"a search with ?{name}=", exam.search(own, (name, lent.good), token=None)) for name in _NAMES)


def _images(exam: Examination) -> Outcome:
    lent = _with_lent_token(exam)
    questions = [(kind.name, asked(lent.images, kind, lent.good)) for kind in kinds_of(lent.images)]
    served = [(name, question) for name, question in questions if exam.ask(question).is_served]
    if not served:
        raise NotTried("The token opens no images in the Authorization header either, so that a refusal would prove nothing.")
    _refused_without([exam.ask(replace(question, token=None)) for _, question in served])
    return refused(
        (f"{kind} with ?{name}=", exam.ask(_in_address(question, name, lent.good)))
        for kind, question in served
        for name in _NAMES
    )


def _with_lent_token(exam: Examination) -> Examination:
    """As if the token that may stand in addresses were the good one: addresses with a capability are given out to it."""
    tokens = {TokenKind.GOOD: exam.subject.token(TokenKind.IN_QUERY)}
    return Examination(replace(exam.subject, tokens=tokens), exam.probe)


def _refused_without(replies: list[Reply]) -> None:
    """NotTried where the same is not refused without any token: then nobody can tell what the one in the address does."""
    if any(not reply.end.is_refused for reply in replies):
        raise NotTried("The same is not refused without any token, so that what one in the address does cannot be told.")


def _in_address(question: Question, name: str, token: str) -> Question:
    mark = "&" if "?" in question.url else "?"
    return replace(question, url=f"{question.url}{mark}{urlencode({name: token})}", token=None)


QUERY_REQUIREMENTS = (
    Requirement(
        ids="F5 P4",
        name="in-query",
        asks="A search whose only credential is in its address (?access_token=) is refused.",
        remedy=_REMEDY,
        check=_search,
    ),
    Requirement(
        ids="W3 P4",
        name="in-query",
        asks="Images are refused to a request whose only credential is in its address, in every form that is served.",
        remedy=_REMEDY,
        check=_images,
    ),
)
