"""What a patient takes, out of orders (MedicationRequest) and of what was asked or reported (MedicationStatement).

Only metformin is asked for. A product counts by its own code or name, or by an ingredient: combinations carry it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from fhir_imaging.study import concept_text
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.stated_days import day_of
from imaging_findings.value_sets import value_set

# A medication on hold is one to be restarted, which is what the advice is about. R5 records no taking in the status.
_STATUSES = {
    "MedicationRequest": frozenset({None, "active", "on-hold", "unknown"}),
    "MedicationStatement": frozenset({None, "active", "intended", "on-hold", "unknown", "recorded"}),
}
_NOT_TAKEN = frozenset({"not-taking", "stopped", "never"})


def takes_metformin(resources: Iterable[Mapping[str, Any]], today: date) -> str | None:
    """The name of a current medication that is metformin or holds it; None where none is recorded."""
    for resource in resources:
        if not _is_current(resource, today):
            continue
        found = next((one for one in _concepts(resource) if value_set("metformin").matches(one)), None)
        if found is not None:
            return concept_text(found) or "metformin"
    return None


def _is_current(resource: Mapping[str, Any], today: date) -> bool:
    statuses = _STATUSES.get(text(resource.get("resourceType")) or "")
    if statuses is None or text(resource.get("status")) not in statuses or resource.get("doNotPerform") is True:
        return False
    adherence = codes.codings(as_dict(resource.get("adherence")).get("code"))
    if any(one.code in _NOT_TAKEN for one in adherence):
        return False
    ended = day_of(text(as_dict(resource.get("effectivePeriod")).get("end")))
    return ended is None or ended >= today


def _concepts(resource: Mapping[str, Any]) -> Sequence[object]:
    """The medication's own concept, the name that a reference shows, and the contained product with its ingredients."""
    stated = as_dict(resource.get("medication"))
    reference = as_dict(resource.get("medicationReference")) or as_dict(stated.get("reference"))
    found: list[object] = [resource.get("medicationCodeableConcept"), stated.get("concept"), {"text": reference.get("display")}]
    for product in dicts(resource.get("contained")):
        found.append(product.get("code"))
        for ingredient in dicts(product.get("ingredient")):
            item = as_dict(ingredient.get("item"))
            found += [ingredient.get("itemCodeableConcept"), item.get("concept")]
    return [one for one in found if one]
