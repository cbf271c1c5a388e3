"""A folder of DICOM files as an archive (issue 6: ``sync files``; M6, M7): grouped, counted, and nothing stops the reading."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmwrite
from pydicom.config import IGNORE
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fhir_imaging.uids import study_uid
from pacs_sync.file_headers import MoreNeeded, OddFile, header_of
from pacs_sync.files import WANTED, FileSource, OddFileNote
from pacs_sync.ports import Days, Source
from pacs_sync.study_facts import SiteRules
from tests.examples import examples

CT = "1.2.840.10008.5.1.4.1.1.2"
UID = "1.2.3"
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
Open = Callable[..., FileSource]


def write(path: Path, *, series: int = 1, number: int = 1, syntax: str = ExplicitVRLittleEndian, **changes: object) -> Path:
    """One CT slice; an attribute that is given as None is left out."""
    stated = {
        "SOPClassUID": CT,
        "SOPInstanceUID": f"{UID}.{series}.{number}",
        "StudyDate": "20260315",
        "Modality": "CT",
        "PatientID": "7",
        "StudyInstanceUID": UID,
        "SeriesInstanceUID": f"{UID}.{series}",
        "InstanceNumber": number,
        "PixelData": bytes(64),
        **changes,
    }
    dataset = Dataset()
    for keyword, value in stated.items():
        if value is not None:
            # Files in archives hold worse than pydicom would write.
            vr = dictionary_VR(keyword)
            dataset.add(DataElement(keyword, vr, value, validation_mode=IGNORE))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = stated["SOPInstanceUID"] or UID
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.fixture
def open_source() -> Iterator[Open]:
    sources = []

    def opened(*roots: Path, with_instances: bool = False) -> FileSource:
        sources.append(FileSource(roots, SiteRules(archive="files", with_instances=with_instances)))
        return sources[-1]

    yield opened
    for source in sources:
        source.close()


def reasons(source: FileSource) -> dict[str, str]:
    return {note.path.name: note.reason for note in source.odd_files()}


def test_it_is_a_source(tmp_path: Path, open_source: Open) -> None:
    source: Source = open_source(tmp_path)

    assert list(source.studies()) == []
    assert source.study(study_uid(UID)) is None


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: str(syntax.name))
def test_files_at_any_depth_and_in_any_transfer_syntax_are_one_study(syntax: str, tmp_path: Path, open_source: Open) -> None:
    for series, number in ((1, 1), (1, 2), (2, 1)):
        write(tmp_path / f"s{series}" / f"i{number}", series=series, number=number, syntax=syntax)
    source = open_source(tmp_path, with_instances=True)

    study = source.study(study_uid(UID))

    assert study is not None
    assert [(one.instance_count, [two.number for two in one.instances]) for one in study.series] == [(2, [1, 2]), (1, [1])]
    assert (study.number_of_instances, study.patients[0].number, study.started) == (3, "7", "2026-03-15")
    assert (source.counts().files, source.counts().instances, list(source.odd_files())) == (3, 3, [])


def test_x14_a_backslash_in_a_patients_number_makes_it_nobody_elses(tmp_path: Path, open_source: Open) -> None:
    write(tmp_path / "a.dcm", PatientID="1001\\2002")

    study = open_source(tmp_path).study(study_uid(UID))

    assert study is not None
    assert [one.number for one in study.patients] == ["1001\\2002"]


def test_m7_two_persons_under_one_uid_stay_two(tmp_path: Path, open_source: Open) -> None:
    write(tmp_path / "one")
    write(tmp_path / "other", number=2, PatientID="8")
    same_instance = write(tmp_path / "same", PatientID="9")
    study = open_source(tmp_path).study(study_uid(UID))

    assert study is not None
    assert {one.number for one in study.patients} == {"7", "8", "9"}
    assert same_instance.exists(), "a file that is counted no second time still says whose it is"


def test_m7_two_studies_stay_two(tmp_path: Path, open_source: Open) -> None:
    write(tmp_path / "one")
    write(tmp_path / "other", StudyInstanceUID="1.2.4", SeriesInstanceUID="1.2.4.1", PatientID="8")
    source = open_source(tmp_path)

    found = [source.study(one.study) for one in source.studies()]

    assert [(one.uid, [who.number for who in one.patients]) for one in found if one] == [("1.2.3", ["7"]), ("1.2.4", ["8"])]


def test_m6_a_file_that_comes_twice_counts_once(tmp_path: Path, open_source: Open) -> None:
    for name in ("one", "again", "implicit"):
        write(tmp_path / name, syntax=ImplicitVRLittleEndian if name == "implicit" else ExplicitVRLittleEndian)
    source = open_source(tmp_path)

    study = source.study(study_uid(UID))

    assert study is not None
    assert study.number_of_instances == 1
    assert (source.counts().instances, source.counts().duplicates) == (1, 2)


def test_what_cannot_be_read_is_listed_with_its_reason_and_stops_nothing(tmp_path: Path, open_source: Open) -> None:
    write(tmp_path / "good")
    write(tmp_path / "no-study", StudyInstanceUID=None)
    write(tmp_path / "bad-study", StudyInstanceUID="not.a.uid")
    write(tmp_path / "no-series", SeriesInstanceUID=None, number=2)
    write(tmp_path / "no-instance", SOPInstanceUID="")
    (tmp_path / "notes.txt").write_text("Synthetic notes of no DICOM kind " * 20)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:300])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    source = open_source(tmp_path, tmp_path / "missing")

    found = reasons(source)

    assert found.pop("cut").startswith(("no ", "cannot be read"))
    assert found.pop("empty") in ("no DICOM file", "cannot be read (EOFError)")
    assert found == {
        "no-study": "no Study Instance UID",
        "bad-study": "no Study Instance UID",
        "no-series": "no Series Instance UID",
        "no-instance": "no SOP Instance UID or SOP Class UID",
        "notes.txt": "no DICOM file",
        "missing": "cannot be opened (FileNotFoundError)",
    }
    assert source.counts().odd == 8
    study = source.study(study_uid(UID))
    assert study is not None
    assert study.number_of_instances == 1


@contextmanager
def nobody_special() -> Iterator[None]:
    """Root may open everything; what is done here is done as a user who may not."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_a_file_that_may_not_be_opened_is_listed(open_source: Open) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder / "closed").chmod(0)
        with nobody_special():
            odd = list(open_source(folder).odd_files())

    assert odd == [OddFileNote(path=folder / "closed", reason="cannot be opened (PermissionError)")]


def test_neither_reasons_nor_the_log_tell_what_is_in_a_file(
    tmp_path: Path, open_source: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """pydicom's own warnings quote values."""
    write(tmp_path / "a", StudyInstanceUID=None, PatientID="SECRET-7", StudyDate="SECRET-8", AccessionNumber="SECRET" * 9)
    source = open_source(tmp_path)

    assert [note.reason for note in source.odd_files()] == ["no Study Instance UID"]
    assert "SECRET" not in caplog.text


def test_studies_are_those_of_the_days_asked_for(tmp_path: Path, open_source: Open) -> None:
    for number, day in enumerate(("20260314", "2026.03.15", "20260316", ""), 1):
        write(tmp_path / f"{number}", StudyInstanceUID=f"1.2.{number}", SeriesInstanceUID=f"1.2.{number}.1", StudyDate=day)
    source = open_source(tmp_path)

    found = [one.study for one in source.studies(Days(first=date(2026, 3, 15), last=date(2026, 3, 16)))]

    assert found == ["1.2.2", "1.2.3"]
    assert [one.study for one in source.studies()] == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]


def test_a_look_goes_page_by_page_and_begins_anew_at_the_end(tmp_path: Path, open_source: Open) -> None:
    write(tmp_path / "one")
    source = open_source(tmp_path)

    first = source.look(None)
    write(tmp_path / "two", number=2)
    unread, read = source.look(UID), source.look(first.cursor)

    assert (first.is_last, first.sightings[0].is_complete, unread.sightings) == (True, True, ())
    assert [one.study for one in read.sightings] == [UID]
    assert read.sightings[0].state != first.sightings[0].state, "a further file changes the state"
    assert source.look(read.cursor).sightings == read.sightings


def test_the_state_does_not_depend_on_where_files_lie(tmp_path: Path, open_source: Open) -> None:
    write(tmp_path / "a" / "x"), write(tmp_path / "a" / "y", number=2)
    write(tmp_path / "b" / "q"), write(tmp_path / "b" / "p", number=2)

    assert open_source(tmp_path / "a").look(None).sightings == open_source(tmp_path / "b").look(None).sightings


def test_documents_are_the_reports_whole(tmp_path: Path, open_source: Open) -> None:
    item = Dataset()
    item.TextValue = "Synthetic finding"
    write(tmp_path / "ct")
    write(tmp_path / "sr", series=2, Modality="SR", ContentSequence=Sequence([item]), PixelData=None)
    source = open_source(tmp_path)
    study = source.study(study_uid(UID))
    assert study is not None

    (document,) = source.documents(study)

    assert document["0040A730"]["Value"] == [{"0040A160": {"vr": "UT", "Value": ["Synthetic finding"]}}]
    (tmp_path / "sr").unlink()
    assert list(source.documents(study)) == []


def test_a_name_need_not_be_text(tmp_path: Path, open_source: Open) -> None:
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    write(name, Modality="SR")
    (tmp_path / os.fsdecode(b"\xfd")).write_bytes(b"")
    source = open_source(tmp_path)
    study = source.study(study_uid(UID))
    assert study is not None

    assert len(list(source.documents(study))) == 1
    assert [os.fsencode(note.path.name) for note in source.odd_files()] == [b"\xfd"]


def test_progress_is_told_now_and_then(tmp_path: Path, open_source: Open) -> None:
    for number in range(1, 201):
        (tmp_path / f"{number:03}").write_bytes(b"")
    told: list[int] = []

    open_source(tmp_path).read(told.append)

    assert told == [100, 200]


def test_side_and_site_come_from_all_images_of_a_series(tmp_path: Path, open_source: Open) -> None:
    for number in (1, 2):
        write(tmp_path / f"l{number}", number=number, ImageLaterality="L", BodyPartExamined="BREAST")
        write(tmp_path / f"m{number}", series=2, number=number, ImageLaterality="LR"[number - 1], BodyPartExamined="BREAST")
    study = open_source(tmp_path).study(study_uid(UID))

    assert study is not None
    left, mixed = study.series
    assert left.laterality is not None
    assert mixed.laterality is None
    assert left.body_site is not None
    assert left.body_site == mixed.body_site


def test_sequences_without_stated_length_are_cut_as_whole_elements(tmp_path: Path, open_source: Open) -> None:
    inner, request = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "24627-2", "LN", "CT chest"
    request.RequestedProcedureCodeSequence = Sequence([inner])
    private = Dataset()
    private.RequestAttributesSequence = Sequence([request])
    for number, is_open in ((1, True), (2, False), (3, True)):
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            written = Dataset()
            written.update({"ReferencedStudySequence": Sequence([request, request])})
            for sequence in ("ReferencedStudySequence", "RequestAttributesSequence"):
                items = Sequence([request, request])
                items.is_undefined_length = is_open
                for one in items:
                    one.is_undefined_length_sequence_item = is_open
                setattr(written, sequence, items)
                written[sequence].is_undefined_length = is_open
            path = write(
                tmp_path / f"{number}{syntax.name[:3]}",
                number=number,
                syntax=syntax,
                **{name: written[name].value for name in ("ReferencedStudySequence", "RequestAttributesSequence")},
            )
            assert header_of(path.read_bytes(), {0x00400275}, is_all=True).elements.keys() == {0x00400275}
    study = open_source(tmp_path).study(study_uid(UID))

    assert study is not None
    assert [one.code for one in study.procedures] == ["24627-2"]


def test_a_long_private_element_before_the_wanted_ones_is_stepped_over(tmp_path: Path, open_source: Open) -> None:
    for number, size in ((1, 40_000), (2, 2_000_000)):
        dataset = Dataset()
        dataset.add_new(0x00290010, "LO", "SYNTHETIC")
        dataset.add_new(0x00291010, "OB", bytes(size))
        path = write(tmp_path / f"{number}", number=number)
        plain = path.read_bytes()
        # Before (0040,xxxx) and the pixels.
        place = plain.index(b"\xe0\x7f\x10\x00OW")
        private = b"\x29\x00\x10\x00LO\x0a\x00SYNTHETIC " + b"\x29\x00\x10\x10OB\0\0" + size.to_bytes(4, "little") + bytes(size)
        path.write_bytes(plain[:place] + private + plain[place:])

    assert open_source(tmp_path).counts().instances == 2


@given(
    st.sampled_from(["CT_small.dcm", "MR_small_bigendian.dcm", "test-SR.dcm", "image_dfl.dcm", "liver_1frame.dcm"]),
    st.lists(st.tuples(st.integers(128, 2500), st.integers(0, 255)), max_size=12),
    st.integers(0, 6000),
)
@settings(max_examples=examples(150), deadline=None)
def test_no_broken_file_stops_the_reading(
    tmp_path_factory: pytest.TempPathFactory, name: str, broken: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(Path(str(get_testdata_file(name))).read_bytes()[:length])
    for place, byte in broken:
        if place < len(content):
            content[place] = byte
    folder = tmp_path_factory.mktemp("broken")
    (folder / "file").write_bytes(content)
    with closing(FileSource([folder], SiteRules(archive="files"))) as source:
        counts = source.read()
        found = [source.study(one.study) for one in source.studies()]
    with suppress(OddFile, MoreNeeded):
        header_of(bytes(content), WANTED, is_all=length % 2 == 0)

    assert counts.files == counts.instances + counts.odd == 1
    assert len(found) <= 1
    assert None not in found


def test_memory_stays_flat_while_files_are_read(tmp_path: Path, open_source: Open) -> None:
    for number in range(1, 301):
        write(tmp_path / f"{number}", number=number, PixelData=bytes(50_000))
    source = open_source(tmp_path)
    tracemalloc.start()
    try:
        source.read()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert source.counts().instances == 300
    assert most < 3_000_000, "not the files' 15 MB"
