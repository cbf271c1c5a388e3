"""What accepting a suggestion may do here: create, change and take away draft orders of the patient whose chart is open.

Spec: CDS Hooks 2.0 "Action" (R28, R29). The actions of a suggestion are carried out together as one FHIR transaction or
not at all; a refusal names every reason. The draft that is being composed is not stored yet: it is changed in the form.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
    """How the actions are carried out: by a transaction Bundle (without entries where nothing stored changes), and in the form.

    `composed` is the unsaved draft as an update leaves it; `drops_composed` says that a delete took it away.
    """

    transaction: dict[str, Any]
    composed: Mapping[str, Any] | None = None
    drops_composed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the actions are not carried out, one plain sentence per reason."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """Whose chart it is. `owner_of` says which patient a resource here belongs to.

    It answers `None` for a resource that does not exist, and an empty string for one that belongs to no patient.
    `stored` reads a resource of this EHR by its relative reference. `composed` is the unsaved draft in the form, and `sent`
    holds the drafts as the service was told of them, by reference: what has changed since then is not overwritten.
    """

    patient_id: str
    fhir_base: str
    owner_of: Callable[[str], str | None]
    stored: Callable[[str], Mapping[str, Any] | None]
    composed: Mapping[str, Any] | None = None
    sent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def is_composed(self, reference: str) -> bool:
        return self.composed is not None and reference == reference_to(self.composed)

    def current(self, reference: str) -> Mapping[str, Any] | None:
        """The order as it stands now, in the form or on record."""
        return self.composed if self.is_composed(reference) else self.stored(reference)


def plan_actions(actions: tuple[Mapping[str, Any], ...], context: OrderContext) -> Accepted | Refused:
    """What a suggestion's actions amount to, or the reasons against them."""
    if not actions:
        return Refused(("The suggestion holds no action.",))
    reasons = tuple(reason for action in actions for reason in _reasons_against(action, context))
    targets = [target for action in actions if (target := _target(action, context))]
    reasons += tuple(f"Two of its actions concern {target}." for target in sorted(set(targets)) if targets.count(target) > 1)
    if reasons:
        return Refused(reasons)
    in_form = [action for action in actions if context.is_composed(_target(action, context))]
    entries = [_entry(action, context) for action in actions if action not in in_form]
    return Accepted(
        transaction={"resourceType": "Bundle", "type": "transaction"} | ({"entry": entries} if entries else {}),
        composed=next((action["resource"] for action in in_form if action["type"] == "update"), None),
        drops_composed=any(action["type"] == "delete" for action in in_form),
    )


def reference_to(resource: Mapping[str, Any]) -> str:
    """`Type/id` of a resource that has an id."""
    return f"{resource['resourceType']}/{resource['id']}"


def replacing_entry(order: Mapping[str, Any], current: Mapping[str, Any] | None) -> dict[str, Any]:
    """The transaction entry that puts an order in the place of what stands there now, and of nothing newer."""
    kept = {name: value for name, value in order.items() if name != "meta"}
    request = {"method": "PUT", "url": reference_to(order)} | _only_over(current)
    return {"resource": kept, "request": request}


def removing_entry(order: Mapping[str, Any]) -> dict[str, Any]:
    """The transaction entry that takes an order away, unless it was changed meanwhile."""
    return {"request": {"method": "DELETE", "url": reference_to(order)} | _only_over(order)}


def _only_over(current: Mapping[str, Any] | None) -> dict[str, str]:
    version = (current or {}).get("meta", {}).get("versionId")
    return {"ifMatch": f'W/"{version}"'} if version else {}


def _entry(action: Mapping[str, Any], context: OrderContext) -> dict[str, Any]:
    if action["type"] == "create":
        return _create_entry(action["resource"])
    current = context.stored(_target(action, context)) or {}
    return removing_entry(current) if action["type"] == "delete" else replacing_entry(action["resource"], current)


def _create_entry(resource: Mapping[str, Any]) -> dict[str, Any]:
    order = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": order, "request": request}


def _target(action: Mapping[str, Any], context: OrderContext) -> str:
    """`Type/id` of the order that an update or delete concerns; empty where it names none, and for a create."""
    if action["type"] == "update":
        resource = action["resource"]
        return reference_to(resource) if isinstance(resource.get("id"), str) and resource["id"] else ""
    named = action.get("resourceId") if action["type"] == "delete" else None
    return _relative(named, context) or "" if isinstance(named, str) else ""


def _reasons_against(action: Mapping[str, Any], context: OrderContext) -> Iterator[str]:
    if action["type"] in ("update", "delete"):
        yield from _reasons_of_target(action, context)
    if action["type"] == "create" or (action["type"] == "update" and action["resource"]["resourceType"] in ORDER_SUBJECTS):
        yield from _reasons_of_order(action["resource"], context)


def _reasons_of_target(action: Mapping[str, Any], context: OrderContext) -> Iterator[str]:
    verb, target = action["type"], _target(action, context)
    resource_type = target.partition("/")[0]
    if not target:
        yield f"It wants to {verb} something without naming an order of this EHR."
        return
    if resource_type not in ORDER_SUBJECTS:
        yield f"It wants to {verb} {target}, which is no order that can be drafted here."
        return
    current = context.current(target)
    if current is None:
        yield f"It wants to {verb} {target}, which does not exist here."
    elif subject_of(current, context.fhir_base) != context.patient_id:
        yield f"It wants to {verb} {target}, an order for another patient."
    elif current.get("status") != "draft":
        yield f"It wants to {verb} {target}, which is not a draft."
    elif target in context.sent and context.sent[target] != current:
        yield f"{target} was changed since this card was made."


def subject_of(order: Mapping[str, Any], fhir_base: str) -> str:
    """The bare id of the patient whom an order is for; empty where it names none of this EHR."""
    subject = order.get(ORDER_SUBJECTS.get(order["resourceType"], ""))
    reference = subject.get("reference") if isinstance(subject, dict) else None
    relative = str(reference or "").removeprefix(f"{fhir_base.rstrip('/')}/")
    return relative.removeprefix("Patient/") if relative.startswith("Patient/") else ""


def _reasons_of_order(resource: Mapping[str, Any], context: OrderContext) -> Iterator[str]:
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
