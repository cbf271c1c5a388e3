"""Phantoms of the abdomen and of the breast: tissues where they belong, the same on every run."""

from dataclasses import replace

import numpy as np
import pytest

from ehr_sandbox.patients import dario, elsa, fiona
from ehr_sandbox.phantom_belly import AbdomenPhantom
from ehr_sandbox.phantom_breast import BreastPhantom, Mass
from ehr_sandbox.phantom_scan import Slice

PHANTOM = dario.PRIOR.phantom
GRID = PHANTOM.grid


def mean_at(hu: Slice, x: float, y: float, reach: int = 2) -> float:
    column, row = round(GRID.column_of(x)), round(GRID.row_of(y))
    return float(hu[row - reach : row + reach + 1, column - reach : column + reach + 1].mean())


@pytest.mark.parametrize(
    ("tissue", "z", "place", "low", "high"),
    [
        ("lung base", -115, (-60, 58), -900, -650),
        ("liver", -165, (-80, 0), 95, 130),
        ("spleen", -165, (92, 36), 105, 140),
        ("aorta", -210, (6, 22), 140, 170),
        ("right kidney", -240, (-70, 40), 165, 205),
        ("psoas muscle", -300, (-50, 14), 45, 80),
        ("hip bone", -365, (-78, 42), 150, 700),
        ("bladder", -445, (0, -38), -5, 25),
        ("head of the femur", -440, (90, 0), 160, 230),
    ],
)
def test_tissue_has_the_density_of_the_portal_phase(
    tissue: str, z: float, place: tuple[float, float], low: float, high: float
) -> None:
    hu = PHANTOM.render(GRID.nearest_slice(z))

    assert low < mean_at(hu, *place) < high, tissue


def test_scan_reaches_from_the_liver_to_the_pubic_bones_and_shows_the_kidneys_first() -> None:
    assert isinstance(PHANTOM, AbdomenPhantom)
    assert GRID.z(0) > -120
    assert GRID.z(GRID.slices - 1) < -475
    assert GRID.z(dario.PRIOR.focus_slice) == -240


MASS = Mass(depth_mm=48.0, height_mm=24.0, diameter_mm=9.0)


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_mass_shows_in_both_views_of_its_side_only(view: str) -> None:
    without = BreastPhantom(seed=61, noise_seed=1, columns=200, rows=250, pixel_spacing=0.88)
    with_mass = BreastPhantom(seed=61, noise_seed=1, columns=200, rows=250, pixel_spacing=0.88, mass=MASS)
    difference = {
        side: with_mass.render(side, view).astype(int) - without.render(side, view)  # type: ignore[arg-type]
        for side in "RL"
    }
    diameter_mm = 2 * np.sqrt((difference["R"] > 200).sum() * 0.88**2 / np.pi)

    assert diameter_mm == pytest.approx(9.0, abs=1.0)
    assert not difference["L"].any()


def test_one_woman_keeps_her_breasts_from_year_to_year() -> None:
    before, now = (one.shortened(1).phantom.render("L", "MLO").astype(float) for one in (fiona.PRIOR, fiona.CURRENT))

    assert np.corrcoef(before.ravel(), now.ravel())[0, 1] > 0.99
    assert (before != now).any()


def test_radiograph_shows_lungs_dark_spine_and_belly_bright_and_is_the_same_every_time() -> None:
    phantom = replace(elsa.UNREAD.phantom, levels=30, columns_sampled=64, depths=24, rows=210, columns=250)
    seen = phantom.render()
    lung, spine, belly = seen[100, 60:80].mean(), seen[150, 122:128].mean(), seen[195, 50:80].mean()

    assert seen.shape == (210, 250)
    assert seen.max() <= 4095
    assert lung < 1500 < belly < spine
    assert np.array_equal(seen, phantom.render())
