"""Recipes and their inverses, known answers at the window's ends, percentiles that one fit hands to all windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vol3d.scans import ct, mr
from vol3d.errors import ConfigError, IntensityError
from vol3d.volume.intensity import RECIPES, Recipe, denormalize, fit_recipe, normalize, recipe_for, to_uint8

CT_RECIPES = [name for name in RECIPES if name.startswith("ct_")]


@pytest.mark.parametrize(
    ("name", "low", "high"), [("ct_wide", -1000, 1000), ("ct_lung", -1350, 150), ("ct_soft", -160, 240), ("ct_bone", -500, 1300)]
)
def test_ends_of_each_window(name: str, low: int, high: int) -> None:
    assert normalize(np.array([low - 500, low, (low + high) / 2, high, high + 500]), name).tolist() == [-1, -1, 0, 1, 1]
    assert to_uint8(np.array([low - 500, low, high, high + 500]), name).tolist() == [0, 0, 255, 255]


@given(values=st.lists(st.integers(-160, 240), min_size=1, max_size=50))
def test_inverse_inside_every_ct_window(values: list[int]) -> None:
    hu = np.array(values, np.int16)
    for name in CT_RECIPES:
        clipped = np.clip(hu, fit_recipe(name, hu).low, fit_recipe(name, hu).high)
        assert np.abs(denormalize(normalize(hu, name), name) - clipped).max() < 1e-3


def test_mr_bounds_are_fitted_once_and_inverted() -> None:
    scan = mr()
    recipe = fit_recipe(recipe_for(scan), scan.array)
    inside = scan.array[(scan.array > recipe.low) & (scan.array < recipe.high)]
    assert 0.9 < inside.size / (scan.array > scan.array.min()).sum() < 1.0
    assert np.abs(denormalize(normalize(inside, recipe), recipe) - inside).max() < 1e-2
    # A dark window keeps the scan's own scale.
    assert normalize(scan.array[:, :2], recipe).mean() < -0.85


def test_background_does_not_fill_the_percentiles() -> None:
    values = np.zeros(100_000, np.int16)
    values[:500] = np.linspace(100, 600, 500)
    recipe = fit_recipe("mri_percentile", values)
    assert 100 < recipe.low < 110
    assert 590 < recipe.high < 600


def test_recipe_follows_the_modality() -> None:
    assert recipe_for(ct()) == "ct_wide"
    assert recipe_for(mr()) == "mri_percentile"


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="ct_wide, ct_lung"):
        normalize(np.zeros(3), "ct_brain")
    with pytest.raises(ConfigError, match="fit_recipe"):
        denormalize(np.zeros(3, np.float32), "mri_percentile")
    with pytest.raises(IntensityError, match="same value"):
        fit_recipe("mri_percentile", np.full(10, 3))
    with pytest.raises(ConfigError, match="low < high"):
        Recipe("mine", 5.0, 5.0)
