"""What accepting a suggestion may do here: create draft orders for the patient whose chart is open, nothing else.

Spec: CDS Hooks 2.0 "Action" (R28, R29). The actions of a suggestion are carried out together as one FHIR transaction or
not at all; a refusal names every reason.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# The order resources that a clinician may draft here, with the element that names the patient (R4).
ORDER_SUBJECTS = {"ServiceRequest": "subject", "MedicationRequest": "subject", "DeviceRequest": "subject"}
INTENTS = frozenset(
    {
        "proposal",
        "plan",
        "directive",
        "order",
        "original-order",
        "reflex-order",
        "filler-order",
        "instance-order",
        "option",
    }
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The transaction Bundle that carries the actions out."""

    transaction: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the actions are not carried out, one plain sentence per reason."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """Whose chart it is. `owner_of` says which patient a resource here belongs to.

    It answers `None` for a resource that does not exist, and an empty string for one that belongs to no patient.
    """

    patient_id: str
    fhir_base: str
    owner_of: Callable[[str], str | None]


def plan_actions(actions: tuple[Mapping[str, Any], ...], context: OrderContext) -> Accepted | Refused:
    """The transaction for a suggestion's actions, or the reasons against it."""
    if not actions:
        return Refused(("The suggestion holds no action.",))
    reasons = tuple(reason for action in actions for reason in _reasons_against(action, context))
    if reasons:
        return Refused(reasons)
    entries = [_create_entry(action["resource"]) for action in actions]
    return Accepted({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _create_entry(resource: Mapping[str, Any]) -> dict[str, Any]:
    order = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": order, "request": request}


def _reasons_against(action: Mapping[str, Any], context: OrderContext) -> Iterator[str]:
    if action["type"] != "create":
        yield f"Only new draft orders are accepted from a suggestion; this one wants to {action['type']}."
        return
    resource = action["resource"]
    resource_type = resource["resourceType"]
    if resource_type not in ORDER_SUBJECTS:
        yield f"{resource_type} is no order that can be drafted here."
        return
    if resource.get("status") != "draft":
        yield f"The {resource_type} is not a draft."
    if resource.get("intent") not in INTENTS:
        yield f"The {resource_type} has no valid intent."
    yield from _reasons_of_subject(resource.get(ORDER_SUBJECTS[resource_type]), resource_type, context)
    for reference in sorted(set(_references(resource))):
        yield from _reasons_of_reference(reference, resource_type, context)


def _reasons_of_subject(subject: object, resource_type: str, context: OrderContext) -> Iterator[str]:
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(reference, str):
        yield f"The {resource_type} names no patient."
    elif _relative(reference, context) != f"Patient/{context.patient_id}":
        yield f"The {resource_type} is for another patient."


def _reasons_of_reference(reference: str, resource_type: str, context: OrderContext) -> Iterator[str]:
    if reference.startswith("#"):
        return
    relative = _relative(reference, context)
    if relative is None:
        yield f"The {resource_type} refers to a resource outside this EHR."
        return
    owner = context.owner_of(relative)
    if owner is None:
        yield f"The {resource_type} refers to {relative}, which does not exist here."
    elif owner not in ("", context.patient_id):
        yield f"The {resource_type} refers to a record of another patient."


def _relative(reference: str, context: OrderContext) -> str | None:
    reference = reference.removeprefix(f"{context.fhir_base.rstrip('/')}/")
    return reference if reference.count("/") == 1 and ":" not in reference else None


def _references(item: object) -> Iterator[str]:
    if isinstance(item, dict):
        for name, value in item.items():
            if name == "reference" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(item, list):
        for value in item:
            yield from _references(value)
