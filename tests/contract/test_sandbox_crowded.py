"""A patient with very many studies, which come from the archive, and the search that pages through them newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import fhir.resources.R4B
import pydicom
import pytest

from ehr_sandbox.patients import DemoData, build_crowd
from ehr_sandbox.patients.crowded import CROWDED_KEY, LARGEST, crowd
from ehr_sandbox.patients.elements import transaction
from ehr_sandbox.patients.hospital import hospital_resources
from tests.contract.sandbox_client import SandboxClient, a_sandbox
from tests.synced_studies import SyncedDemo, synced_demo

STUDIES = 230
DAY = date(2026, 11, 21)
BASE = "http://127.0.0.1:8001/fhir"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dicom")


@pytest.fixture(scope="module")
def crowded(files: Path) -> DemoData:
    made = build_crowd(files, STUDIES, demo_day=DAY, fhir_base=BASE)
    shared = DemoData(charts=(transaction(hospital_resources(), BASE),), reports=(), nodules={}, studies={})
    return shared.joined(made)


@pytest.fixture(scope="module")
def record(crowded: DemoData, files: Path) -> SyncedDemo:
    return synced_demo(crowded, files)


@pytest.fixture(scope="module")
def ehr(record: SyncedDemo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr")) as client:
        client.services.store.transaction(transaction(record.resources, client.fhir_base))
        yield client


def test_every_page_is_newest_first_and_states_the_total(ehr: SandboxClient) -> None:
    token = ehr.a_token("patient/*.rs", CROWDED_KEY)
    page = ehr.fhir("GET", f"ImagingStudy?patient={CROWDED_KEY}&_sort=-started&_count=100", token).json()
    started, sizes = [], []
    while True:
        assert page["total"] == STUDIES
        sizes.append(len(page["entry"]))
        started += [entry["resource"]["started"] for entry in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            break
        page = ehr.http.get(following[0], headers={"Authorization": f"Bearer {token}"}, timeout=10).json()

    assert sizes == [100, 100, 30]
    assert started == sorted(started, reverse=True)
    assert len(set(started)) == STUDIES


def test_each_study_has_a_report_of_its_own(ehr: SandboxClient, crowded: DemoData) -> None:
    token = ehr.a_token("patient/*.rs", CROWDED_KEY)
    page = ehr.fhir("GET", f"DiagnosticReport?patient={CROWDED_KEY}&_sort=-date&_count=50", token).json()
    reported = {entry["resource"]["imagingStudy"][0]["reference"] for entry in page["entry"]}

    assert page["total"] == STUDIES
    assert len(reported) == 50
    assert reported <= {f"ImagingStudy/{one.study_instance_uid}" for one in crowded.studies.values()}


def test_each_study_is_one_small_image_whose_kind_the_record_tells(files: Path, record: SyncedDemo) -> None:
    images = [pydicom.dcmread(path) for path in sorted((files / CROWDED_KEY).glob("*.dcm"))]
    studies = record.of("ImagingStudy")

    assert len(images) == len(studies) == STUDIES
    assert {one["numberOfInstances"] for one in studies} == {1}
    assert Counter(one["modality"][0]["code"] for one in studies) == Counter(image.Modality for image in images)
    assert {one["procedureCode"][0]["coding"][0]["code"] for one in studies} == {
        image.ProcedureCodeSequence[0].CodeValue for image in images
    }
    assert {one["series"][0]["bodySite"]["code"] for one in studies} == {"816094009", "818982008"}
    assert all(len(image.pixel_array) == image.Rows < 100 for image in images[:4])
    assert max(path.stat().st_size for path in (files / CROWDED_KEY).iterdir()) < 16_000
    assert len({one["identifier"][1]["value"] for one in studies}) == STUDIES


def test_the_bundles_are_valid_r4_and_bounded(tmp_path: Path) -> None:
    made = build_crowd(tmp_path, 450, demo_day=DAY, fhir_base=BASE)

    assert [len(bundle["entry"]) for bundle in made.charts] == [1]
    assert [len(bundle["entry"]) for bundle in made.reports] == [400, 50]
    for bundle in (*made.charts, made.reports[-1]):
        fhir.resources.R4B.get_fhir_model_class("Bundle").model_validate(bundle)


def test_files_are_made_once_a_day_and_go_with_the_patient(tmp_path: Path) -> None:
    def files_of(studies: int, day: date = DAY) -> dict[str, int]:
        build_crowd(tmp_path, studies, demo_day=day, fhir_base=BASE)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}

    first = files_of(5)
    assert len(first) == 5
    assert files_of(5) == first
    another = files_of(5, date(2026, 11, 22))
    assert [name for name, moment in first.items() if another[name] == moment] == []
    assert len(files_of(3)) == 3
    assert files_of(0) == {}
    assert list(tmp_path.iterdir()) == []


def test_nobody_was_imaged_before_she_was_born() -> None:
    oldest = crowd(LARGEST)[-1]

    assert oldest.days_ago < oldest.person.age * 365
    assert len(oldest.accession) <= 16, "an SH"


@pytest.mark.parametrize("studies", [-1, LARGEST + 1])
def test_a_number_that_cannot_be_meant_is_refused(studies: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="studies"):
        build_crowd(tmp_path, studies, demo_day=DAY, fhir_base="http://x")
