"""Rendering of frames (PS3.3 §C.11, PS3.18 §8.3.5) and frames of unusual encodings (PS3.5 §8)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ehr_sandbox.dicomweb_rendering import Rendering, Viewport, VoiFunction, Window
from ehr_sandbox.dicomweb_resource import ResourceUrls
from ehr_sandbox.pacs_archive import Archive, InstanceFile
from ehr_sandbox.pacs_index import PacsIndex
from ehr_sandbox.pacs_pixels import UndecodableFrame, native_frame
from tests.pacs_actors import Slice

RAMP = np.arange(0, 256, dtype=np.uint16).reshape(16, 16)


def shown(samples: np.ndarray, attributes: Dataset, frame_number: int = 1, **asked: object) -> np.ndarray:
    rendering = Rendering(media_type="image/png", **asked)  # type: ignore[arg-type]
    return np.asarray(Image.open(io.BytesIO(rendering.render(samples, attributes, frame_number))))


def grey(**values: object) -> Dataset:
    attributes = Dataset()
    attributes.PhotometricInterpretation = "MONOCHROME2"
    attributes.BitsStored = 16
    for keyword, value in values.items():
        setattr(attributes, keyword, value)
    return attributes


@pytest.mark.parametrize(
    ("function", "value", "brightness"),
    [
        # PS3.3 §C.11.2.1.2.1: for centre 2048 and width 4096, 0 is black and 4095 is white.
        (VoiFunction.LINEAR, 0, 0.0),
        (VoiFunction.LINEAR, 4095, 1.0),
        (VoiFunction.LINEAR, 2047.5, 0.5),
        (VoiFunction.LINEAR_EXACT, 0, 0.0),
        (VoiFunction.LINEAR_EXACT, 4096, 1.0),
        (VoiFunction.LINEAR_EXACT, 2048, 0.5),
        (VoiFunction.SIGMOID, 2048, 0.5),
    ],
)
def test_c_11_2_1_2_window_functions(function: VoiFunction, value: float, brightness: float) -> None:
    window = Window(center=2048, width=4096, function=function)

    assert window.apply(np.array([value], dtype=np.float64))[0] == pytest.approx(brightness, abs=1e-9)


@given(
    st.sampled_from(list(VoiFunction)),
    st.floats(-5000, 5000),
    st.floats(1, 8000),
    st.lists(st.floats(-5000, 5000), min_size=2, max_size=6),
)
def test_c_11_2_1_2_windows_are_monotonic_and_stay_in_range(
    function: VoiFunction, center: float, width: float, values: list[float]
) -> None:
    bright = Window(center=center, width=width, function=function).apply(np.sort(np.array(values)))

    assert (np.diff(bright) >= 0).all()
    assert bright.min() >= 0.0
    assert bright.max() <= 1.0


def test_width_one_is_a_threshold() -> None:
    assert set(np.unique(shown(RAMP, grey(), window=Window(center=100, width=1)))) == {0, 255}


@pytest.mark.parametrize("width", [0.0, 0.5, -1.0, float("nan")])
def test_c_11_2_1_2_window_without_width_is_an_error(width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        Window(center=0, width=width)


def test_image_without_a_window_uses_its_whole_range() -> None:
    assert np.array_equal(shown(RAMP, grey()), RAMP)
    assert np.array_equal(shown(RAMP, grey(WindowCenter=5, WindowWidth=0)), RAMP)
    assert np.array_equal(shown(RAMP, grey(WindowCenter="", WindowWidth="")), RAMP)


def test_first_of_several_windows_counts() -> None:
    several = grey(WindowCenter=[128, 9], WindowWidth=[256, 9])

    assert np.array_equal(shown(RAMP, several), RAMP)


def test_c_7_6_3_1_2_monochrome1_is_inverted() -> None:
    assert np.array_equal(shown(RAMP, grey(PhotometricInterpretation="MONOCHROME1")), 255 - RAMP)


def test_c_7_6_16_frame_has_the_rescale_and_window_of_its_functional_group() -> None:
    def group(intercept: int, center: int) -> Dataset:
        rescale, voi, groups = Dataset(), Dataset(), Dataset()
        rescale.RescaleIntercept, rescale.RescaleSlope = intercept, 1
        voi.WindowCenter, voi.WindowWidth = center, 2
        groups.PixelValueTransformationSequence = Sequence([rescale])
        groups.FrameVOILUTSequence = Sequence([voi])
        return groups

    attributes = grey(
        PerFrameFunctionalGroupsSequence=Sequence([group(0, 50), Dataset()]),
        SharedFunctionalGroupsSequence=Sequence([group(-1000, -900)]),
    )

    assert (shown(RAMP, attributes, 1) == 255).sum() == 256 - 50
    assert (shown(RAMP, attributes, 2) == 255).sum() == 256 - 100


def test_colour_is_shown_as_it_is() -> None:
    colour = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1).astype(np.uint8)
    deep = grey(PhotometricInterpretation="RGB", BitsStored=16)

    assert np.array_equal(shown(colour, grey(PhotometricInterpretation="RGB", BitsStored=8)), colour)
    assert np.array_equal(shown(colour.astype(np.uint16) * 256, deep), colour)


def test_c_7_6_3_1_5_palette_is_applied() -> None:
    palette = grey(PhotometricInterpretation="PALETTE COLOR", PixelRepresentation=0, BitsAllocated=8)
    for name, table in (("Red", np.arange(256)), ("Green", np.zeros(256)), ("Blue", np.arange(255, -1, -1))):
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(palette, f"{name}PaletteColorLookupTableData", (table * 257).astype("<u2").tobytes())

    pixel = shown(RAMP.astype(np.uint8), palette)[0, 3]

    assert list(pixel) == [3, 0, 252]


def test_8_3_5_1_3_negative_height_turns_the_region_over() -> None:
    viewport = Viewport(width=16, height=16, region=(0, 0, 16, -16))

    assert np.array_equal(shown(RAMP, grey(), viewport=viewport), RAMP[::-1])


def stored(tmp_path: Path, dataset: Dataset) -> InstanceFile:
    dataset.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    index = PacsIndex(tmp_path / "index.sqlite3")
    index.import_directory(tmp_path)
    home = Archive(index=index, urls=ResourceUrls(base_url="http://pacs.example"), storage_dir=tmp_path)
    (instance,) = home.instances(dataset.StudyInstanceUID)
    return instance


def test_ps3_5_8_1_1_single_bit_frames_are_packed_each_from_its_first_bit(tmp_path: Path) -> None:
    masks = (np.arange(3 * 5 * 5).reshape(3, 5, 5) % 3 == 0).astype(np.uint8)
    dataset = Slice(frames=3).dataset()
    dataset.Rows = dataset.Columns = 5
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.PixelData = np.packbits(masks.reshape(-1), bitorder="little").tobytes()
    dataset["PixelData"].VR = "OB"
    instance = stored(tmp_path, dataset)

    assert instance.pixels is not None
    frame = np.unpackbits(np.frombuffer(native_frame(instance, instance.pixels, 2), np.uint8), bitorder="little")
    assert np.array_equal(frame[:25].reshape(5, 5), masks[1])


def test_c_7_6_3_1_2_native_ybr_full_422_is_sent_with_all_samples(tmp_path: Path) -> None:
    dataset = Slice().dataset()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PlanarConfiguration = 2, 4, 3, 0
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = bytes([90, 100, 128, 128] * 4)
    instance = stored(tmp_path, dataset)

    assert instance.pixels is not None
    assert instance.pixels.frame_bits is None
    assert len(native_frame(instance, instance.pixels, 1)) == 2 * 4 * 3


def test_truncated_pixels_are_an_error_and_not_a_short_frame(tmp_path: Path) -> None:
    path = Slice().write(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    assert dcmread(path, stop_before_pixels=True).SOPInstanceUID
    index = PacsIndex(tmp_path / "index.sqlite3")
    index.import_directory(tmp_path)
    home = Archive(index=index, urls=ResourceUrls(base_url="http://pacs.example"), storage_dir=tmp_path)
    (instance,) = home.instances(Slice().study_uid)

    assert instance.pixels is not None
    with pytest.raises(UndecodableFrame):
        native_frame(instance, instance.pixels, 1)
