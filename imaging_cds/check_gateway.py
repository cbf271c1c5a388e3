"""Every requirement for a SMART Imaging server, in the order in which they are tried.

Works against any server of the SMART Imaging Access guide, not only ours. Nothing is changed there. What cannot be seen from
outside has a row as well, which says so and whom to ask.

Spec: SMART Imaging Access F1-F13, W1-W7; smart-imaging.md P1, P3-P6 (policy) and M1-M16 (faults seen in servers).
"""

from __future__ import annotations

from imaging_cds.check_gateway_access import ACCESS_REQUIREMENTS
from imaging_cds.check_gateway_backend import BACKEND_REQUIREMENTS
from imaging_cds.check_gateway_bundle import BUNDLE_REQUIREMENTS
from imaging_cds.check_gateway_capabilities import CAPABILITY_REQUIREMENTS
from imaging_cds.check_gateway_endpoints import ENDPOINT_REQUIREMENTS
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_guard import GUARD_REQUIREMENTS
from imaging_cds.check_gateway_images import IMAGE_REQUIREMENTS
from imaging_cds.check_gateway_manners import DELAY_REQUIREMENTS, MANNER_REQUIREMENTS
from imaging_cds.check_gateway_paths import PATH_REQUIREMENTS
from imaging_cds.check_gateway_patients import PATIENT_REQUIREMENTS
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_query import QUERY_REQUIREMENTS
from imaging_cds.check_gateway_reach import REACH_REQUIREMENTS
from imaging_cds.check_gateway_reads import READ_REQUIREMENTS
from imaging_cds.check_gateway_report import ImagingReport
from imaging_cds.check_gateway_requirement import Requirement, proven
from imaging_cds.check_gateway_review import REVIEW_REQUIREMENTS
from imaging_cds.check_gateway_search import SEARCH_REQUIREMENTS
from imaging_cds.check_gateway_subject import Subject
from imaging_cds.check_gateway_unseen import UNSEEN_REQUIREMENTS

AREAS: tuple[tuple[str, tuple[Requirement, ...]], ...] = (
    ("The list of studies", (*SEARCH_REQUIREMENTS, *BUNDLE_REQUIREMENTS)),
    ("Where the images are", ENDPOINT_REQUIREMENTS),
    ("Whose token counts", ACCESS_REQUIREMENTS),
    (
        "Whose studies are listed",
        (*proven(Examination.prove_token, *PATIENT_REQUIREMENTS), *BACKEND_REQUIREMENTS, *READ_REQUIREMENTS),
    ),
    ("Images", IMAGE_REQUIREMENTS),
    ("The guard before the images", proven(Examination.prove_images, *GUARD_REQUIREMENTS, *REACH_REQUIREMENTS)),
    ("Tokens in addresses", QUERY_REQUIREMENTS),
    ("Addresses that carry a permission", CAPABILITY_REQUIREMENTS),
    ("Other ways to images", proven(Examination.prove_images, *PATH_REQUIREMENTS)),
    ("Errors, browsers and caches", MANNER_REQUIREMENTS),
    # These look back at every answer, so they come last.
    ("All answers of this check", REVIEW_REQUIREMENTS),
    ("Waiting", DELAY_REQUIREMENTS),
    ("What nobody can see from outside", UNSEEN_REQUIREMENTS),
)
"""In the order in which they are tried, under their headings."""
REQUIREMENTS: tuple[Requirement, ...] = tuple(one for _, requirements in AREAS for one in requirements)


def check_server(subject: Subject, probe: Probe, warnings: tuple[str, ...] = ()) -> ImagingReport:
    """Tries every requirement; the probe decides where anything may be sent."""
    exam = Examination(subject, probe)
    rows = tuple(requirement.row(exam, area) for area, requirements in AREAS for requirement in requirements)
    return ImagingReport(base=subject.base, rows=rows, requests=len(probe.replies), warnings=warnings)
