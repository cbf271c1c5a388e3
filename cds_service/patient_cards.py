"""Cards for users who are the patient or a related person: what is recommended and when, in plain words, and whom to ask.

No finding, no category, no guideline, no name; nothing to accept and nothing to give a reason for.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from cds_service.card_parts import TOPICS, CardContext, IssuedCard
from imaging_findings.intervals import DueWindow
from imaging_findings.release import ReleasedFollowUp
from imaging_findings.rules import Urgency

RULE_ID = "patient-release/follow-up"
_EXAMINATIONS = {
    "CT": "CT scan",
    "MR": "MRI scan",
    "XR": "X-ray",
    "US": "ultrasound",
    "MG": "mammogram",
    "NM": "nuclear medicine scan",
    "DXA": "bone density scan",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_TOPIC = {"system": TOPICS, "code": "patient-follow-up", "display": "A recommended follow-up examination"}


def patient_card(follow_up: ReleasedFollowUp, context: CardContext) -> IssuedCard:
    """One study's follow-up for the patient."""
    when = _when(follow_up.due, context.now.date())
    card: dict[str, Any] = {
        "uuid": context.new_uuid(),
        "summary": f"{_examination(follow_up)}: a follow-up examination {when}",
        "indicator": Urgency.INFO.value,
        "detail": (
            f"After this examination a follow-up examination {when}.\n\n"
            "**Please talk to your care team.** They have the report and can tell you what it means for you, and whether the "
            "follow-up is already arranged. This message has ordered nothing and does not replace their advice."
        ),
        "source": {"label": "Imaging results", "topic": _TOPIC},
    }
    if context.policy.release.image_links and follow_up.study is not None:
        uid = str(follow_up.study.study_instance_uid)
        link = {"label": "Open your images", "url": f"{context.app_url}/launch", "type": "smart", "appContext": uid}
        card["links"] = [link]
    return IssuedCard(card=card, rule_id=RULE_ID)


def _examination(follow_up: ReleasedFollowUp) -> str:
    families = follow_up.study.families if follow_up.study else frozenset()
    name = _EXAMINATIONS.get(next(iter(families)), "") if len(families) == 1 else ""
    said = f"Your {name or 'imaging examination'}"
    return f"{said} of {_day(follow_up.day)}" if follow_up.day else said


def _when(due: DueWindow, today: date) -> str:
    if due.is_overdue(today):
        return f"was recommended by {_day(due.latest)}"
    if due.earliest == due.latest:
        return f"is recommended around {_day(due.latest)}"
    return f"is recommended between {_day(due.earliest)} and {_day(due.latest)}"


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
