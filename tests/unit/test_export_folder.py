"""An export's folder: bad files by themselves, nothing by halves, nobody's name in what is told (PS3.15 Annex E)."""

from __future__ import annotations

import json
import os
import resource
import stat
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from fhir_imaging.errors import InvalidRequest
from pacs_sync.confidential_attributes import Options
from pacs_sync.deidentification import Deidentifier
from pacs_sync.deidentified_export import ExportFolder
from pacs_sync.exported_fhir import described
from pacs_sync.pseudonyms import Pseudonyms
from tests.unit.test_deidentification import KEY, SECRET, an_image


def test_bad_files_are_refused_by_themselves_and_leave_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = ExportFolder(out, Deidentifier(Pseudonyms(KEY), Options()))
    no_class, no_syntax = an_image(SOPInstanceUID="1.2.3.4.5"), an_image(SOPInstanceUID="1.2.3.4.6")
    del no_class.SOPClassUID
    del no_syntax.file_meta.TransferSyntaxUID
    for one in (no_class, no_syntax, an_image(), an_image()):
        folder.add(one)
    for content in (b"", b"<html>no such page</html>", b"\0" * 128 + b"DICM" + b"\x08\x00\x10\x00XX"):
        folder.add_file(content)
    exported = folder.finish(lambda _: [])

    assert (exported.instances, len(exported.refused), exported.is_whole) == (1, 6, False)
    assert "another instance of the study has the same UID" in exported.refused.values()
    assert not list(out.glob(".*"))
    about = (out / "ABOUT.txt").read_text()
    assert "1 instances written, 6 refused" in about
    assert not any(word in about for word in (SECRET, "1.2.3.4", "19640314"))


def test_a_value_that_is_none_is_not_quoted_by_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))
    image = an_image()
    image._dict[Tag("PatientBirthDate")] = DataElement("PatientBirthDate", "DA", "born 14 March 1964", validation_mode=0)
    folder.add(image)
    captured = capfd.readouterr()
    assert "1964" not in captured.out + captured.err


def test_a_full_disk_ends_the_export_without_a_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    folder = ExportFolder(out, Deidentifier(Pseudonyms(KEY), Options()))
    folder.add(an_image())
    monkeypatch.setattr("pacs_sync.deidentified_export.dcmwrite", fails)
    with pytest.raises(OSError, match="No space"):
        folder.add(an_image(SOPInstanceUID="1.2.3.4.9"))
    folder.break_off()

    assert sorted(path.suffix for path in out.iterdir()) == [".dcm", ".txt"]
    assert "ended early" in (out / "ABOUT.txt").read_text()
    assert stat.S_IMODE(os.stat(out / "ABOUT.txt").st_mode) == 0o600


def test_a_disk_that_takes_no_more_ends_the_export_and_the_folder_says_so(tmp_path: Path) -> None:
    """A real one: the system lets no file of this process grow beyond 64 KiB."""
    out = tmp_path / "out"
    folder = ExportFolder(out, Deidentifier(Pseudonyms(KEY), Options()))
    folder.add(an_image())
    large = an_image(SOPInstanceUID="1.2.3.4.9", Rows=512, Columns=512)
    large.PixelData = bytes(512 * 512 * 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            folder.add(large)
        folder.break_off()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert sorted(path.suffix for path in out.iterdir()) == [".dcm", ".txt"], "no half file is left"
    assert dcmread(next(out.glob("*.dcm"))).SOPInstanceUID
    assert "1 instances written" in (out / "ABOUT.txt").read_text()


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InvalidRequest):
        ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))


def test_an_image_in_other_letters_goes_through_a_file_without_its_name(tmp_path: Path) -> None:
    for number, (charset, name) in enumerate(
        (("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"), ("GB18030", "Zhang^San=张^三丰"), ("ISO_IR 144", "Люкceмбypг^Ян"))
    ):
        image = an_image(SpecificCharacterSet=charset.split("\\"), PatientName=name)
        image.ContentLabel = "OK"
        image.Manufacturer = name.split("=")[-1].replace("^", "")
        folder = ExportFolder(tmp_path / str(number), Deidentifier(Pseudonyms(KEY), Options()))
        folder.add(image)
        assert list(folder.exported.refused.values()) == ["a name, number or date of birth still stands in Manufacturer"]
        again = an_image(SpecificCharacterSet=charset.split("\\"), PatientName=name)
        folder.add(again)
        written = dcmread(next((tmp_path / str(number)).glob("*.dcm")))
        assert json.dumps(written.to_json_dict()).find(name.split("=")[-1].split("^")[0]) == -1


def test_pixels_are_not_written_out_as_words(tmp_path: Path) -> None:
    """A volume of gigabytes needs a few times its own size, not ten times."""
    image = an_image(PixelData=b"\0" * (16 << 20))
    file = BytesIO()
    dcmwrite(file, image, enforce_file_format=True)
    content = file.getvalue()
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))
    tracemalloc.start()
    folder.add_file(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert folder.exported.instances == 1
    assert peak < 3 * len(content)


def test_a_study_of_two_persons_has_no_fhir_resources_and_says_so(tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))
    folder.add(an_image())
    folder.add(an_image(SOPInstanceUID="1.2.3.4.8", PatientID="OTHER-77", PatientName="Other^Olga"))
    folder.finish(lambda made: described(made, {}))

    assert "entry" not in json.loads((tmp_path / "out" / "fhir.json").read_text())
    assert "No FHIR resources" in (tmp_path / "out" / "ABOUT.txt").read_text()
