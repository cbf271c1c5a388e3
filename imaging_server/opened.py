"""What the gate has let through, for whoever answers it.

Spec: SMART Imaging Access F5-F9, W3-W5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_imaging.uids import StudyInstanceUID
from imaging_server.identity import KnownCaller
from imaging_server.upstream import Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSearch:
    """A search for studies that was let through: it may be answered from ``studies`` only.

    ``complete`` is False when the EHR had more of the patient's studies than were read.
    """

    caller: KnownCaller
    studies: tuple[StudyInstanceUID, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPatient:
    """A patient's list that was let through: by archive, the studies that this caller may have from it.

    ``complete`` is False when there were more than were read.
    """

    caller: KnownCaller
    studies: Mapping[str, frozenset[StudyInstanceUID]]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDescription:
    """One study that may be described, out of ``archives``."""

    caller: KnownCaller
    archives: tuple[Archive, ...]
