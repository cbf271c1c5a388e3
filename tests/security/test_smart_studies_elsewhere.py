"""Studies that another FHIR server has than the EHR's own: whom its references mean in the app (group 29, wrong patient).

FHIR R4: a relative reference is into the server that holds it, which may number its Patients otherwise than the EHR.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smart_app.imaging_base import APP_LAUNCH_MODE, IMAGING_CAPABILITY
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import (
    PATIENT,
    STUDY_A,
    FakeEhr,
    World,
    a_world,
    imaging_study,
    patient_a,
    report_on,
    wado_endpoint,
)

SUBJECTS = {
    "relative": f"Patient/{PATIENT}",
    "relative, with a version": f"Patient/{PATIENT}/_history/2",
    "into the EHR": f"{{ehr}}/Patient/{PATIENT}",
    "into the EHR, with a version": f"{{ehr}}/Patient/{PATIENT}/_history/2",
    "into that server": f"{{images}}/Patient/{PATIENT}",
    "into a third": f"https://third.example/fhir/Patient/{PATIENT}",
    "another patient of the EHR": "{ehr}/Patient/demo-b",
}
OWN = {"into the EHR", "into the EHR, with a version"}
SHARED = {*OWN, "relative", "relative, with a version", "into that server"}


@contextmanager
def elsewhere(directory: Path, *, is_offered: bool = False, **settings: Any) -> Iterator[tuple[World, FakeEhr]]:
    """An EHR without studies, and a server with its own, whom the site names, or (``is_offered``) the EHR too."""
    images = FakeEhr(fhir={"ImagingStudy": [imaging_study()], "Endpoint": [wado_endpoint()]})
    ehr = FakeEhr(fhir={"Patient": [patient_a()], "DiagnosticReport": [report_on()]})
    with serving(images.app(), free_port_number()) as images.base_url:
        offered = [{"url": images.fhir_base, "capabilities": [IMAGING_CAPABILITY, APP_LAUNCH_MODE]}] if is_offered else []
        ehr.smart_configuration = {"capabilities": ["launch-ehr"], "associated_endpoints": offered}
        with a_world(directory, ehr=ehr, imaging_base=images.fhir_base, **settings) as world:
            yield world, images


def opened(world: World, images: FakeEhr, subject: str) -> tuple[bool, int]:
    """Whether a study with this subject is listed, and what its viewer page answers."""
    written = subject.format(ehr=world.ehr.fhir_base, images=images.fhir_base)
    images.fhir["ImagingStudy"] = [imaging_study(subject={"reference": written})]
    page = world.clinician.launches(world.ehr)
    assert page.status_code == 200
    viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")
    return "CT chest</" in page.text, viewer.status_code


def test_group_29_a_patient_of_the_same_id_at_another_server_is_somebody_else(tmp_path: Path) -> None:
    """The gateway refuses these images; the list named them, and a direct image server would have shown them."""
    with elsewhere(tmp_path) as (world, images):
        listed = opened(world, images, SUBJECTS["relative"])
        page = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert listed == (False, 403)
    assert "1 entry was left out because it does not belong to this patient" in page.text
    assert "Part-solid" not in page.text, "no finding is told beside a study that is not listed"


@pytest.mark.parametrize(
    ("settings", "counted"),
    [({}, OWN), ({"imaging_base_has_ehr_ids": True}, SHARED), ({"is_offered": True}, SHARED)],
    ids=["by the site's word", "with the EHR's ids", "by the EHR's own word"],
)
def test_group_29_what_counts_of_another_servers_references(
    tmp_path: Path, settings: dict[str, bool], counted: set[str]
) -> None:
    with elsewhere(tmp_path, **settings) as (world, images):
        answers = {name: opened(world, images, subject) for name, subject in SUBJECTS.items()}

    assert {name for name, answer in answers.items() if answer == (True, 200)} == counted
    assert {name for name, answer in answers.items() if answer == (False, 403)} == set(SUBJECTS) - counted
