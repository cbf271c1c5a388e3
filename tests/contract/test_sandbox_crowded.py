"""A patient with very many studies, and the search that pages through them newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import fhir.resources.R4B
import pytest

from ehr_sandbox.patients.crowded import CROWDED_KEY, LARGEST, crowded_bundles
from ehr_sandbox.patients.hospital import hospital_resources
from tests.contract.sandbox_client import SandboxClient, a_sandbox

STUDIES = 230
DAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr")) as client:
        for resource in hospital_resources():
            client.services.store.put(resource)
        for bundle in crowded_bundles(STUDIES, demo_day=DAY, fhir_base=client.fhir_base):
            client.services.store.transaction(bundle)
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


def test_each_study_has_a_report_of_its_own(ehr: SandboxClient) -> None:
    token = ehr.a_token("patient/*.rs", CROWDED_KEY)
    page = ehr.fhir("GET", f"DiagnosticReport?patient={CROWDED_KEY}&_sort=-date&_count=50", token).json()
    reports = [entry["resource"] for entry in page["entry"]]

    assert page["total"] == STUDIES
    assert len({one["imagingStudy"][0]["reference"] for one in reports}) == 50


def test_the_bundles_are_valid_r4_and_bounded() -> None:
    bundles = list(crowded_bundles(450, demo_day=DAY, fhir_base="http://127.0.0.1:8001/fhir"))

    assert [len(bundle["entry"]) for bundle in bundles] == [400, 400, 101]
    fhir.resources.R4B.get_fhir_model_class("Bundle").model_validate(bundles[-1])


@pytest.mark.parametrize("studies", [0, -1, LARGEST + 1])
def test_a_number_that_cannot_be_meant_is_refused(studies: int) -> None:
    with pytest.raises(ValueError, match="studies"):
        list(crowded_bundles(studies, demo_day=DAY, fhir_base="http://x"))
