"""The chest phantom: tissues where a chest has them, the same on every run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehr_sandbox.patients import alma
from ehr_sandbox.phantom import AngiogramPhantom, ChestPhantom, Embolus, Nodule, render_slice
from ehr_sandbox.phantom_canvas import Tube
from ehr_sandbox.phantom_grid import VolumeGrid
from ehr_sandbox.phantom_scan import Slice
from ehr_sandbox.phantom_shapes import bar, blend, ellipse, ellipsoid, oval, profile
from ehr_sandbox.phantom_vessels import grow_trees

PHANTOM = ChestPhantom(seed=11, noise_seed=1, nodule=Nodule(x=-74.0, y=8.0, z=37.5, diameter_mm=9.0))
GRID = PHANTOM.grid


@pytest.fixture(scope="module")
def carina() -> Slice:
    """The slice just above the bifurcation of the trachea."""
    return render_slice(PHANTOM, GRID.nearest_slice(20.0))


def mean_at(hu: Slice, x: float, y: float, reach: int = 2) -> float:
    column, row = round(GRID.column_of(x)), round(GRID.row_of(y))
    return float(hu[row - reach : row + reach + 1, column - reach : column + reach + 1].mean())


def median_at(hu: Slice, x: float, y: float, reach: int = 12) -> float:
    """Of a larger place, where a vessel or two do not count."""
    column, row = round(GRID.column_of(x)), round(GRID.row_of(y))
    return float(np.median(hu[row - reach : row + reach + 1, column - reach : column + reach + 1]))


def test_slice_is_a_full_matrix_of_hounsfield_units(carina: Slice) -> None:
    assert carina.shape == (512, 512)
    assert carina.dtype == np.int16
    assert carina.min() >= -1024
    assert carina.max() <= 3071


def test_air_surrounds_the_body(carina: Slice) -> None:
    assert carina[:40].mean() == pytest.approx(-1000, abs=15)


@pytest.mark.parametrize(
    ("tissue", "x", "y", "low", "high"),
    [
        ("trachea", 1, 6, -1024, -930),
        ("descending aorta", 23.5, 25, 10, 75),
        ("vertebral body", 0, 44, 120, 500),
        ("spinal canal", 0, 64.5, 0, 90),
    ],
)
def test_tissue_has_its_density(carina: Slice, tissue: str, x: float, y: float, low: float, high: float) -> None:
    assert low < mean_at(carina, x, y) < high, tissue


@pytest.mark.parametrize("x", [-75.0, 80.0])
def test_lungs_are_aerated(carina: Slice, x: float) -> None:
    assert -900 < median_at(carina, x, 20.0) < -800


def test_left_ventricle_lies_on_the_patients_left() -> None:
    heart = render_slice(PHANTOM, GRID.nearest_slice(-72.0))

    assert mean_at(heart, 60, -40) > 0
    assert median_at(heart, -75, -40) < -800


def test_liver_lies_on_the_patients_right() -> None:
    base = render_slice(PHANTOM, GRID.nearest_slice(-145.0))

    assert 35 < mean_at(base, -60, 0, reach=6) < 90


def test_slices_do_not_depend_on_the_order_they_are_made_in() -> None:
    first = render_slice(PHANTOM, 30)
    render_slice(PHANTOM, 90)

    assert np.array_equal(render_slice(PHANTOM, 30), first)


def test_trees_of_one_seed_are_alike_and_taper() -> None:
    one, other = grow_trees(5, twigs_per_lung=60), grow_trees(5, twigs_per_lung=60)

    assert np.array_equal(one.vessels, other.vessels)
    assert one.vessels[:, 3].max() > 4 * one.vessels[:, 7].min()
    assert (one.vessels[:, 7] <= one.vessels[:, 3] + 1e-4).all()


def test_grid_names_pixels_and_slices() -> None:
    grid = VolumeGrid(first_x=-100.0, first_y=-50.0, first_z=10.0, slices=4)

    assert grid.column_of(-100.0) == 0.0
    assert grid.row_of(-50.0 + 2 * 0.703125) == pytest.approx(2.0)
    assert grid.nearest_slice(4.9) == 2
    with pytest.raises(ValueError, match="outside"):
        grid.nearest_slice(-30.0)


@given(st.floats(-3.0, 3.0), st.floats(0.5, 3.0))
def test_distances_are_negative_inside_and_zero_on_the_outline(angle: float, scale: float) -> None:
    x, y = 30 * np.cos(angle), 20 * np.sin(angle)

    assert ellipse(x, y, (0.0, 0.0), (30.0, 20.0)) == pytest.approx(0, abs=1e-3)
    assert ellipse(x / 2, y / 2, (0.0, 0.0), (30.0, 20.0)) < 0
    assert oval(x, y, (0.0, 0.0), (30.0, 20.0)) < 0.01
    assert ellipsoid(x * scale, y * scale, 0.0, (0.0, 0.0, 0.0), (30.0 * scale, 20.0 * scale, 9.0)) == pytest.approx(
        0, abs=1e-3
    )


def test_bar_and_blend_measure_in_millimetres() -> None:
    assert bar(5.0, 3.0, (0.0, 0.0), (10.0, 0.0), 2.0) == pytest.approx(1.0)
    assert blend(1.0, 9.0, 2.0) == 1.0
    assert blend(1.0, 1.0, 4.0) == 0.0


def test_profile_goes_through_its_table_and_holds_its_ends() -> None:
    at = profile((-10, 1), (0, 3), (10, 3), (20, 0))

    assert at(-50.0)[0] == 1
    assert at(0.0)[0] == 3
    assert at(5.0)[0] == pytest.approx(3)
    assert at(99.0)[0] == 0


def test_tube_passes_its_stations() -> None:
    tube = Tube.along((0, 0, 0, 2), (10, 0, 0, 1), (20, 5, 0, 0.5))

    assert tube.points[0].tolist() == [0, 0, 0]
    assert tube.points[6].tolist() == [10, 0, 0]
    assert tube.radii[-1] == 0.5


def test_scan_begins_above_the_lungs_and_ends_below_the_dome() -> None:
    top, bottom = render_slice(PHANTOM, 0), render_slice(PHANTOM, GRID.slices - 1)

    assert median_at(top, -40, 30) > -200
    assert mean_at(top, 0, -9) < -900  # the trachea
    assert median_at(bottom, -60, 0) > 30  # the liver


def test_collar_bones_lie_in_front_of_the_lung_tips() -> None:
    apex = render_slice(PHANTOM, GRID.nearest_slice(72.5))
    middle = apex[: round(GRID.row_of(0.0))]

    assert (middle > 400).sum() > 100
    assert median_at(apex, -45, 20) < -700


def test_whole_and_shortened_series_share_their_slices() -> None:
    whole = alma.CURRENT
    short = whole.shortened(4)

    assert whole.shortened(None) is whole
    assert whole.shortened(10_000) is whole
    assert short.sop_instance_uid(0) == whole.sop_instance_uid(whole.nodule_slice - 2)
    assert short.phantom.grid.z(0) == whole.phantom.grid.z(whole.nodule_slice - 2)


ANGIOGRAM = AngiogramPhantom(
    seed=11,
    noise_seed=2,
    embolus=Embolus(course=((-8, -9, -12.5, 4.0), (-24, -5.5, -14, 5.2), (-38, 0.5, -17, 5.0), (-45, 7, -26, 4.4))),
)


def test_contrast_surrounds_the_clot_in_the_pulmonary_artery() -> None:
    hu = ANGIOGRAM.render(ANGIOGRAM.grid.nearest_slice(-14.0))
    x, y, _ = ANGIOGRAM.embolus.middle

    assert mean_at(hu, -24.0, -5.5, 1) < 110, "the clot"
    assert mean_at(hu, 5.0, -12.0, 1) > 300, "the artery before it"
    assert mean_at(hu, 23.5, 27.0) == pytest.approx(190, abs=30), "the aorta"
    assert ANGIOGRAM.focus_z == ANGIOGRAM.embolus.middle[2]
    assert (x, y) == (-38, 0.5)
