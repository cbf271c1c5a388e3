"""What a resource says at an element path, in the shape that search compares: tokens, references, dates, texts."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ehr_sandbox.fhir_dates import Interval, parse_interval
from ehr_sandbox.fhir_faults import Resource

FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True, slots=True)
class Token:
    """A code or identifier; `system` is None when the resource names none."""

    system: str | None
    value: str | None


def values_at(element: object, path: str) -> Iterator[Any]:
    """Every value at a dotted path below the element; lists are walked through."""
    if isinstance(element, list):
        for item in element:
            yield from values_at(item, path)
        return
    if not path:
        if element is not None:
            yield element
        return
    if isinstance(element, dict):
        head, _, rest = path.partition(".")
        yield from values_at(element.get(head), rest)


def values_of(resource: Resource, paths: tuple[str, ...]) -> Iterator[Any]:
    """Every value at any of the paths."""
    for path in paths:
        yield from values_at(resource, path)


def tokens_of(value: Any) -> Iterator[Token]:
    """The tokens in a code, Coding, CodeableConcept, Identifier, ContactPoint or boolean."""
    match value:
        case bool():
            yield Token(None, "true" if value else "false")
        case str():
            yield Token(None, value)
        case {"coding": list() as codings}:
            for coding in codings:
                yield Token(coding.get("system"), coding.get("code"))
        case {"code": str() as code}:
            yield Token(value.get("system"), code)
        case {"value": str() as text}:
            yield Token(value.get("system"), text)


def reference_of(value: object, base_url: str) -> str | None:
    """The reference as `Type/id` when it points into this server, else as it stands; versions are cut off."""
    if not isinstance(value, dict) or not isinstance(value.get("reference"), str):
        return None
    return local_reference(value["reference"], base_url)


def local_reference(reference: str, base_url: str) -> str:
    """An absolute URL below the base as `Type/id`; anything else unchanged but for the version."""
    return reference.removeprefix(f"{base_url}/").partition("/_history/")[0]


def interval_of(value: object) -> Interval | None:
    """The interval of a date, dateTime, instant or Period; an open Period is infinite at that end."""
    if isinstance(value, str):
        return parse_interval(value)
    if not isinstance(value, dict):
        return None
    start = parse_interval(value["start"]) if isinstance(value.get("start"), str) else None
    end = parse_interval(value["end"]) if isinstance(value.get("end"), str) else None
    if start is None and end is None:
        return None
    return Interval(start.low if start else float("-inf"), end.high if end else float("inf"))


def folded(text: str) -> str:
    """Text without case and accents, as FHIR string search wants it compared."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()
