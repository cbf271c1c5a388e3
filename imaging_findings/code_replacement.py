"""A draft ServiceRequest with another code in the old one's place, for an ``update`` action (CDS Hooks R29)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.written_number import WrittenNumber
from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.order_advice import BetterCode
from imaging_findings.order_facts import ImagingOrder
from imaging_findings.study_names import read_name
from imaging_findings.study_table import study_codes

_EMPTY: tuple[object, ...] = (None, "", [], {})
_EXTENSIONS = ("extension", "modifierExtension")


def with_code_replaced(order: ImagingOrder, better: BetterCode) -> dict[str, Any] | None:
    """The whole ServiceRequest as it was sent, its code replaced; None where it cannot be handed back safely.

    Empty members, which no resource may have, are left out, and so are an extension that says nothing without them and the
    narrative, which tells of the old code. Decimals keep their digits (2.50 is not 2.5 in FHIR): an order with one that came
    as a binary number, or that no binary number can hold (1E999), is not handed back.

    The code's text stays where it says the same examination, and becomes the new code's name where it does not, or where the
    follow-up asks for a technique that no code says.
    """
    if not order.has_id or order.status != "draft" or _has_gap(order.sent) or _has_lost_number(order.sent):
        return None
    whole = _without_empty({name: member for name, member in order.sent.items() if name != "text"})
    if _lost_modifiers(whole, order.sent):
        return None
    stated = as_dict(whole.get("code"))
    concept = as_dict(stated.get("concept")) or stated
    new = {"system": better.code.system, "code": better.code.code, "display": better.code.display}
    coding = [new if _is_coding_of(one, better.replaces) else dict(one) for one in dicts(concept.get("coding"))]
    if new not in coding:
        return None
    replaced = dict(concept) | {"coding": coding}
    words = text(concept.get("text"))
    if better.note is not None:
        # A screening code means low dose by itself; the code that takes its place says so in words, or nobody would know.
        replaced["text"] = better.words
    elif words is not None and not _says(words, better.code):
        replaced["text"] = better.words
    return whole | {"code": dict(stated) | {"concept": replaced} if "concept" in stated else replaced}


def _says(words: str, code: Code) -> bool:
    study, reading = next(iter(study_codes([code])), None), read_name(words)
    if study is None or study.purpose is not reading.purpose:
        return False
    return (study.modality, study.regions, study.contrast) == (reading.modality, reading.regions, reading.contrast)


def _is_coding_of(coding: Mapping[str, Any], code: Code) -> bool:
    return any(one.is_same(code) for one in codes.codings(coding))


def _has_gap(value: object) -> bool:
    """Whether an array holds a null, which lines it up with its extensions: taking it out would shift them."""
    if isinstance(value, Mapping):
        return any(map(_has_gap, value.values()))
    return isinstance(value, list) and any(one is None or _has_gap(one) for one in value)


def _has_lost_number(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_lost_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_lost_number, value))
    return isinstance(value, float) or (isinstance(value, WrittenNumber) and not value.is_finite)


def _lost_modifiers(kept: object, sent: object) -> bool:
    """Whether leaving out what is empty took a modifier extension away, and with it what it changes."""
    return _modifiers_in(kept) != _modifiers_in(sent)


def _modifiers_in(value: object) -> int:
    if isinstance(value, Mapping):
        return sum(map(_modifiers_in, value.values())) + len(dicts(value.get("modifierExtension")))
    return sum(map(_modifiers_in, value)) if isinstance(value, list) else 0


def _without_empty(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _saying(_pruned(member)) if name in _EXTENSIONS else _pruned(member) for name, member in value.items()}
    return {name: member for name, member in kept.items() if member not in _EMPTY}


def _saying(extensions: object) -> object:
    """The extensions with a value or extensions of their own (ext-1): cleaning may have left others their url alone."""
    if not isinstance(extensions, list):
        return extensions
    return [one for one in extensions if not isinstance(one, Mapping) or _says_something(one)]


def _says_something(extension: Mapping[str, Any]) -> bool:
    return any(name == "extension" or name.lstrip("_").startswith("value") for name in extension)


def _pruned(value: object) -> object:
    if isinstance(value, Mapping):
        return _without_empty(value)
    if isinstance(value, list):
        return [member for member in map(_pruned, value) if member not in _EMPTY]
    return value
