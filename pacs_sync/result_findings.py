"""What a measurement group states, shaped as the readers of findings expect it (``imaging_findings.facts``).

A group with a category (Lung-RADS and its like) is an Observation of that category, with the finding beside it; a group with a
nodule is an Observation of the nodule; any other finding is the value of DCM 121071 *Finding*. A group that names no finding,
and no category either, says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhir_imaging.concept import Concept
from imaging_findings import codes
from imaging_findings.assessment_codes import ASSESSMENT, CODED_CATEGORIES, ECHOED, SYSTEMS, TITLES
from imaging_findings.denial import ABSENT, INTERPRETATION, PRESENT
from pacs_sync.anatomy import is_denied
from pacs_sync.report_document import Evaluation, Group, Measurement, Site
from pacs_sync.result_elements import Json, Terms, codeable, is_concept, measured, of_code

FINDING = codes.concept(codes.DCM, "121071")
TRACKING_UID, TRACKING_ID = codes.TRACKING
LATERALITY = codes.concept(codes.SNOMED, "272741003")
FINDING_SITE = codes.concept(codes.SNOMED, "363698007")
_NODULES = (codes.SOLITARY_NODULE, codes.NODULE_FINDING)
_LENGTHS = (codes.DIAMETER, codes.LONG_AXIS, codes.SHORT_AXIS)
_MEAN = codes.concept(codes.SNOMED, "373098007")
_NEGATIVE = codes.concept(INTERPRETATION, "NEG")
_PRESENCE = "presence"
_NAMED_CATEGORY = re.compile(r"(?:rads|category)[^0-9a-z]{1,3}([0-6][a-dx]?)\b", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The elements of an Observation that the group decides. ``key`` tells it from another finding of the same lesion."""

    key: str
    elements: Json


def stated_by(group: Group, terms: Terms) -> Stated | None:
    """What the group states; None where it names neither a finding nor a category."""
    leading = _leading(group, terms)
    finding = terms.concept(group.finding) if group.finding else None
    if leading is not None:
        elements = {"code": _code_of(leading, terms), **_value(leading, terms)}
        key = leading.name
    elif finding is not None and group.finding is not None:
        is_nodule = is_concept(finding, *_NODULES)
        elements = (
            {"code": codeable(finding)} if is_nodule else {"code": of_code(FINDING), "valueCodeableConcept": codeable(finding)}
        )
        if _is_denied(group, terms):
            elements["interpretation"] = [of_code(_NEGATIVE)]
        key = group.finding
    else:
        return None
    components = list(_components(group, terms, leading))
    elements |= _site(group, terms)
    return Stated(key="|".join(key.key), elements={**elements, **({"component": components} if components else {})})


def _leading(group: Group, terms: Terms) -> Evaluation | None:
    """The one category of the group; of several nobody knows which one is meant, and all are told beside the finding."""
    found = [one for one in group.evaluations if _is_category(one, terms)]
    if len(found) == 1:
        return found[0]
    if found or group.finding is not None:
        return None
    # An evaluation *of* a finding ("pulmonary embolism: absent") says by its value whether it is there.
    answered = [one for one in group.evaluations if one.value and _is_answer(terms.concept(one.value))]
    return answered[0] if len(answered) == len(group.evaluations) == 1 else None


def _is_category(evaluation: Evaluation, terms: Terms) -> bool:
    if is_concept(terms.concept(evaluation.name), codes.LUNG_RADS_CATEGORY):
        return True
    return evaluation.value is not None and _assessment(terms.concept(evaluation.value)) is not None


def _assessment(value: Concept) -> str | None:
    """The assessment whose category this value is."""
    if value.system is None or value.code is None:
        return None
    outside = CODED_CATEGORIES.get((value.system, value.code))
    name = SYSTEMS.get(value.system) or (outside[0] if outside else None)
    return None if name in ECHOED else name


def _code_of(leading: Evaluation, terms: Terms) -> Json:
    """The evaluation's own name, and the assessment's, by which it is searched for."""
    code = codeable(terms.concept(leading.name))
    name = _assessment(terms.concept(leading.value)) if leading.value else None
    if name is None:
        return code
    ours = {"system": ASSESSMENT, "code": name, "display": TITLES[name]}
    return {**code, "coding": [*code.get("coding", []), ours]}


def _value(evaluation: Evaluation, terms: Terms) -> Json:
    if evaluation.value is None:
        return {"valueCodeableConcept": {"text": evaluation.words}}
    value = terms.concept(evaluation.value)
    words = evaluation.value.meaning or None
    if words and _is_denied_category(value, words):
        return {"valueCodeableConcept": {"text": f"{words} (code {evaluation.value.value})"}}
    if value.version and words and value.version not in words:
        words = f"{words} (v{value.version})"
    return {"valueCodeableConcept": codeable(value, words)}


def _is_denied_category(value: Concept, words: str) -> bool:
    """Whether the words beside the code of a category name another one, so that nobody knows which one is meant."""
    key = (value.system or "", value.code or "")
    is_own = value.system == codes.LUNG_RADS or key[0] in SYSTEMS
    category = key[1] if is_own else CODED_CATEGORIES.get(key, ("", ""))[1]
    named = _NAMED_CATEGORY.search(words)
    said = named[1].upper() if named else ""
    return bool(category and said) and not (said.startswith(category.upper()) or category.upper().startswith(said))


def _components(group: Group, terms: Terms, leading: Evaluation | None) -> Iterator[Json]:
    if leading is not None and group.finding is not None:
        yield {"code": of_code(FINDING), "valueCodeableConcept": codeable(terms.concept(group.finding))}
    for one in group.measurements:
        yield _measurement(one, group, terms)
    for evaluation in group.evaluations:
        if evaluation is not leading:
            yield _evaluation(evaluation, terms)
    if group.tracking_uid:
        yield {"code": of_code(TRACKING_UID), "valueString": f"urn:oid:{group.tracking_uid}"}
    elif group.tracking_id:
        yield {"code": of_code(TRACKING_ID), "valueString": group.tracking_id}
    for site in group.sites[:1]:
        if site.side is not None and not _is_denied_side(site, terms):
            yield {"code": of_code(LATERALITY), "valueCodeableConcept": codeable(terms.concept(site.side))}
    for site in group.sites[1:]:
        yield {"code": of_code(FINDING_SITE), "valueCodeableConcept": _site_concept(site, terms)}


def _measurement(one: Measurement, group: Group, terms: Terms) -> Json:
    name = terms.concept(one.name)
    derivation = terms.concept(one.derivation) if one.derivation else None
    is_length = is_concept(name, *_LENGTHS)
    quantity = measured(one.number, terms, is_length=is_length)
    words = f"{name.display} ({derivation.display.lower()})" if derivation else None
    if is_length and derivation is not None and not is_concept(derivation, _MEAN):
        # Readers take the code for the mean (Diameter) or for the axis itself: another derivation is another size.
        return {"code": {"text": words}, **quantity}
    if is_length and _is_unclear(one, group, terms):
        return {"code": {"text": words or name.display}, **quantity}
    return {"code": codeable(name, words), **quantity}


def _is_unclear(one: Measurement, group: Group, terms: Terms) -> bool:
    """Whether nobody says which of the finding's sizes this is: readers would take any of them for the one that rules ask for.

    Of several of one name only a single mean is clear, and a bare diameter is not beside both axes, whose mean is the size.
    """
    same = [other for other in group.measurements if other.name.key == one.name.key and _is_plain(other, terms)]
    means = [other for other in same if other.derivation is not None]
    if len({(other.number, other.derivation is None) for other in same}) > 1:
        return one not in means or len({other.number for other in means}) > 1
    is_bare_diameter = one.derivation is None and is_concept(terms.concept(one.name), codes.DIAMETER)
    return is_bare_diameter and _has_both_axes(group, terms)


def _is_plain(one: Measurement, terms: Terms) -> bool:
    """Whether readers take it for the size itself."""
    return one.number.value is not None and (one.derivation is None or is_concept(terms.concept(one.derivation), _MEAN))


def _has_both_axes(group: Group, terms: Terms) -> bool:
    found = [terms.concept(one.name) for one in group.measurements if one.number.value is not None and one.derivation is None]
    return all(any(is_concept(one, axis) for one in found) for axis in (codes.LONG_AXIS, codes.SHORT_AXIS))


def _evaluation(evaluation: Evaluation, terms: Terms) -> Json:
    code = codeable(terms.concept(evaluation.name))
    if evaluation.value is None:
        return {"code": code, "valueString": evaluation.words}
    return {"code": code, "valueCodeableConcept": codeable(terms.concept(evaluation.value))}


def _site(group: Group, terms: Terms) -> Json:
    """The first site; many are unsided, so its words carry the side beside the component that does."""
    if not group.sites:
        return {}
    first = group.sites[0]
    return {"bodySite": _site_concept(first, terms) if first.side else codeable(terms.concept(first.code))}


def _site_concept(site: Site, terms: Terms) -> Json:
    """Where its parts name both sides it is words alone, as they were stated."""
    if _is_denied_side(site, terms):
        said = [one.meaning or one.value for one in (site.code, site.side) if one is not None]
        return {"text": ", ".join([*said, "contradictory side"])}
    return codeable(terms.concept(site.code), _site_words(site))


def _is_denied_side(site: Site, terms: Terms) -> bool:
    """Whether the words of the site or of the side itself name the other one than the side's code."""
    if site.side is None:
        return False
    words = (site.side.meaning, terms.concept(site.code).display, site.code.meaning)
    return any(is_denied(terms.concept(site.side), one) for one in words)


def _site_words(site: Site) -> str:
    if site.side is None:
        return site.code.meaning or site.code.value
    name = site.code.meaning or site.code.value
    side = site.side.meaning or site.side.value
    return name if side.casefold() in name.casefold() else f"{side} {name[:1].lower()}{name[1:]}"


def _is_denied(group: Group, terms: Terms) -> bool:
    """Whether an evaluation of the finding itself says that it is not there; one of a feature of it says nothing about it."""
    for one in group.evaluations:
        is_of_finding = group.finding is not None and one.name.key == group.finding.key
        is_of_finding = is_of_finding or one.name.meaning.casefold() == _PRESENCE
        value = terms.concept(one.value) if one.value else None
        if is_of_finding and value is not None and (value.system, value.code) in ABSENT:
            return True
    return False


def _is_answer(value: Concept) -> bool:
    return (value.system, value.code) in ABSENT or is_concept(value, *PRESENT)
