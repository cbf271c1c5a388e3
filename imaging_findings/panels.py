"""A Lung-RADS category in a component of another Observation, such as a panel, read as the Observation that it stands for.

Spec: clinical rules, section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhir_imaging.tolerant import dicts
from imaging_findings import codes

Resource = Mapping[str, Any]


def with_categories(observations: Iterable[Resource]) -> Iterator[Resource]:
    """The Observations, and beside a panel the category in its component, under the panel's id, study and signature."""
    for one in observations:
        yield one
        if one.get("component") and codes.find(one.get("code"), codes.LUNG_RADS_CATEGORY) is None:
            yield from _categories(one)


def _categories(panel: Resource) -> Iterator[Resource]:
    components = dicts(panel.get("component"))
    stating = [one for one in components if codes.find(one.get("code"), codes.LUNG_RADS_CATEGORY) is not None]
    found = [one for one in stating if not one.get("dataAbsentReason")]
    if not found:
        return
    # Categories of several nodules: which of them is the examination's the panel does not say, so none of them is (Gd).
    values = [coding for one in found for coding in _codings(one.get("valueCodeableConcept"))]
    base = {name: value for name, value in panel.items() if not name.startswith("value")}
    own = {name: value for name, value in found[0].items() if name.startswith("value")}
    several = {"valueCodeableConcept": {"coding": values, "text": ", ".join(_words(values))}} if len(found) > 1 else own
    rest = [one for one in components if not any(one is other for other in stating)]
    yield {**base, "code": found[0]["code"], "component": rest, **several}


def _codings(concept: object) -> list[Mapping[str, Any]]:
    return dicts(concept.get("coding")) if isinstance(concept, dict) else []


def _words(values: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(one.get("code")) for one in values if one.get("code")))
