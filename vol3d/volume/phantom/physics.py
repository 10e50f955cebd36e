"""From tissue to image: Hounsfield units by contrast phase, texture, blur of the scanner, correlated noise."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

_NATIVE = {
    "fat": -102.0,
    "muscle": 52.0,
    "lung": -855.0,
    "blood_artery": 42.0,
    "blood_vein": 42.0,
    "blood_portal": 42.0,
    "blood_lung": 42.0,
    "blood_right_heart": 42.0,
    "myocardium": 48.0,
    "liver": 56.0,
    "spleen": 49.0,
    "kidney": 33.0,
    "kidney_medulla": 30.0,
    "pancreas": 38.0,
    "wall": 42.0,
    "gland": 45.0,
    "bile": 8.0,
    "urine": 4.0,
    "disc": 85.0,
    "cord": 32.0,
    "trabecular": 190.0,
    "cortical": 620.0,
    "cartilage": 95.0,
}
_PORTAL = _NATIVE | {
    "muscle": 62.0,
    "blood_artery": 155.0,
    "blood_vein": 145.0,
    "blood_portal": 165.0,
    "blood_lung": 140.0,
    "blood_right_heart": 145.0,
    "myocardium": 105.0,
    "liver": 112.0,
    "spleen": 122.0,
    "kidney": 182.0,
    "kidney_medulla": 170.0,
    "pancreas": 98.0,
    "wall": 72.0,
    "gland": 75.0,
}
_ARTERIAL = _NATIVE | {
    "muscle": 58.0,
    "blood_artery": 320.0,
    "blood_vein": 70.0,
    "blood_portal": 90.0,
    "blood_lung": 210.0,
    "blood_right_heart": 170.0,
    "myocardium": 115.0,
    "liver": 72.0,
    "spleen": 118.0,
    "kidney": 165.0,
    "kidney_medulla": 75.0,
    "pancreas": 112.0,
    "wall": 80.0,
    "gland": 90.0,
}


def tissue_hu(phase: str) -> dict[str, float]:
    """Mean HU of tissues in a contrast phase: `native`, `portal` or `arterial`.

    >>> tissue_hu("portal")["liver"] > tissue_hu("native")["liver"]
    True
    """
    return {"native": _NATIVE, "portal": _PORTAL, "arterial": _ARTERIAL}[phase]


def lattice_texture(
    axes_xyz: tuple[np.ndarray, np.ndarray, np.ndarray], rng: np.random.Generator, *, pitch_mm: float, reach_mm: float = 340.0
) -> np.ndarray:
    """Smooth random field (float32 `z y x`, about unit variance), fixed in world mm: a random lattice, interpolated linearly per axis."""
    count = int(np.ceil(2 * reach_mm / pitch_mm)) + 1
    field = rng.standard_normal((count, count, count), dtype=np.float32) * np.float32(1.6)
    for array_axis, axis in enumerate((axes_xyz[2], axes_xyz[1], axes_xyz[0])):
        position = np.clip((axis + reach_mm) / pitch_mm, 0, count - 1.001)
        low = position.astype(int)
        weight = (position - low).astype(np.float32)
        weight = weight.reshape([-1 if i == array_axis else 1 for i in range(3)])
        below, above = np.take(field, low, axis=array_axis), np.take(field, low + 1, axis=array_axis)
        above -= below
        above *= weight
        field = np.add(below, above, out=below)
    return field


def blur(values: Float[np.ndarray, "z y x"], spacing_mm: tuple[float, float, float], *, psf_mm: float) -> Float[np.ndarray, "z y x"]:
    """The scanner's point spread: a Gaussian of `psf_mm` (sd), at least 0.42 voxel, since a voxel averages over itself."""
    for axis, spacing in enumerate(spacing_mm):
        gaussian_filter1d(values, max(psf_mm / spacing, 0.42), axis=axis, output=values, truncate=2.5, mode="nearest")
    return values


def correlated_noise(shape: tuple[int, int, int], rng: np.random.Generator, *, sd: float, sigma_vox: float = 0.6) -> Float[np.ndarray, "z y x"]:
    """Noise with the grain of a smooth reconstruction kernel in plane, and the given sd."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma_vox) ** 2)
    gain = float((taps**2).sum() / taps.sum() ** 2)
    for axis in (1, 2):
        gaussian_filter1d(noise, sigma_vox, axis=axis, output=noise, radius=2, mode="wrap")
    noise *= np.float32(sd / gain)
    return noise
