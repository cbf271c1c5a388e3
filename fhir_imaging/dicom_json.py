"""Data sets in the DICOM JSON model, read tolerantly, and the URLs inside them.

An attribute is ``{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}``; a large value has a BulkDataURI in place of Value.

Spec: DICOM PS3.18 Annex F (DICOM JSON model).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, as_list, text

ISSUER_OF_PATIENT_ID = "00100021"
MODALITIES_IN_STUDY = "00080061"
PATIENT_ID = "00100020"
RETRIEVE_URI = "0040E010"
RETRIEVE_URL = "00081190"
SERIES_INSTANCE_UID = "0020000E"
SOP_INSTANCE_UID = "00080018"
STUDY_INSTANCE_UID = "0020000D"

_URL_ATTRIBUTES = frozenset({RETRIEVE_URL, RETRIEVE_URI})

UrlRewriter = Callable[[str], str | None]
"""Gives the address that a reader may see instead of one in a data set; None = it has none and the URL goes."""


def values(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """All values of an attribute; empty when it is absent or has none."""
    return as_list(as_dict(dataset.get(tag)).get("Value"))


def first_text(dataset: Mapping[str, Any], tag: str) -> str | None:
    """The first value of a text attribute without its padding; None when it is absent, empty or no text."""
    found = values(dataset, tag)
    return text(found[0].rstrip("\0")) if found and isinstance(found[0], str) else None


def whole_text(dataset: Mapping[str, Any], tag: str) -> str | None:
    """The text of an attribute that has one value; several as a file has them (``1\\2``), since the first may mean another.

    A backslash is no part of any number, but some sites type it, and readers of DICOM take it for the mark between two values.
    """
    stated = "\\".join(one if isinstance(one, str) else "" for one in values(dataset, tag))
    return text(stated.rstrip("\0"))


def rewrite_urls(dataset: Mapping[str, Any], rewrite: UrlRewriter) -> dict[str, Any]:
    """The data set with every BulkDataURI, RetrieveURL and RetrieveURI replaced, in sequences at any depth.

    A BulkDataURI without a replacement is dropped, which leaves the attribute without value; a RetrieveURL goes whole.
    The input stays as it is. RecursionError for sequences nested deeper than Python's stack.
    """
    return {tag: fresh for tag, element in dataset.items() if (fresh := _element(tag, element, rewrite)) is not None}


def _element(tag: str, element: Any, rewrite: UrlRewriter) -> Any:
    if not isinstance(element, dict):
        return element
    if tag.upper() in _URL_ATTRIBUTES:
        found = [rewrite(value) for value in as_list(element.get("Value")) if isinstance(value, str)]
        kept = [url for url in found if url is not None]
        return {"vr": "UR", "Value": kept} if kept else None
    fresh = dict(element)
    if "BulkDataURI" in fresh:
        address = fresh.pop("BulkDataURI")
        replaced = rewrite(address) if isinstance(address, str) else None
        if replaced is not None:
            fresh["BulkDataURI"] = replaced
    if isinstance(fresh.get("Value"), list):
        fresh["Value"] = [rewrite_urls(one, rewrite) if isinstance(one, dict) else one for one in fresh["Value"]]
    return fresh
