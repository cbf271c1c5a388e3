"""Studies that another FHIR server has than the EHR's own: whom its references mean (SMART Imaging Access W4, group 11).

FHIR R4: a relative reference is into the server that holds it, which may number its Patients otherwise than the EHR.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import jsonify

from tests.conftest import free_port_number, serving
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import STUDY_A, STUDY_B, StubEhr

SUBJECTS = {
    "relative": "Patient/pat-a",
    "relative, with a version": "Patient/pat-a/_history/2",
    "into the EHR": "{ehr}/Patient/pat-a",
    "into that server": "{images}/Patient/pat-a",
    "into a third": "https://third.example/fhir/Patient/pat-a",
    "another patient of the EHR": "{ehr}/Patient/pat-b",
    "a path that leads back": "../fhir/Patient/pat-a",
}


@contextmanager
def elsewhere(directory: Path, *, slash: str = "", **settings: Any) -> Iterator[tuple[World, StubEhr]]:
    """EHR north, whose studies another server has: it says of each that is asked for that it is pat-a's, its own."""
    images = StubEhr("images")
    with serving(images.app(), free_port_number()) as images.base:
        north = {"imaging_base": images.fhir_base + slash, **settings}
        with a_world(directory, north=north) as world:
            images.studies.update({STUDY_A: "pat-a", STUDY_B: "pat-a"})
            yield world, images


def opened(world: World, images: StubEhr, subject: str, study: str = STUDY_A) -> int:
    written = subject.format(ehr=world.north.fhir_base, images=images.fhir_base)
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": images.imaging_study(study, subject={"reference": written})}],
    }
    images.answers["/fhir/ImagingStudy"] = lambda: jsonify(bundle)
    return world.get(f"/studies/{study}/metadata", world.north.token("pat-a")).status


def test_group_11_a_patient_of_the_same_id_at_another_server_is_somebody_else(tmp_path: Path) -> None:
    """The EHR's pat-b is pat-a there: pat-b's images are not for the EHR's pat-a."""
    with elsewhere(tmp_path) as (world, _):
        answer = world.get(f"/studies/{STUDY_B}/metadata", world.north.token("pat-a"))

        assert (answer.status, answer.problem) == (403, "study-not-of-patient")
        assert world.found("/studies", world.north.token("pat-a")) == []
        assert world.pacs.asked == []


@pytest.mark.parametrize(
    ("has_ehr_ids", "counted"),
    [(False, {"into the EHR"}), (True, {"relative", "relative, with a version", "into the EHR", "into that server"})],
)
def test_group_11_what_counts_of_another_servers_references(tmp_path: Path, has_ehr_ids: bool, counted: set[str]) -> None:
    with elsewhere(tmp_path, imaging_base_has_ehr_ids=has_ehr_ids) as (world, images):
        answers = {name: opened(world, images, subject) for name, subject in SUBJECTS.items()}

    assert {name for name, status in answers.items() if status == 200} == counted
    assert set(answers.values()) == {200, 403}


def test_the_ehrs_own_base_named_as_imaging_base_stays_its_own(tmp_path: Path) -> None:
    """Whatever slash it ends with."""
    with a_world(tmp_path) as world:
        ehr = world.services.ehrs["north"]
        own = type(ehr)(name="north", fhir_base=ehr.fhir_base, imaging_base=f"{ehr.fhir_base}/")

        assert not own.has_studies_elsewhere
        assert not ehr.has_studies_elsewhere
