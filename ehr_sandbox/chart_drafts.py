"""A draft order and its form: what the form shows of an order, and the order that the form's changes make of it.

Only what was changed in the form is written, so that a draft made from a card keeps what the form does not show: its window
of time, its supporting information, the finding it follows up.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from ehr_sandbox.chart_catalogue import find_orderable
from ehr_sandbox.chart_summary import concept_text

AS_ORDERED = "as-ordered"
LOW_DOSE = "Low dose"
PRIORITIES = {"routine": "Routine", "urgent": "Urgent", "asap": "As soon as possible", "stat": "Immediately"}
_LONGEST = {"reason": 300, "note": 1000}
_LABELS = {"reason": "reason", "note": "note"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderForm:
    """The fields of the form. `condition_id` is a Condition of the patient; `planned` is YYYY-MM-DD; empty means not given."""

    examination: str = ""
    condition_id: str = ""
    reason: str = ""
    planned: str = ""
    priority: str = "routine"
    low_dose: str = ""
    note: str = ""


def new_order(order_id: str, *, patient_id: str, encounter_id: str | None, user: str) -> dict[str, Any]:
    """A draft in which no examination is chosen yet; it has its id before it is stored."""
    category = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}
    order = {
        "resourceType": "ServiceRequest",
        "id": order_id,
        "status": "draft",
        "intent": "order",
        "category": [{"coding": [category]}],
        "subject": {"reference": f"Patient/{patient_id}"},
        "requester": {"reference": user},
        "priority": "routine",
    }
    return order | ({"encounter": {"reference": f"Encounter/{encounter_id}"}} if encounter_id else {})


def read_form(order: Mapping[str, Any]) -> OrderForm:
    """What the form shows of an order."""
    notes = [note.get("text", "") for note in order.get("note", ())]
    planned = order.get("occurrenceDateTime") or order.get("occurrencePeriod", {}).get("start", "")
    codings = order.get("code", {}).get("coding", ())
    known = next((coding["code"] for coding in codings if find_orderable(coding.get("code", ""))), "")
    conditions = (reason.get("reference", "") for reason in order.get("reasonReference", ()))
    return OrderForm(
        examination=known or (AS_ORDERED if order.get("code") else ""),
        condition_id=next((one.partition("/")[2] for one in conditions if one.startswith("Condition/")), ""),
        reason="; ".join(filter(None, map(concept_text, order.get("reasonCode", ())))),
        planned=planned[:10],
        priority=order.get("priority", "routine"),
        low_dose="yes" if LOW_DOSE in notes else "",
        note="\n".join(note for note in notes if note != LOW_DOSE),
    )


def faults_of_form(form: OrderForm, original: Mapping[str, Any], today: date) -> tuple[str, ...]:
    """Why this form makes no order, one sentence each. `original` is the order as the form was opened with."""
    return tuple(_faults(form, read_form(original), today))


def _faults(form: OrderForm, shown: OrderForm, today: date) -> Iterator[str]:
    if not form.examination:
        yield "Choose an examination."
    elif form.examination != shown.examination and find_orderable(form.examination) is None:
        yield "This examination cannot be ordered here."
    if form.priority not in PRIORITIES:
        yield "This urgency is not known."
    for name, longest in _LONGEST.items():
        if len(getattr(form, name)) > longest:
            yield f"The {_LABELS[name]} is longer than {longest} characters."
    if form.planned != shown.planned and form.planned:
        yield from _faults_of_day(form.planned, today)


def _faults_of_day(planned: str, today: date) -> Iterator[str]:
    try:
        if date.fromisoformat(planned) < today:
            yield "The planned date is in the past."
    except ValueError:
        yield "The planned date is no date."


def write_form(original: Mapping[str, Any], form: OrderForm) -> dict[str, Any]:
    """The order with what was changed in the form; `faults_of_form` must have found nothing."""
    order, shown = dict(original), read_form(original)
    for one in fields(form):
        value = getattr(form, one.name)
        if value != getattr(shown, one.name):
            _WRITERS[one.name](order, value)
    return {name: value for name, value in order.items() if value not in ("", [], {}, None)}


def _write_examination(order: dict[str, Any], value: str) -> None:
    chosen = find_orderable(value)
    if chosen:
        order["code"] = chosen.concept()


def _write_condition(order: dict[str, Any], value: str) -> None:
    others = [one for one in order.get("reasonReference", ()) if not one.get("reference", "").startswith("Condition/")]
    order["reasonReference"] = [*([{"reference": f"Condition/{value}"}] if value else ()), *others]


def _write_reason(order: dict[str, Any], value: str) -> None:
    order["reasonCode"] = [{"text": value}] if value else []


def _write_planned(order: dict[str, Any], value: str) -> None:
    order.pop("occurrencePeriod", None)
    order["occurrenceDateTime"] = value


def _write_priority(order: dict[str, Any], value: str) -> None:
    order["priority"] = value


def _write_low_dose(order: dict[str, Any], value: str) -> None:
    others = [note for note in order.get("note", ()) if note.get("text") != LOW_DOSE]
    order["note"] = [*([{"text": LOW_DOSE}] if value else ()), *others]


def _write_note(order: dict[str, Any], value: str) -> None:
    low_dose = [note for note in order.get("note", ()) if note.get("text") == LOW_DOSE]
    order["note"] = [*low_dose, *([{"text": value}] if value else ())]


_WRITERS: Mapping[str, Callable[[dict[str, Any], str], None]] = {
    "examination": _write_examination,
    "condition_id": _write_condition,
    "reason": _write_reason,
    "planned": _write_planned,
    "priority": _write_priority,
    "low_dose": _write_low_dose,
    "note": _write_note,
}
