"""Affines `(z, y, x, 1)` -> RAS mm: axis codes, canonical order, equality of grids."""

from typing import Any

import numpy as np
from jaxtyping import Float

from vol3d.errors import GeometryError

_POSITIVE, _NEGATIVE = "RAS", "LPI"


def from_nifti(affine_xyz: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """An affine over `(x, y, z, 1)` indices as one over `(z, y, x, 1)`; the same call turns it back."""
    return affine_xyz[:, [2, 1, 0, 3]].astype(np.float64)


def make_affine(spacing_mm: tuple[float, float, float], origin_mm: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Canonical grid (z to superior, y to anterior, x to right) with spacing z y x and the RAS centre of voxel 0.

    >>> make_affine((3, 1, 1))[:3, 0].tolist()
    [0.0, 0.0, 3.0]
    """
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing_mm, 1.0
    affine[:3, 3] = origin_mm
    return affine


def world_axes(affine: Float[np.ndarray, "4 4"]) -> tuple[int, int, int]:
    """For each array axis z y x the world axis (0 R, 1 A, 2 S) that it follows most closely, each used once."""
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    taken: dict[int, int] = {}
    for _ in range(3):
        free = [(cosines[w, a], w, a) for w in range(3) for a in range(3) if w not in taken.values() and a not in taken]
        _, world, axis = max(free)
        taken[axis] = world
    return taken[0], taken[1], taken[2]


def axis_codes(affine: Float[np.ndarray, "4 4"]) -> str:
    """Direction in which each index grows, in file order x y z.

    >>> axis_codes(make_affine((1, 1, 1)))
    'RAS'
    """
    codes = []
    for axis, world in reversed(list(enumerate(world_axes(affine)))):
        codes.append((_POSITIVE if affine[world, axis] > 0 else _NEGATIVE)[world])
    return "".join(codes)


def to_canonical(array: Any, affine: Float[np.ndarray, "4 4"]) -> tuple[Any, np.ndarray]:
    """Permute and flip so that z, y, x grow to superior, anterior, right; exact, no voxel changes its value or place."""
    axes = world_axes(affine)
    order = [axes.index(world) for world in (2, 1, 0)]
    out = affine[:, [*order, 3]].copy()
    index: list[slice] = []
    for axis, world in enumerate((2, 1, 0)):
        if out[world, axis] < 0:
            out[:3, 3] += out[:3, axis] * (array.shape[order[axis]] - 1)
            out[:3, axis] *= -1
            index.append(slice(None, None, -1))
        else:
            index.append(slice(None))
    if order == [0, 1, 2] and index == [slice(None)] * 3:
        return array, out
    return np.asarray(array[...]).transpose(order)[tuple(index)], out


def same_grid(shape_a: tuple[int, ...], affine_a: np.ndarray, shape_b: tuple[int, ...], affine_b: np.ndarray, *, tolerance_mm: float = 0.1) -> bool:
    """Whether two grids have equal shape and put all eight corners within `tolerance_mm` of each other."""
    if tuple(shape_a) != tuple(shape_b):
        return False
    corners = np.array([[z, y, x, 1] for z in (0, shape_a[0] - 1) for y in (0, shape_a[1] - 1) for x in (0, shape_a[2] - 1)])
    return bool(np.abs((corners @ affine_a.T - corners @ affine_b.T)[:, :3]).max() <= tolerance_mm)


def grid_text(shape: tuple[int, ...], affine: np.ndarray) -> str:
    """A grid in words, for refusals: shape, spacing, origin, orientation."""
    spacing = ", ".join(f"{s:.3g}" for s in np.linalg.norm(affine[:3, :3], axis=0))
    origin = ", ".join(f"{o:.1f}" for o in affine[:3, 3])
    return f"{'x'.join(map(str, shape))} voxels zyx at {spacing} mm, {axis_codes(affine)}, origin {origin} mm"


def require_same_grid(
    volume_shape: tuple[int, ...], volume_affine: np.ndarray, mask_shape: tuple[int, ...], mask_affine: np.ndarray, *, path: str | None = None
) -> None:
    """Refuse a mask that lies on another grid than its scan, with both grids named."""
    if not same_grid(volume_shape, volume_affine, mask_shape, mask_affine):
        raise GeometryError(
            "the mask lies on another grid than the scan",
            path=path,
            expected=grid_text(volume_shape, volume_affine),
            found=grid_text(mask_shape, mask_affine),
            hint="Give the mask made for this scan, or ask for resampling (--resample-mask).",
        )
