"""A study that a launch, a link or another application names, before anybody has looked whether it is this patient's.

It may be named by its UID, by its ImagingStudy, by an accession number, or only through a report or an order of it.

Spec: SMART App Launch 2.2 ``fhirContext`` (A29), CDS Hooks 2.0 ``appContext``; FHIR R4/R5 DiagnosticReport, ServiceRequest.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStudy:
    """A study that the launch points at: by UID (perhaps with one slice of it), or by the ImagingStudy's logical id."""

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    resource_id: str | None = None
