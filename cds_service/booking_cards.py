"""Advice about proposed appointments into CDS cards: at most a warning, never a suggestion, since no slot is ours to give.

Spec: CDS Hooks 2.0 R25-R31; clinical rules, section 4.
"""

from __future__ import annotations

from typing import Any

from cds_service.card_parts import CardContext, IssuedCard, image_links, incomplete_card, override_reasons, topic
from cds_service.plain_words import escaped, one_sentence
from cds_service.wording import authority_words, availability_lines
from imaging_findings.advice import Statement
from imaging_findings.booking import BookingAdvice, BookingJudgement, Verdict
from imaging_findings.follow_ups_to_book import FollowUpToBook, WorkUpToBook
from imaging_findings.order_sources import BOOKINGS
from imaging_findings.rules import Urgency
from imaging_findings.screening_answers import NOT_BY_SCREENING, screening_words
from imaging_findings.wording import finding_words, headline_title

_MAX_NAME = 50
_SOURCE = "Imaging appointment check"
_TOPIC = topic("appointment-follow-up", "Appointment and open follow-up of an imaging finding")
_LABEL = {
    Verdict.LATE: "Too late",
    Verdict.EARLY: "Too early",
    Verdict.WRONG_EXAMINATION: "Wrong examination",
    Verdict.OTHER_SIDE: "Other side",
    Verdict.SCREENING: "Screening",
    Verdict.OTHER_CONTRAST: "Other contrast",
}


def booking_cards(judgement: BookingJudgement, context: CardContext) -> tuple[IssuedCard, ...]:
    """One card for each follow-up that is not booked as it should be; where findings are missing, one that says so."""
    if judgement.advice:
        return tuple(_card(one, judgement, context) for one in judgement.advice)
    return (_gap(judgement, context),) if judgement.missing else ()


def _card(advice: BookingAdvice, judgement: BookingJudgement, context: CardContext) -> IssuedCard:
    # Belt and braces: whatever a rule says, an appointment is informed about and never stopped.
    urgency = Urgency.WARNING if advice.urgency is Urgency.CRITICAL else advice.urgency
    lines = [f"**{label}:** {escaped(words)}" for label, words in _lines(advice, context.policy.rules_owner)]
    card: dict[str, Any] = {
        "uuid": context.new_uuid(),
        "summary": one_sentence(f"{_short(advice.appointment.name)} {_headline(advice)}"),
        "indicator": urgency.value,
        "detail": "\n\n".join([*lines, *availability_lines(judgement.facts)]),
        "source": {"label": _SOURCE, "topic": _TOPIC},
        "overrideReasons": override_reasons(),
    }
    study = advice.follow_up.guidance.study
    if study is not None:
        links = image_links([(study.study_instance_uid, f"of {study.day}" if study.day else "")], context)
        card["links"] = links
    return IssuedCard(card=card, rule_id=f"booking/{advice.verdict}")


def _headline(advice: BookingAdvice) -> str:
    follow_up, when = advice.follow_up, advice.appointment.days
    if not isinstance(follow_up, FollowUpToBook):
        return f"on {when}: a screening while {headline_title(follow_up.guidance)} is open"
    due, examination = follow_up.due, follow_up.examination
    match advice.verdict:
        case Verdict.LATE:
            return f"on {when}: later than the follow-up {examination} due {due}"
        case Verdict.EARLY:
            return f"on {when}: earlier than the follow-up {examination} due {due}"
        case Verdict.SCREENING:
            return f"on {when}: {NOT_BY_SCREENING} {examination} due {due}"
        case Verdict.OTHER_SIDE:
            return f"on {when}: other side than the follow-up {examination} ({follow_up.side}) due {due}"
        case Verdict.OTHER_CONTRAST:
            return f"on {when}: the follow-up {examination} due {due} asks for no contrast"
    return f"on {when}: does not replace the follow-up {examination} due {due}"


def _lines(advice: BookingAdvice, owner: str) -> list[tuple[str, str]]:
    follow_up, guidance = advice.follow_up, advice.follow_up.guidance
    seen = f", seen on {guidance.study.day}" if guidance.study and guidance.study.day else ""
    lines = [
        ("Appointment", f"{advice.appointment.name}, {advice.appointment.days}"),
        *_open_line(follow_up),
        ("Finding", f"{finding_words(guidance.finding, guidance.title)}{seen}"),
        *(line for statement in guidance.statements for line in _said(statement)),
        (_LABEL[advice.verdict], _explanation(advice)),
    ]
    if advice.is_named:
        lines.append(("Link", "the appointment or its order names this finding, its study or its report"))
    return [*lines, ("Rules", BOOKINGS.owned_by(owner).words)]


def _open_line(follow_up: WorkUpToBook) -> list[tuple[str, str]]:
    if not isinstance(follow_up, FollowUpToBook):
        return []
    return [("Open follow-up", f"{follow_up.examination}, due {follow_up.due}, counted from the date of the study")]


def _said(statement: Statement) -> list[tuple[str, str]]:
    """The reader's word or the guideline's, and on whose authority."""
    if statement.pack is None:
        return [("Reader", statement.words)]
    return [("Guideline", statement.words), ("Source", authority_words(statement.pack, statement))]


def _explanation(advice: BookingAdvice) -> str:
    follow_up = advice.follow_up
    if advice.verdict is Verdict.SCREENING and isinstance(follow_up, FollowUpToBook):
        return screening_words(follow_up.examination)
    if not isinstance(follow_up, FollowUpToBook):
        return "a screening examination is for patients without an open finding; this one is known and asks for more"
    match advice.verdict:
        case Verdict.LATE:
            overdue = f"; it has been due since {follow_up.due.latest}" if follow_up.guidance.overdue else ""
            return f"the window ends on {follow_up.due.latest}{overdue}"
        case Verdict.EARLY:
            return f"the window begins on {follow_up.due.earliest}; what changes in between may not be seen"
        case Verdict.OTHER_CONTRAST:
            return "the follow-up's own code asks for an examination without contrast"
        case Verdict.OTHER_SIDE:
            return f"the finding is on the {follow_up.side} side, the appointment is for the other one"
    return f"the follow-up asks for {follow_up.examination}"


def _short(name: str) -> str:
    plain = " ".join(name.split())
    return plain if len(plain) <= _MAX_NAME else plain[: _MAX_NAME - 1].rstrip() + "…"


def _gap(judgement: BookingJudgement, context: CardContext) -> IssuedCard:
    summary = "Whether the appointment fits an open imaging follow-up could not be checked"
    return incomplete_card(context, summary, f"**Not available:** {', '.join(judgement.missing)}.", _SOURCE)
