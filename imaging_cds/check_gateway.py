"""Every requirement for a SMART Imaging server that can be seen from outside, in the order in which they are tried.

Works against any server of the SMART Imaging Access guide, not only ours. Nothing is changed there.

Spec: SMART Imaging Access F1-F10, W1-W7; smart-imaging.md P1, P3-P6 (policy) and M1-M16 (faults seen in servers).
"""

from __future__ import annotations

from imaging_cds.check_gateway_access import ACCESS_REQUIREMENTS
from imaging_cds.check_gateway_capabilities import CAPABILITY_REQUIREMENTS
from imaging_cds.check_gateway_endpoints import ENDPOINT_REQUIREMENTS
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_guard import GUARD_REQUIREMENTS, REVIEW_REQUIREMENTS
from imaging_cds.check_gateway_images import IMAGE_REQUIREMENTS
from imaging_cds.check_gateway_manners import DELAY_REQUIREMENTS, MANNER_REQUIREMENTS
from imaging_cds.check_gateway_paths import PATH_REQUIREMENTS
from imaging_cds.check_gateway_patients import PATIENT_REQUIREMENTS
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_report import ImagingReport
from imaging_cds.check_gateway_requirement import Requirement
from imaging_cds.check_gateway_search import SEARCH_REQUIREMENTS
from imaging_cds.check_gateway_subject import Subject

REQUIREMENTS: tuple[Requirement, ...] = (
    *SEARCH_REQUIREMENTS,
    *ENDPOINT_REQUIREMENTS,
    *ACCESS_REQUIREMENTS,
    *PATIENT_REQUIREMENTS,
    *IMAGE_REQUIREMENTS,
    *GUARD_REQUIREMENTS,
    *CAPABILITY_REQUIREMENTS,
    *PATH_REQUIREMENTS,
    *MANNER_REQUIREMENTS,
    # These look back at every answer, so they come last.
    *REVIEW_REQUIREMENTS,
    *DELAY_REQUIREMENTS,
)


def check_server(subject: Subject, probe: Probe, warnings: tuple[str, ...] = ()) -> ImagingReport:
    """Tries every requirement; the probe decides where anything may be sent."""
    exam = Examination(subject, probe)
    rows = tuple(requirement.row(exam) for requirement in REQUIREMENTS)
    return ImagingReport(base=subject.base, rows=rows, requests=len(probe.replies), warnings=warnings)
