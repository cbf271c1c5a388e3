"""The content tree of a structured report in the DICOM JSON model, read tolerantly and with bounds.

What is not of the expected shape counts as absent; a tree that is deeper or larger than any honest report is refused whole.

Spec: DICOM PS3.3 §C.17.3 (SR Document Content), §C.18 (content items); PS3.18 Annex F.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fhir_imaging.dicom_json import first_text, values
from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import SopInstanceUID, is_uid
from pacs_sync.dicom_codes import DicomCode, code_in, words
from pacs_sync.persons import name_in

MAX_DEPTH = 16
MAX_ITEMS = 20_000
"""A CAD report of a whole mammography study has a few hundred."""

_CONTENT = "0040A730"
_RELATIONSHIP, _VALUE_TYPE, _CONCEPT_NAME = "0040A010", "0040A040", "0040A043"
_CONCEPT_CODE = "0040A168"
_TEXT, _UID, _PERSON_NAME = "0040A160", "0040A124", "0040A123"
_TEMPLATE, _TEMPLATE_ID = "0040A504", "0040DB00"
_MEASURED, _NUMERIC, _FLOATING, _UNITS, _QUALIFIER = "0040A300", "0040A30A", "0040A161", "004008EA", "0040A301"
_REFERENCED, _REFERENCED_UID = "00081199", "00081155"
_LARGEST = Decimal(10) ** 15


class UnreadableContentError(ValueError):
    """The tree is deeper or larger than is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """What a NUM item states. Without ``value`` the ``qualifier`` may say why there is none."""

    value: Decimal | None
    unit: DicomCode | None
    qualifier: DicomCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One content item. ``kind`` is its value type (NUM, CODE, CONTAINER …), ``words`` the text, name or UID that it holds."""

    kind: str
    relationship: str
    name: DicomCode | None
    code: DicomCode | None = None
    words: str = ""
    number: Number | None = None
    instances: tuple[SopInstanceUID, ...] = ()
    template: str | None = None
    children: tuple[Item, ...] = ()

    def is_named(self, name: tuple[str, str]) -> bool:
        """Whether its concept name is this term."""
        return self.name is not None and self.name.key == name

    def named(self, *names: tuple[str, str]) -> Iterator[Item]:
        """The children whose concept name is one of these terms."""
        return (one for one in self.children if one.name is not None and one.name.key in names)

    def coded(self, name: tuple[str, str]) -> DicomCode | None:
        """The code of the first child with this name."""
        return next((one.code for one in self.named(name) if one.code is not None), None)

    def said(self, name: tuple[str, str]) -> str | None:
        """The words of the first child with this name."""
        return next((one.words for one in self.named(name) if one.words), None)

    def descendants(self) -> Iterator[Item]:
        """Everything below it, in the order of the document."""
        for one in self.children:
            yield one
            yield from one.descendants()


def content_of(dataset: Mapping[str, Any]) -> Item:
    """The root of a report's tree; UnreadableContentError beyond ``MAX_DEPTH`` levels or ``MAX_ITEMS`` items."""
    return _Reader().item(dataset, depth=0)


class _Reader:
    """Counts what it reads."""

    def __init__(self) -> None:
        self._items = 0

    def item(self, dataset: Mapping[str, Any], *, depth: int) -> Item:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise UnreadableContentError("its content is deeper or larger than is read")
        kind = (first_text(dataset, _VALUE_TYPE) or "").upper()
        return Item(
            kind=kind,
            relationship=(first_text(dataset, _RELATIONSHIP) or "").upper(),
            name=code_in(dataset, _CONCEPT_NAME),
            code=code_in(dataset, _CONCEPT_CODE),
            words=_words(dataset, kind),
            number=_number(dataset) if kind == "NUM" else None,
            instances=_instances(dataset),
            template=next((first_text(one, _TEMPLATE_ID) for one in dicts(values(dataset, _TEMPLATE))), None),
            children=tuple(self.item(one, depth=depth + 1) for one in dicts(values(dataset, _CONTENT))),
        )


def uid_in(dataset: Mapping[str, Any], tag: str) -> str | None:
    """The UID of an attribute; None where it holds none."""
    found = first_text(dataset, tag)
    return found if found and is_uid(found) else None


def _words(dataset: Mapping[str, Any], kind: str) -> str:
    match kind:
        case "UIDREF":
            return uid_in(dataset, _UID) or ""
        case "PNAME":
            return words(name_in(dataset, _PERSON_NAME))
        case "TEXT":
            return words(first_text(dataset, _TEXT))
    return ""


def _number(dataset: Mapping[str, Any]) -> Number:
    several = dicts(values(dataset, _MEASURED))
    measured = several[0] if len(several) == 1 else {}
    stated = next((found for tag in (_NUMERIC, _FLOATING) if (found := _decimal(measured, tag)) is not None), None)
    units = dicts(values(measured, _UNITS))
    unit = code_in(measured, _UNITS) if len(units) == 1 else None
    return Number(value=stated, unit=unit, qualifier=code_in(dataset, _QUALIFIER))


def _decimal(dataset: Mapping[str, Any], tag: str) -> Decimal | None:
    """A number exactly as written; DICOM JSON carries decimal strings as numbers or as text. Of several none is the one."""
    found = values(dataset, tag)
    stated = found[0] if len(found) == 1 else None
    if isinstance(stated, bool) or not isinstance(stated, int | float | str) or len(text(stated) or "") > 40:
        return None
    try:
        number = Decimal(str(stated).strip())
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() and abs(number) < _LARGEST else None


def _instances(dataset: Mapping[str, Any]) -> tuple[SopInstanceUID, ...]:
    stated = (uid_in(one, _REFERENCED_UID) for one in dicts(values(dataset, _REFERENCED)))
    return tuple(SopInstanceUID(one) for one in stated if one)
