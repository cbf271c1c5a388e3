"""Guidance into CDS cards: summary, detail, source, links, the one right draft order and override reasons.

Spec: CDS Hooks 2.0 R25-R31; clinical rules, section 4. Links carry DICOM UIDs and nothing of the patient.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from cds_service.card_parts import CardContext, IssuedCard, image_links, incomplete_card, override_reasons, topic
from cds_service.wording import AI_LABEL, availability_lines, detail_of, summary_of
from fhir_imaging.fhir_mapping.service_request import DraftOrder, draft_service_request
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.advice import Guidance, OrderProposal
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, ImageSelection, Kind
from imaging_findings.rules import Urgency

_TOPIC_OF = {
    Kind.LUNG_RADS: ("lung-screening-follow-up", "Follow-up of lung cancer screening"),
    Kind.NODULE: ("lung-nodule-follow-up", "Follow-up of an incidental lung nodule"),
    Kind.ACTIONABLE: ("critical-result", "Communication of an actionable finding"),
    Kind.ASSESSMENT: ("imaging-follow-up", "Follow-up of an imaging finding"),
    Kind.TEXT: ("imaging-follow-up", "Follow-up of an imaging finding"),
}
_KEY_SERIES_LABEL = {"KO": "Open the key images", "SR": "Open the measurements", "SEG": "Open the segmentation"}
ORDERING_USERS = frozenset({"Practitioner", "PractitionerRole"})


def card_for(guidance: Guidance, facts: Facts, context: CardContext) -> IssuedCard:
    """The card for one guidance."""
    unsigned = guidance.finding.author is Author.AI
    # Belt and braces: whatever a pack says, an unsigned AI result never shouts (T8).
    urgency = Urgency.WARNING if unsigned and guidance.urgency is Urgency.CRITICAL else guidance.urgency
    card: dict[str, Any] = {
        "uuid": context.new_uuid(),
        "summary": summary_of(guidance),
        "indicator": urgency.value,
        "detail": detail_of(guidance, facts),
        "source": _source(guidance),
        "overrideReasons": override_reasons(),
    }
    links = _links(guidance, context)
    if links:
        card["links"] = links
    unseen = _unseen(facts) if guidance.order is not None and not unsigned else []
    if unseen:
        why = f"No order is drafted: {' and '.join(unseen)} could not be looked up (wholly), so it may exist already."
        card["detail"] = f"{card['detail']}\n\n**Note:** {why}"
    elif guidance.order is not None and not unsigned:
        card["selectionBehavior"] = "at-most-one"
        card["suggestions"] = [_suggestion(guidance, guidance.order, context)]
    return IssuedCard(card=card, rule_id=guidance.rule_id)


def gap_card(facts: Facts, context: CardContext) -> IssuedCard:
    """Says that findings could not be used, where otherwise nothing would be said at all."""
    summary = "Some imaging findings could not be read, so this check is incomplete"
    return incomplete_card(context, summary, "\n\n".join(availability_lines(facts)), "Imaging findings service")


def _unseen(facts: Facts) -> list[str]:
    """What would answer the follow-up and was not seen (Gf): nobody is offered an order that may stand there already."""
    unsure = facts.unavailable | facts.partial
    return [words for key, words in (("orders", "open orders"), ("studies", "imaging studies")) if key in unsure]


def _source(guidance: Guidance) -> dict[str, Any]:
    pack = next((statement.pack for statement in guidance.statements if statement.pack), None)
    if guidance.finding.author is Author.AI:
        return {"label": f"{AI_LABEL} imaging result", "topic": topic("ai-result", "AI result not signed by anybody")}
    about = topic(*_TOPIC_OF[guidance.finding.kind])
    if pack is None:
        return {"label": "Radiology report", "topic": about}
    return {"label": pack.title, "url": pack.url, "topic": about}


def _links(guidance: Guidance, context: CardContext) -> list[dict[str, str]]:
    study = guidance.study.study_instance_uid if guidance.study else None
    selection = _selection(guidance, study)
    study = study or (selection.study if selection else None)
    if study is None:
        return []
    links = image_links([(study, "")], context)
    launch = f"{context.app_url}/launch"
    within = [("Open the AI result's slice", selection.path)] if selection else []
    marked = guidance.study.key_series if guidance.study else ()
    # Measurements of a series are the AI's own where its slice is linked already.
    within += [(_KEY_SERIES_LABEL[one.modality], one.path(study)) for one in marked if one.modality != "SR" or not selection]
    links[1:1] = [{"label": label, "url": launch, "type": "smart", "appContext": path} for label, path in within]
    return links


def _selection(guidance: Guidance, study: StudyInstanceUID | None) -> ImageSelection | None:
    """The AI's slice, only when it lies in the study that the card is about."""
    machine = guidance.finding if guidance.finding.author is Author.AI else guidance.ai
    selection = machine.selection if machine else None
    return selection if selection and study in (None, selection.study) else None


def _suggestion(guidance: Guidance, order: OrderProposal, context: CardContext) -> dict[str, Any]:
    window = _window(order, context.now.date())
    when = f"due {window[0]}" if window[0] == window[1] else f"due {window[0]} to {window[1]}"
    examination = order.code.display + (f" ({order.note.lower()})" if order.note else "")
    user = context.request.user
    supporting = (guidance.study.reference,) if guidance.study else ()
    resource = draft_service_request(
        DraftOrder(
            patient_id=context.request.patient_id,
            code_system=order.code.system,
            code=order.code.code,
            code_display=order.code.display,
            due_from=window[0],
            due_until=window[1],
            authored_on=context.now,
            requester=user.reference if user.resource_type in ORDERING_USERS else None,
            encounter_id=context.request.encounter_id,
            reasons=tuple(one for one in (guidance.finding.reference,) if "/" in one),
            supporting=tuple(one for one in supporting if "/" in one),
            note=order.note,
        )
    )
    action = {"type": "create", "description": f"Create a draft order: {examination}, {when}", "resource": resource}
    return {
        "label": f"Draft order: {examination}, {when}",
        "uuid": context.new_uuid(),
        "isRecommended": True,
        "actions": [action],
    }


def _window(order: OrderProposal, today: date) -> tuple[date, date]:
    """The due window, from today on where it has begun or passed: nothing is ordered for yesterday."""
    return max(order.due.earliest, today), max(order.due.latest, today)
