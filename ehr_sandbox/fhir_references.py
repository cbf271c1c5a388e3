"""Walking over the references inside a resource."""

from collections.abc import Callable, Iterator
from typing import Any

_URL_ELEMENTS = frozenset({"reference", "url", "uri"})


def rewritten(element: Any, rename: Callable[[str], str]) -> Any:
    """A copy of the JSON in which every `Reference.reference` went through `rename`."""
    if isinstance(element, list):
        return [rewritten(item, rename) for item in element]
    if not isinstance(element, dict):
        return element
    return {
        name: rename(value) if name == "reference" and isinstance(value, str) else rewritten(value, rename)
        for name, value in element.items()
    }


def resolved_urns(element: Any, addresses: dict[str, str]) -> Any:
    """A copy in which `urn:uuid:` and other temporary addresses became the final ones.

    FHIR R4 http, section 3.1.0.11.2: references, and elements of type uri and url, that equal a fullUrl of the
    transaction are replaced; identifier values and free text are left alone.
    """
    if isinstance(element, list):
        return [resolved_urns(item, addresses) for item in element]
    if not isinstance(element, dict):
        return element
    return {
        name: addresses.get(value, value)
        if name in _URL_ELEMENTS and isinstance(value, str)
        else resolved_urns(value, addresses)
        for name, value in element.items()
    }


def references_in(element: Any) -> Iterator[str]:
    """Every `Reference.reference` in the JSON."""
    if isinstance(element, list):
        for item in element:
            yield from references_in(item)
    elif isinstance(element, dict):
        for name, value in element.items():
            if name == "reference" and isinstance(value, str):
                yield value
            else:
                yield from references_in(value)
