"""What a program's report found, in lines that people read: only names, values and units that the report itself states.

How certain a program is of something stays in its Observation: beside the words of a finding it would read as a radiologist's.

Spec: FHIR R4 DiagnosticReport.conclusion; clinical rules X22, X23.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from pacs_sync.result_findings import FINDING, LATERALITY, TRACKING_ID, TRACKING_UID

MANY = 30
"""More findings than these are counted."""
_NO_WORDS = (TRACKING_UID, TRACKING_ID, LATERALITY)
"""Components that name the lesion for machines, or whose words the body site has already."""
_DEGREES = frozenset({"%", "1"})


def conclusion_of(observations: Sequence[Mapping[str, Any]], label: str) -> str:
    """A line that says what this is, and one for each of these Observations."""
    lines = [_line(one) for one in observations[:MANY]]
    more = len(observations) - len(lines)
    return "\n".join([f"{label}.", *lines, *([f"+ {more}"] if more else [])])


def _line(observation: Mapping[str, Any]) -> str:
    """What was found and where, then what is said of it."""
    named, value = _words(observation.get("code")), _value(observation)
    components = dicts(observation.get("component"))
    found = next((_value(one) for one in components if _is(one.get("code"), FINDING)), None)
    is_found_itself = value is None or _is(observation.get("code"), FINDING)
    subject = (value or named) if is_found_itself else found
    said = [] if is_found_itself else [f"{named} {value}" if named else value]
    said += [words for one in components if (words := _component(one))]
    parts = (", ".join(filter(None, (subject, _words(observation.get("bodySite"))))), "; ".join(filter(None, said)))
    return f"{': '.join(filter(None, parts))}."


def _component(component: Mapping[str, Any]) -> str | None:
    code = component.get("code")
    if any(_is(code, one) for one in (FINDING, *_NO_WORDS)) or _is_degree(as_dict(component.get("valueQuantity"))):
        return None
    return " ".join(filter(None, (_words(code), _value(component)))) or None


def _is_degree(quantity: Mapping[str, Any]) -> bool:
    """A share, a probability, a score: no size."""
    unit = text(quantity.get("code")) or ""
    return bool(quantity) and (quantity.get("system") != codes.UCUM or unit in _DEGREES or unit.startswith("{"))


def _value(element: Mapping[str, Any]) -> str | None:
    quantity = as_dict(element.get("valueQuantity"))
    if quantity:
        return " ".join(str(one) for one in (quantity.get("value"), quantity.get("unit")) if one is not None)
    stated = _words(element.get("valueCodeableConcept")) or text(element.get("valueString"))
    return stated or _words(element.get("dataAbsentReason"))


def _words(concept: Any) -> str | None:
    """As they stand beside the code, else the code's own name, else the code."""
    found = as_dict(concept)
    return text(found.get("text")) or next(_names(dicts(found.get("coding"))), None)


def _names(codings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (words for one in codings if (words := text(one.get("display")) or text(one.get("code"))))


def _is(concept: Any, code: codes.Code) -> bool:
    stated = dicts(as_dict(concept).get("coding"))
    return any((one.get("system"), one.get("code")) == (code.system, code.code) for one in stated)
