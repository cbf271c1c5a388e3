"""T4: every DICOM file that pydicom, pydicom-data and highdicom ship, from file to ImagingStudy in each release.

No crash, nobody's images in somebody else's study, and every resource valid. What dicom2fhir 0.1.25 fails at among them: 28
files without SeriesInstanceUID, 14 with nothing to code, 5 with trailing blanks in codes, 4 without modality, 3 with times such
as "11:20:".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data_store
import highdicom
import pydicom
import pytest
from fhir.resources.imagingstudy import ImagingStudy as R5ImagingStudy
from fhir.resources.R4B.imagingstudy import ImagingStudy as R4BImagingStudy

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.dicom_json import first_text
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion, Status
from fhir_imaging.uids import is_uid
from pacs_sync.file_reading import UnreadableFileError, dataset_of
from pacs_sync.files import WANTED, FileSource, OddFileNote
from pacs_sync.study_facts import SiteRules, studies_in

ROOTS = [Path(package.__file__ or "").parent for package in (pydicom, data_store, highdicom)]
SITE = SiteRules(archive="files", with_instances=True)
CONTEXT = SyncedContext(
    patient_id="1",
    patient_system="urn:example:numbers",
    patient_number="7",
    status=Status.AVAILABLE,
    source="urn:imaging-cds:sync:sweep",
    endpoints=("Endpoint/1",),
    accession_system="urn:example:accessions",
    with_instances=True,
)
VALID = {FhirVersion.R4: R4BImagingStudy, FhirVersion.R4B: R4BImagingStudy, FhirVersion.R5: R5ImagingStudy}


@pytest.fixture(scope="module")
def source() -> Iterator[FileSource]:
    found = FileSource(ROOTS, SITE)
    found.read()
    yield found
    found.close()


@pytest.fixture(scope="module")
def studies(source: FileSource) -> list[ArchivedStudy]:
    found = [source.study(one.study) for one in source.studies()]
    return [one for one in found if one is not None]


@pytest.fixture(scope="module")
def datasets() -> dict[Path, dict[str, Any]]:
    """Each file by pydicom alone, as far as it has a study."""
    found = {}
    for path in sorted(path for root in ROOTS for path in root.rglob("*") if path.suffix not in (".py", ".pyc", ".pyi")):
        try:
            dataset = dataset_of(path, WANTED) if path.is_file() else {}
        except UnreadableFileError:
            continue
        # One file has a hash for its study.
        if is_uid(first_text(dataset, "0020000D") or ""):
            found[path] = dataset
    return found


def as_files_name_them(datasets: dict[Path, dict[str, Any]], tag: str) -> dict[str, set[str]]:
    named: dict[str, set[str]] = {}
    for dataset in datasets.values():
        named.setdefault(first_text(dataset, "0020000D") or "", set()).update(filter(None, [first_text(dataset, tag)]))
    return named


def test_every_file_is_in_a_study_or_listed(source: FileSource, datasets: dict[Path, dict[str, Any]]) -> None:
    counts = source.counts()
    reasons = Counter(note.reason for note in source.odd_files())

    assert counts.instances + counts.duplicates >= 225
    assert counts.instances + counts.duplicates == len(datasets)
    assert counts.files == counts.instances + counts.duplicates + counts.odd
    assert set(reasons) == {"no DICOM file", "no Study Instance UID", "a media directory, no image"}
    assert reasons["no Study Instance UID"] >= 15
    assert reasons["a media directory, no image"] >= 5


def test_m7_every_study_names_the_persons_of_its_files_and_nobody_else(
    studies: list[ArchivedStudy], datasets: dict[Path, dict[str, Any]]
) -> None:
    named = as_files_name_them(datasets, "00100020")

    assert len(studies) >= 55
    assert {study.uid: {one.number for one in study.patients} for study in studies} == named


def test_m6_every_instance_counts_once_however_many_files_it_has(
    studies: list[ArchivedStudy], datasets: dict[Path, dict[str, Any]]
) -> None:
    named = as_files_name_them(datasets, "00080018")
    listed = {study.uid: [two.uid for one in study.series for two in one.instances] for study in studies}

    assert sum(map(len, listed.values())) >= 150
    assert {uid: len(instances) for uid, instances in listed.items()} == {uid: len(uids) for uid, uids in named.items()}
    assert {uid: set(instances) for uid, instances in listed.items()} == named


def test_the_glance_at_headers_finds_what_reading_them_whole_finds(
    studies: list[ArchivedStudy], datasets: dict[Path, dict[str, Any]]
) -> None:
    whole = studies_in(datasets.values(), SITE)

    assert [one.modalities for one in studies] == [one.modalities for one in sorted(whole, key=lambda one: one.uid)]
    assert [one.number_of_instances for one in studies] == [
        one.number_of_instances for one in sorted(whole, key=lambda one: one.uid)
    ]


@pytest.mark.parametrize("version", VALID)
def test_t4_every_study_is_valid_fhir(studies: list[ArchivedStudy], version: FhirVersion) -> None:
    for study in studies:
        made = synced_study(study, CONTEXT, version)
        assert VALID[version].model_validate(made).subject.reference == "Patient/1"
        assert list(without_system(made)) == [], study.uid


def test_t4_r6_is_written_too(studies: list[ArchivedStudy]) -> None:
    assert all(synced_study(study, CONTEXT, FhirVersion.R6)["resourceType"] == "ImagingStudy" for study in studies)


def without_system(value: object) -> Iterator[object]:
    """Codes without a system anywhere (M3, M4, 7.3)."""
    if isinstance(value, dict):
        if "code" in value and not value.get("system"):
            yield value
        for member in value.values():
            yield from without_system(member)
    elif isinstance(value, list):
        for member in value:
            yield from without_system(member)


def test_m1_no_name_is_a_printed_object_and_no_text_is_padded(studies: list[ArchivedStudy]) -> None:
    names = [study.referrer for study in studies if study.referrer]
    words = [one for study in studies for one in (study.description, study.accession) if one]
    words += [one.description for study in studies for one in study.series if one.description]

    assert len(names) >= 8
    assert len(words) >= 50
    assert [one for one in names if "^" in one or "PersonName" in one] == []
    assert [one for one in (*names, *words) if one != one.strip() or not one.isprintable()] == []


def test_the_reports_come_whole(source: FileSource, studies: list[ArchivedStudy]) -> None:
    documents = [document for study in studies for document in source.documents(study)]

    assert len(documents) >= 2
    assert all("0040A730" in one for one in documents)


def test_nothing_is_said_of_a_file_but_its_place_and_a_reason(source: FileSource) -> None:
    assert {type(note) for note in source.odd_files()} == {OddFileNote}
