"""One study as any DICOMweb archive tells it: what is asked, what is left out, and what is no study any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Response
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fhir_imaging.archived_study import ArchivedStudy, PatientNumber
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.qido_source import QidoSource
from tests.archive_actors import HeldArchive, HeldSeries, HeldStudy, element
from tests.log_watch import is_secret
from tests.pacs_actors import STUDY_A, STUDY_B, STUDY_C, Slice, a_report, a_running_pacs, write_demo
from tests.source_actors import a_qido_source, a_source

UID = StudyInstanceUID("2.25.1")
KIDNEY = {"00082218": element("SQ", {"00080100": element("SH", "64033007"), "00080102": element("SH", "SCT")})}


def told(source: QidoSource, uid: str = UID) -> ArchivedStudy:
    study = source.study(StudyInstanceUID(uid))
    assert study is not None
    return study


@contextmanager
def the_sandbox(files: Path, tmp_path: Path, **options: object) -> Iterator[QidoSource]:
    """A source over the sandbox PACS with these files."""
    password = is_secret("archive-password-of-the-sync")
    with a_running_pacs(tmp_path / "pacs", files, basic_credential=("sync", password)) as pacs:
        settings = PacsSettings(name="sandbox", dicomweb_root=pacs.url, user="sync", password=password)
        with a_qido_source(settings, **options) as source:  # type: ignore[arg-type]
            yield source


def test_everything_of_a_study_in_the_sandbox(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    region, laterality = Dataset(), {"Laterality": "R"}
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Thorax"
    Slice(series=4, extra={"AnatomicRegionSequence": Sequence([region]), **laterality}).write(tmp_path / "files")
    with the_sandbox(tmp_path / "files", tmp_path) as source:
        study = told(source, STUDY_A)

    assert study.archives == ("sandbox",)
    assert study.patients == (PatientNumber(number="DEMO-1001", issuer="DEMO"),)
    assert (study.accession, study.description) == ("ACC-1001", "CT chest")
    assert study.started == "2026-01-05T10:15:00+01:00"
    assert study.referrer == "Grün Müller"
    assert study.modalities == ("CT", "SR")
    assert [(one.number, one.modality, one.instance_count) for one in study.series] == [
        (1, "CT", 3),
        (2, "CT", 1),
        (4, "CT", 1),
        (9, "SR", 1),
    ]
    side = study.series[2].laterality
    assert side is not None
    assert side.code == "24028007"
    assert study.series[2].body_site is not None
    assert study.series[0].body_site is None
    assert all(one.instances == () for one in study.series)


def test_images_are_listed_on_request(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    with the_sandbox(tmp_path / "files", tmp_path, with_instances=True, page_size=2) as source:
        study = told(source, STUDY_A)

    assert [one.number for one in study.series[0].instances] == [1, 2, 3]
    assert {one.sop_class for one in study.series[0].instances} == {"1.2.840.10008.5.1.4.1.1.2"}


@pytest.mark.parametrize("tells_all", [True, False])
def test_many_images_are_listed_page_by_page(tells_all: bool) -> None:
    series = [HeldSeries("2.25.1.1", instances=30, whole=KIDNEY), HeldSeries("2.25.1.2", instances=16)]
    archive = HeldArchive([HeldStudy(UID, series=series)], tells_all=tells_all)
    with a_source(archive, with_instances=True, page_size=8) as source:
        study = told(source)

    assert [len(one.instances) for one in study.series] == [30, 16]
    assert len(archive.paths("metadata")) == (0 if tells_all else 2)


def test_series_without_a_uid_is_left_out_and_an_archive_that_refuses_is_an_error() -> None:
    archive = HeldArchive([HeldStudy(UID, series=[HeldSeries("2.25.1.1"), HeldSeries("no uid")])])
    with a_source(archive) as source:
        assert [one.uid for one in told(source).series] == ["2.25.1.1"]
        archive.instead = lambda path: Response("no", 403) if path.endswith("series") else None
        with pytest.raises(UpstreamError):
            told(source)


def test_sandboxs_studies_and_what_it_does_not_have(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    with the_sandbox(tmp_path / "files", tmp_path, page_size=2) as source:
        assert {one.study for one in source.studies()} == {STUDY_A, STUDY_B, STUDY_C}
        assert source.study(UID) is None


def test_documents_are_the_whole_data_sets_of_sr_series(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    a_report(STUDY_A, series=10).save_as(tmp_path / "files" / "second.dcm", enforce_file_format=True)
    with the_sandbox(tmp_path / "files", tmp_path) as source:
        documents = list(source.documents(told(source, STUDY_A)))
        assert list(source.documents(told(source, STUDY_B))) == []

    assert [one["0020000E"]["Value"] for one in documents] == [[f"{STUDY_A}.9"], [f"{STUDY_A}.10"]]
    assert documents[0]["0040A730"]["Value"][0]["0040A160"]["Value"] == ["Synthetic nodule, 9 mm"]


def test_files_of_two_persons_show_as_two(tmp_path: Path) -> None:
    """M7: the index names one, a file of a later series the other."""
    write_demo(tmp_path / "files")
    Slice(series=5, patient_id="DEMO-1002", patient_name="Synthetic^Bruno").write(tmp_path / "files")
    with the_sandbox(tmp_path / "files", tmp_path) as source:
        study = told(source, STUDY_A)

    assert {one.number for one in study.patients} == {"DEMO-1001", "DEMO-1002"}


def test_study_under_two_patients_names_both() -> None:
    archive = HeldArchive([HeldStudy(UID, patient="MRN-1"), HeldStudy(UID, patient="MRN-2")])
    with a_source(archive) as source:
        both = list(source.studies())
        archive_of_one = HeldArchive(archive.studies[:1])
        assert {one.number for one in told(source).patients} == {"MRN-1", "MRN-2"}
        archive.instead = lambda path: Response("which one?", 404) if path.endswith("metadata") else None
        assert {one.number for one in told(source).patients} == {"MRN-1", "MRN-2"}
    with a_source(archive_of_one) as source:
        one = list(source.studies())

    assert len(both) == len(one) == 1
    assert both[0].state != one[0].state


def test_one_instance_of_each_series_is_asked_for() -> None:
    series = [HeldSeries("2.25.1.1", instances=300, whole=KIDNEY), HeldSeries("2.25.1.2", instances=1)]
    archive = HeldArchive([HeldStudy(UID, series=series)])
    with a_source(archive) as source:
        study = told(source)

    assert archive.paths("2.25.1.1/instances") == ["studies/2.25.1/series/2.25.1.1/instances?limit=1"]
    assert sorted(one.partition("?")[0] for one in archive.paths("metadata")) == [
        "studies/2.25.1/series/2.25.1.1/instances/2.25.1.1.1/metadata",
        "studies/2.25.1/series/2.25.1.2/metadata",
    ]
    site = study.series[0].body_site
    assert site is not None
    assert site.code == "64033007"


@pytest.mark.parametrize("series_count", [1, 3])
def test_few_instances_are_all_asked_for_at_once(series_count: int) -> None:
    """A side that all images share is the series' side."""
    left = {"00200062": element("CS", "L")}
    series = [HeldSeries(f"2.25.1.{n}", "MG", whole=left) for n in range(1, series_count + 1)]
    archive = HeldArchive([HeldStudy(UID, series=series)])
    with a_source(archive) as source:
        study = told(source)

    assert len(archive.asked) == 3, "study, series, instances"
    assert len(archive.paths("metadata")) == 1
    assert [one.laterality.code if one.laterality else None for one in study.series] == ["7771000"] * series_count


def test_one_instance_says_nothing_of_the_others_side() -> None:
    series = [HeldSeries("2.25.1.1", "MG", instances=9, whole={"00200062": element("CS", "L")})]
    with a_source(HeldArchive([HeldStudy(UID, series=series)])) as source:
        assert told(source).series[0].laterality is None


def test_series_that_are_told_in_full_need_no_instance() -> None:
    archive = HeldArchive([HeldStudy(UID)], tells_all=True)
    with a_source(archive) as source:
        told(source)

    assert not archive.paths("metadata")
    assert not archive.paths("instances")


def test_study_of_very_many_series_is_told_by_searches_alone() -> None:
    series = [HeldSeries(f"2.25.1.{n}") for n in range(1, 202)]
    archive = HeldArchive([HeldStudy(UID, series=series)])
    with a_source(archive) as source:
        study = told(source)

    assert len(study.series) == 201
    assert not archive.paths("metadata")


def test_series_are_paged() -> None:
    series = [HeldSeries(f"2.25.1.{n}", instances=1) for n in range(1, 31)]
    archive = HeldArchive([HeldStudy(UID, series=series)])
    with a_source(archive, page_size=8) as source:
        assert len(told(source).series) == 30


def test_gone_is_only_what_a_search_does_not_find() -> None:
    """An error is never taken for a deletion: that would withdraw the study."""
    archive = HeldArchive([])
    with a_source(archive) as source:
        assert source.study(UID) is None
        for status in (401, 403, 404, 500, 503):
            archive.instead = lambda path, status=status: Response("no", status)  # type: ignore[misc]
            with pytest.raises(UpstreamError):
                source.study(UID)


def test_archive_that_overlooks_the_uid_is_an_error() -> None:
    archive = HeldArchive([HeldStudy("2.25.7")])
    found = '[{"0020000D": {"vr": "UI", "Value": ["2.25.7"]}}]'
    archive.instead = lambda path: Response(found, content_type="application/dicom+json")
    with a_source(archive) as source, pytest.raises(UpstreamError, match="StudyInstanceUID"):
        source.study(UID)


@pytest.mark.parametrize("ending", ["/series", "/instances", "/metadata"])
def test_study_that_goes_while_it_is_read_is_looked_at_again(ending: str) -> None:
    series = [HeldSeries("2.25.1.1", instances=20)]
    instead = lambda path: Response("gone", 404) if path.endswith(ending) else None  # noqa: E731
    archive = HeldArchive([HeldStudy(UID, series=series)], instead=instead)
    with a_source(archive) as source, pytest.raises(UpstreamError) as failure:
        source.study(UID)
    assert (failure.value.retryable, failure.value.status) == (True, 410), "one study's trouble, not an outage"


def test_report_that_goes_while_it_is_read_is_no_missing_report() -> None:
    archive = HeldArchive([HeldStudy(UID, series=[HeldSeries("2.25.1.1", modality="SR", instances=1)])])
    with a_source(archive) as source:
        study = told(source)
        archive.instead = lambda path: Response("gone", 404) if path.endswith("metadata") else None
        with pytest.raises(UpstreamError) as failure:
            list(source.documents(study))
    assert failure.value.retryable


@pytest.mark.parametrize("answer", [Response(status=204), Response("[]", content_type="application/dicom+json")])
def test_listed_series_that_are_empty_when_asked_for_are_no_missing_reports(answer: Response) -> None:
    """What stands in FHIR of their reports must not be taken back for it."""
    archive = HeldArchive([HeldStudy(UID, series=[HeldSeries("2.25.1.1", modality="SR", instances=1)])])
    with a_source(archive) as source:
        study = told(source)
        archive.instead = lambda path: answer if path.endswith("metadata") else None
        with pytest.raises(UpstreamError) as of_report:
            list(source.documents(study))
        archive.instead = lambda path: answer if path.endswith("series") else None
        with pytest.raises(UpstreamError) as of_study:
            source.study(UID)
    assert of_report.value.retryable
    assert of_study.value.retryable


def test_data_sets_of_another_study_among_the_answer_are_not_this_studys() -> None:
    astray = {"0020000D": element("UI", "2.25.7"), "00100020": element("LO", "MRN-2"), **KIDNEY}
    archive = HeldArchive([HeldStudy(UID, series=[HeldSeries("2.25.1.1", modality="SR", whole=astray)])])
    with a_source(archive) as source:
        study = told(source)
        assert [one.number for one in study.patients] == ["MRN-1"]
        assert study.series[0].body_site is not None
        assert study.series[0].body_site.code != "64033007"
        with pytest.raises(UpstreamError):
            list(source.documents(study))


def test_archive_that_refuses_fields_is_read_without_them() -> None:
    archive = HeldArchive([HeldStudy(UID, series=[HeldSeries("2.25.1.1", whole=KIDNEY)])], refuses_includefield=True)
    with a_source(archive) as source:
        study = told(source)

    assert study.series[0].body_site is not None


def test_broken_series_breaks_the_study_and_nothing_is_left_out_silently() -> None:
    series = [HeldSeries(f"2.25.1.{n}", instances=2) for n in range(1, 6)]
    archive = HeldArchive([HeldStudy(UID, series=series)])
    archive.instead = lambda path: Response("no", 500) if path.endswith("2.25.1.3/metadata") else None
    with a_source(archive) as source, pytest.raises(UpstreamError):
        source.study(UID)
