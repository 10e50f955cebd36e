"""Named intensity recipes: the only place where a Hounsfield window or a percentile is written down."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from vol3d.errors import ConfigError, IntensityError
from vol3d.volume.volume import Volume

# Lower and upper HU of each window, from the usual level and width: lung -600/1500, soft tissue 40/400, bone 400/1800.
_CT_WINDOWS_HU: dict[str, tuple[float, float]] = {
    "ct_wide": (-1000.0, 1000.0),
    "ct_lung": (-1350.0, 150.0),
    "ct_soft": (-160.0, 240.0),
    "ct_bone": (-500.0, 1300.0),
}
# MR has no unit: the bounds are percentiles of the voxels that are not background.
_PERCENTILES: dict[str, tuple[float, float]] = {"mri_percentile": (1.0, 99.0)}
RECIPES = (*_CT_WINDOWS_HU, *_PERCENTILES)
_SAMPLE = 4_000_000


@dataclass(frozen=True)
class Recipe:
    """A linear map from `low..high` (HU on CT, the scan's own units on MR) to -1..1, clipped outside.

    >>> Recipe("ct_soft", -160, 240).low
    -160
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise ConfigError("an intensity recipe needs low < high", expected="low < high", found=f"{self.low}, {self.high}")


def recipe_for(volume: Volume) -> str:
    """The name of the recipe that suits a scan: `ct_wide` for CT, `mri_percentile` for everything else.

    >>> recipe_for(Volume(np.zeros((2, 2, 2)), np.eye(4), "MR", "a.u."))
    'mri_percentile'
    """
    return "ct_wide" if volume.modality == "CT" else "mri_percentile"


def fit_recipe(name: str, array: Shaped[np.ndarray, "..."]) -> Recipe:
    """The recipe with its bounds fixed: from the table for CT, from `array` for percentiles.

    Fit once on the whole scan and hand the Recipe on: windows that were each fitted by themselves would not fit together.

    Raises:
        ConfigError: no recipe has this name.
        IntensityError: the percentiles of the array coincide.

    >>> fit_recipe("ct_lung", np.zeros(1))
    Recipe(name='ct_lung', low=-1350.0, high=150.0)
    """
    if name in _CT_WINDOWS_HU:
        return Recipe(name, *_CT_WINDOWS_HU[name])
    if name not in _PERCENTILES:
        raise ConfigError("no such intensity recipe", expected=", ".join(RECIPES), found=name)
    values = np.asarray(array).reshape(-1)
    values = values[:: max(1, values.size // _SAMPLE)]
    # Background is one exact value in most MR (zero, or zero after masking); where all voxels share it nothing is left out.
    values = values[values != values.min()] if (values != values.min()).any() else values
    low, high = (float(v) for v in np.percentile(values, _PERCENTILES[name]))
    if not low < high:
        low, high = float(values.min()), float(values.max())
    if not low < high:
        raise IntensityError("all voxels have the same value, so no intensity range can be fitted", found=low, hint="Check the scan.")
    return Recipe(name, low, high)


def _fitted(recipe: str | Recipe, array: np.ndarray) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else fit_recipe(recipe, array)


def normalize(array: Shaped[np.ndarray, "*axes"], recipe: str | Recipe) -> Float[np.ndarray, "*axes"]:
    """Voxels as float32 in [-1, 1]; values outside the recipe's bounds are clipped.

    >>> normalize(np.array([-2000, -1000, 0, 500]), "ct_wide").tolist()
    [-1.0, -1.0, 0.0, 0.5]
    """
    fitted = _fitted(recipe, array)
    out = array.astype(np.float32)
    out -= np.float32((fitted.high + fitted.low) / 2.0)
    out /= np.float32((fitted.high - fitted.low) / 2.0)
    return np.clip(out, -1.0, 1.0, out=out)


def denormalize(array: Float[np.ndarray, "*axes"], recipe: str | Recipe) -> Float[np.ndarray, "*axes"]:
    """The inverse of `normalize` for everything inside the bounds, as float32 in the scan's units.

    Raises:
        ConfigError: a percentile recipe was given by name, without the bounds that were used.

    >>> denormalize(np.array([-1.0, 0.5], np.float32), "ct_wide").tolist()
    [-1000.0, 500.0]
    """
    if isinstance(recipe, str) and recipe in _PERCENTILES:
        raise ConfigError(f"{recipe} by name has no bounds to go back to", hint="Pass the Recipe from fit_recipe(name, array) that normalised it.")
    fitted = _fitted(recipe, array)
    return array.astype(np.float32) * np.float32((fitted.high - fitted.low) / 2.0) + np.float32((fitted.high + fitted.low) / 2.0)


def to_uint8(array: Shaped[np.ndarray, "*axes"], recipe: str | Recipe) -> UInt8[np.ndarray, "*axes"]:
    """Grey values 0..255 for a picture.

    >>> to_uint8(np.array([-160, 40, 240]), "ct_soft").tolist()
    [0, 128, 255]
    """
    return np.rint((normalize(array, recipe) + 1.0) * 127.5).astype(np.uint8)
