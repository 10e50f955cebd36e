"""Procedural volumes without anatomy: overlapping soft-edged bodies, shells, fine texture and noise, at any voxel anisotropy.

"Dead leaves" images have the edge and scale statistics of natural ones (Baradad et al., arXiv 2106.05963), so a tokenizer trained on
them beside phantoms does not learn that every edge is an organ's. Intensities are drawn where CT has its tissues.
"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

_TISSUES_HU = np.array([-1000, -1000, -850, -700, -100, -60, 0, 20, 40, 55, 70, 110, 180, 300, 600, 1000])


def dead_leaves(rng: np.random.Generator, shape_zyx: tuple[int, int, int], *, anisotropy: float = 1.0) -> Float[np.ndarray, "z y x"]:
    """One volume in HU, float32.

    Args:
        rng: source of all randomness.
        shape_zyx: voxels.
        anisotropy: slice spacing over pixel spacing.

    >>> dead_leaves(np.random.default_rng(0), (5, 16, 16)).shape
    (5, 16, 16)
    """
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape_zyx), indexing="ij"))
    grid[0] *= anisotropy
    extent = np.array([shape_zyx[0] * anisotropy, *shape_zyx[1:]], np.float32)
    volume = np.full(shape_zyx, rng.choice(_TISSUES_HU), np.float32)
    for _ in range(rng.integers(4, 28)):
        _paint_leaf(rng, volume, grid, extent)
    blur = rng.uniform(0.2, 1.1)
    volume = gaussian_filter(volume, (blur / anisotropy, blur, blur))
    if rng.random() < 0.5:
        volume += _cloud(rng, shape_zyx, anisotropy) * np.float32(rng.uniform(5, 60))
    sigma = rng.uniform(0.2, 0.9)
    noise = gaussian_filter(rng.standard_normal(shape_zyx, dtype=np.float32), (0, sigma, sigma))
    return volume + noise * np.float32(rng.choice([0, 5, 10, 20, 40]) / max(float(noise.std()), 1e-6))


def _paint_leaf(rng: np.random.Generator, volume: np.ndarray, grid: np.ndarray, extent: np.ndarray) -> None:
    """An ellipsoid with a rotated long axis; some get a shell of another tissue, as bones and vessels have."""
    centre = rng.uniform(-0.1, 1.1, 3).astype(np.float32) * extent
    radius = np.float32(3.0 * (extent[1:].max() / 5) ** rng.uniform(0, 1.3))
    directions = np.linalg.qr(rng.standard_normal((3, 3)))[0].astype(np.float32)
    stretch = np.array([rng.uniform(1, 4), 1, rng.uniform(0.5, 1)], np.float32) * radius
    rotated = np.tensordot(directions / stretch[:, None], grid - centre[:, None, None, None], 1)
    distance = np.sqrt((rotated**2).sum(0))
    inside = distance < 1
    tissue = rng.choice(_TISSUES_HU) + rng.normal(0, 25)
    volume[inside] = tissue
    if rng.random() < 0.3:
        volume[inside & (distance > rng.uniform(0.7, 0.95))] = rng.choice(_TISSUES_HU)


def _cloud(rng: np.random.Generator, shape_zyx: tuple[int, int, int], anisotropy: float) -> np.ndarray:
    """A random field whose spectrum falls as a power of frequency, unit variance."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in shape_zyx[:2]), np.fft.rfftfreq(shape_zyx[2]), indexing="ij")
    radius = np.sqrt((frequencies[0] / anisotropy) ** 2 + frequencies[1] ** 2 + frequencies[2] ** 2)
    spectrum = np.fft.rfftn(rng.standard_normal(shape_zyx)) / (radius + 0.02) ** rng.uniform(1.0, 2.0)
    field = np.fft.irfftn(spectrum, shape_zyx).astype(np.float32)
    return (field - field.mean()) / max(float(field.std()), 1e-6)
