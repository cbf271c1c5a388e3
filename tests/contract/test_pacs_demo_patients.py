"""The archive with the demo's mammographies: other pixels than a CT's, and a study whose PatientID is nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ehr_sandbox.patients import build_demo, fiona
from tests.pacs_actors import RunningPacs, a_running_pacs


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    images, state = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("pacs")
    only = frozenset({"demo-f"})
    build_demo(images, demo_day=date(2026, 11, 21), fhir_base="http://f", only=only, slices=1)
    with a_running_pacs(state, images) as running:
        yield running


def studies(pacs: RunningPacs, patient_id: str) -> set[str]:
    found = pacs.get(f"/studies?PatientID={patient_id}").json()
    return {one["0020000D"]["Value"][0] for one in found}


def test_study_of_nobody_is_found_under_its_own_patient_id_only(pacs: RunningPacs) -> None:
    assert studies(pacs, "DEMO-106") == {fiona.STRAY.study_instance_uid}
    assert studies(pacs, "DEMO-1006") == {fiona.PRIOR.study_instance_uid, fiona.CURRENT.study_instance_uid}


def test_mammogram_is_rendered_dark_around_the_breast_and_bright_within(pacs: RunningPacs) -> None:
    study = fiona.CURRENT
    path = f"studies/{study.study_instance_uid}/series/{study.series_instance_uid}/instances/{study.sop_instance_uid(1)}"
    answer = pacs.get(f"/{path}/rendered", "image/png")
    shown = np.asarray(Image.open(BytesIO(answer.content)).convert("L"))

    assert answer.status_code == 200
    assert shown.shape == (250, 200)
    assert shown[:20, -20:].mean() < 10
    assert shown[115:135, 50:70].mean() > 60
