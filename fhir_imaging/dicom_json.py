"""Data sets in the DICOM JSON model, read tolerantly, and the URLs inside them.

An attribute is ``{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}``; a large value has a BulkDataURI in place of Value.

Spec: DICOM PS3.18 Annex F (DICOM JSON model).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, as_list, text

ISSUER_OF_PATIENT_ID = "00100021"
ISSUER_QUALIFIERS = "00100024"
LOCAL_NAMESPACE = "00400031"
MODALITIES_IN_STUDY = "00080061"
PATIENT_ID = "00100020"
RETRIEVE_URI = "0040E010"
RETRIEVE_URL = "00081190"
SERIES_INSTANCE_UID = "0020000E"
SOP_INSTANCE_UID = "00080018"
STUDY_INSTANCE_UID = "0020000D"
UNIVERSAL_ENTITY = "00400032"

_BULK_DATA_URI = "BulkDataURI"
PIXEL_PROVIDER = "00287FE0"
"""Pixel Data Provider URL (JPIP): an address of the archive's own, which no reader may follow past whoever guards it."""
_URLS = frozenset({_BULK_DATA_URI, RETRIEVE_URL, RETRIEVE_URI, RETRIEVE_URI.lower(), PIXEL_PROVIDER, PIXEL_PROVIDER.lower()})
"""Members of an object that hold addresses; some archives write the letters of a tag small."""
_NESTED = (dict, list)

UrlRewriter = Callable[[str], str | None]
"""Gives the address that a reader may see instead of one in a data set; None = it has none and the URL goes."""


def values(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """All values of an attribute; empty when it is absent or has none."""
    return as_list(as_dict(dataset.get(tag)).get("Value"))


def first_text(dataset: Mapping[str, Any], tag: str) -> str | None:
    """The first value of a text attribute without its padding; None when it is absent, empty or no text."""
    found = values(dataset, tag)
    return text(found[0].rstrip("\0")) if found and isinstance(found[0], str) else None


def issuer_of_number(dataset: Mapping[str, Any]) -> str | None:
    """Who a data set says has issued its PatientID: Issuer of Patient ID (0010,0021), or else the Universal or Local Entity ID
    of its qualifiers (0010,0024). None when it names nobody; what is no text names somebody unknown."""
    named = values(dataset, ISSUER_OF_PATIENT_ID)
    if named and named[0] is not None and not isinstance(named[0], str):
        return repr(named[0])
    items = [as_dict(item) for item in values(dataset, ISSUER_QUALIFIERS)]
    entities = (first_text(item, tag) for item in items for tag in (UNIVERSAL_ENTITY, LOCAL_NAMESPACE))
    return first_text(dataset, ISSUER_OF_PATIENT_ID) or next(filter(None, entities), None)


def whole_text(dataset: Mapping[str, Any], tag: str) -> str | None:
    """The text of an attribute that has one value; several as a file has them (``1\\2``), since the first may mean another.

    A backslash is no part of any number, but some sites type it, and readers of DICOM take it for the mark between two values.
    """
    stated = "\\".join(one if isinstance(one, str) else "" for one in values(dataset, tag))
    return text(stated.rstrip("\0"))


def rewrite_urls(dataset: Mapping[str, Any], rewrite: UrlRewriter) -> dict[str, Any]:
    """The data set with every BulkDataURI, RetrieveURL and RetrieveURI replaced, at any depth, whatever they stand in.

    A BulkDataURI without a replacement is dropped, which leaves the attribute without value; a RetrieveURL goes whole. So do
    those that are no text or no attribute, since a reader might still follow them. The input stays as it is.
    RecursionError for what is nested deeper than Python's stack.
    """
    fresh: dict[str, Any] = {}
    for key, found in dataset.items():
        if key not in _URLS:
            fresh[key] = _inside(found, rewrite) if isinstance(found, _NESTED) else found
        elif (replaced := _replaced(dataset, key, rewrite)) is not None:
            fresh[key] = replaced
    return fresh


def _inside(found: Any, rewrite: UrlRewriter) -> Any:
    if isinstance(found, dict):
        return rewrite_urls(found, rewrite)
    return [_inside(one, rewrite) if isinstance(one, _NESTED) else one for one in found]


def _replaced(dataset: Mapping[str, Any], key: str, rewrite: UrlRewriter) -> Any:
    """What a reader may see instead of an address, or of an attribute of addresses; None where there is nothing."""
    if key == _BULK_DATA_URI:
        address = dataset[key]
        return rewrite(address) if isinstance(address, str) else None
    urls = [rewrite(one) for one in values(dataset, key) if isinstance(one, str)]
    kept = [url for url in urls if url is not None]
    return {"vr": "UR", "Value": kept} if kept else None
