"""DICOM files as data sets in the DICOM JSON model, as much of each as can be read. Needs pydicom (extra ``dicom``).

Spec: DICOM PS3.10 §7 (files), PS3.18 Annex F (DICOM JSON).
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

# Its messages quote the values that they complain of, which are patients' data.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_MANY_BYTES = 1 << 40
FAULTS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RecursionError, TypeError),
    *(ValueError, BytesLengthException, InvalidDicomError, struct.error, zlib.error),
)
"""pydicom raises whatever the first code that trips over a value happens to raise."""
# Which warnings are shown is the whole process's affair, so that only one thread may change it.
_one_at_a_time = Lock()


class UnreadableFileError(Exception):
    """It cannot be read as DICOM; the text says why without a word of what is in it."""


def dataset_of(path: Path, wanted: Collection[int] | None = None) -> dict[str, Any]:
    """The data set of a file without its pixels: the wanted elements, or all. Elements that cannot be understood are left out.

    A file without preamble is read too. UnreadableFileError for what is no DICOM, cut off in its header or not to be opened.
    """
    tags = None if wanted is None else sorted(wanted)
    with quietly():
        try:
            return _as_json(dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True))
        except FAULTS as exc:
            kind = type(exc)
            name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
            raise UnreadableFileError(f"cannot be read ({name})") from exc


@contextmanager
def quietly() -> Iterator[None]:
    """Without pydicom's warnings, which quote the values that they complain of; one thread at a time."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _as_json(dataset: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in dataset.keys():  # noqa: SIM118 -- a Dataset's own iteration decodes every element and stops at a bad one
        if tag.group in (0, 2):
            continue
        try:
            element = dataset[tag]
            found[f"{tag:08X}"] = element.to_json_dict(None, _MANY_BYTES)
        except FAULTS:
            continue
    return found
