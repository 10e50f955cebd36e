"""Onto another grid: half-pixel convention (the corner of the volume stays, not the centre of its first voxel), affine moved along.

Shrinking is anti-aliased: each new voxel is a triangle-weighted mean over its own width. Integers are rounded and saturated,
never truncated or wrapped. Slabs of slices are streamed, so the extra memory does not grow with the number of slices.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch.nn import functional

from vol3d.errors import ConfigError, GeometryError
from vol3d.volume.geometry import world_axes
from vol3d.volume.volume import Volume

Mode = Literal["linear", "nearest"]
_SLAB_VOXELS = 1_000_000
_FILL_HU = -1024


class _Axis(NamedTuple):
    """How output indices along one axis are made from input indices."""

    nearest: np.ndarray  # n_out: the nearest input index
    weights: torch.Tensor | None  # n_out n_in, rows sum to one; None where nearest is asked
    inside: np.ndarray  # n_out: whether it lies inside the input at all
    factor: float | None  # n_out / n_in where the corners coincide, which torch's own kernel can do


def resample(
    volume: Volume, *, spacing_mm: tuple[float, float, float] | None = None, shape: tuple[int, int, int] | None = None, mode: Mode = "linear"
) -> Volume:
    """The same field of view with another voxel size or another number of voxels.

    Args:
        volume: any orientation; lazy arrays are read slab by slab.
        spacing_mm: z y x; kept exactly, the number of voxels is rounded (the far corner moves by less than half a voxel).
        shape: z y x; kept exactly, and the corners too; the spacing follows.
        mode: `linear` for intensities, `nearest` for labels.

    >>> v = Volume(np.full((4, 8, 8), 40, np.int16), np.diag([3.0, 1, 1, 1])[[2, 1, 0, 3]], "CT", "HU")
    >>> w = resample(v, spacing_mm=(1.5, 2, 2))
    >>> w.shape, w.spacing_mm, float(w.affine[2, 3]), int(w.array.min())
    ((8, 4, 4), (1.5, 2.0, 2.0), -0.75, 40)
    """
    if (spacing_mm is None) == (shape is None):
        raise ConfigError("resample needs either spacing_mm or shape", hint="Give one of the two.")
    old = np.array(volume.shape, float)
    current = np.linalg.norm(volume.affine[:3, :3], axis=0)
    if spacing_mm is not None:
        if not (np.isfinite(spacing_mm).all() and min(spacing_mm) > 0):
            raise GeometryError("a spacing must be positive", expected="> 0 mm", found=spacing_mm)
        step = np.array(spacing_mm, float) / current
        size = np.maximum(1, np.floor(old / step + 0.5))
        new_shape = (int(size[0]), int(size[1]), int(size[2]))
    elif shape is not None:
        if min(shape) < 1:
            raise GeometryError("a shape must be positive", expected="at least one voxel per axis", found=shape)
        new_shape = shape
        step = old / np.array(new_shape, float)
    offset = (step - 1.0) / 2.0
    axes = [_axis(n_in, n_out, s, o, mode) for n_in, n_out, s, o in zip(volume.shape, new_shape, step, offset, strict=True)]
    affine = volume.affine.astype(np.float64).copy()
    affine[:3, 3] += affine[:3, :3] @ offset
    affine[:3, :3] *= step
    return volume.with_array(_separable(volume.array, axes), affine=affine)


def resample_like(moving: Volume, fixed: Volume, *, mode: Mode = "linear", fill: int | float | None = None) -> Volume:
    """`moving` on the grid of `fixed`, whatever the two orientations are.

    Args:
        moving: the volume to bring over.
        fixed: the volume whose grid is wanted.
        mode: `linear` for intensities, `nearest` for labels.
        fill: value where `moving` has no voxels; -1024 for CT intensities, else 0.

    >>> v = Volume(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4)[[2, 1, 0, 3]], "MR", "a.u.")
    >>> bool((resample_like(v, v).array == v.array).all())
    True
    """
    if fill is None:
        fill = _FILL_HU if moving.modality == "CT" and mode == "linear" else 0
    array, affine = _along(moving, fixed)
    step = np.linalg.inv(affine) @ fixed.affine
    if np.abs(step[:3, :3] - np.diag(np.diag(step[:3, :3]))).max() * max(fixed.shape) < 0.01:
        axes = [_axis(array.shape[a], fixed.shape[a], step[a, a], step[a, 3], mode) for a in range(3)]
        out = _separable(array, axes)
        for number, axis in enumerate(axes):
            out[(slice(None),) * number + (~axis.inside,)] = fill
    else:
        out = _oblique(moving.with_array(array, affine=affine), fixed, mode, fill)
    return moving.with_array(out, affine=fixed.affine)


def _along(moving: Volume, fixed: Volume) -> tuple[np.ndarray, np.ndarray]:
    """`moving` with its axes in the order of those of `fixed`; directions may still oppose each other."""
    order = [world_axes(moving.affine).index(world) for world in world_axes(fixed.affine)]
    if order == [0, 1, 2]:
        return moving.array, moving.affine
    return moving.numpy().transpose(order), moving.affine[:, [*order, 3]]


def _axis(n_in: int, n_out: int, step: float, offset: float, mode: Mode) -> _Axis:
    """Output index i lies at input index `step * i + offset`; a step beyond 1 widens the triangle, which is the anti-aliasing."""
    centre = step * np.arange(n_out) + offset
    # A hair of tolerance, so that equal fields of view stay equal after rounding of their affines.
    inside = (centre > -0.5 - 1e-3) & (centre < n_in - 0.5 + 1e-3)
    index = np.clip(np.floor(centre + 0.5 + 1e-9), 0, n_in - 1).astype(np.int64)
    if mode == "nearest":
        return _Axis(index, None, inside, None)
    if mode != "linear":
        raise ConfigError("no such resampling mode", expected="linear or nearest", found=mode)
    weights = np.clip(1.0 - np.abs(np.arange(n_in) - centre[:, None]) / max(abs(step), 1.0), 0.0, None)
    # Beyond the edge the outermost voxel goes on.
    weights[weights.sum(axis=1) == 0, index[weights.sum(axis=1) == 0]] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    factor = 1.0 / step if step > 0 and abs(offset - (step - 1.0) / 2.0) < 1e-9 else None
    return _Axis(index, torch.from_numpy(weights.astype(np.float32)), inside, factor)


def _separable(array: Any, axes: list[_Axis]) -> np.ndarray:
    """Go along z, y, x, a slab of output slices at a time."""
    dtype = np.dtype(array.dtype)
    nearest = axes[0].weights is None
    n_z, n_y, n_x = (len(axis.nearest) for axis in axes)
    out = np.empty((n_z, n_y, n_x), dtype if dtype.kind in "iub" or nearest else np.float32)
    slices = max(1, _SLAB_VOXELS // max(n_y * n_x, array.shape[1] * array.shape[2]))
    for start in range(0, n_z, slices):
        rows = slice(start, start + slices)
        low, high = _needed(axes[0], rows)
        slab = np.asarray(array[low:high])
        if nearest:
            out[rows] = slab[np.ix_(axes[0].nearest[rows] - low, axes[1].nearest, axes[2].nearest)]
        else:
            out[rows] = _round(_mix(torch.from_numpy(slab.astype(np.float32)), axes, rows, low).numpy(), out.dtype)
    return out


def _needed(axis: _Axis, rows: slice) -> tuple[int, int]:
    """First and one past the last input index that some output rows use."""
    if axis.weights is None:
        return int(axis.nearest[rows].min()), int(axis.nearest[rows].max()) + 1
    used = torch.nonzero(axis.weights[rows].any(dim=0))
    return int(used.min()), int(used.max()) + 1


def _mix(slab: Float[torch.Tensor, "z y x"], axes: list[_Axis], rows: slice, low: int) -> torch.Tensor:
    z, y, x = (axis.weights for axis in axes)
    if z is None or y is None or x is None:
        raise ConfigError("one resampling mode for all axes", hint="Use linear or nearest.")
    n_y, n_x = len(axes[1].nearest), len(axes[2].nearest)
    slab = torch.tensordot(z[rows, low : low + slab.shape[0]], slab, dims=1)
    if axes[1].factor is not None and axes[2].factor is not None:
        # The same triangle weights as ours, in one pass of compiled code.
        factors = (axes[1].factor, axes[2].factor)
        plane = functional.interpolate(slab[None], scale_factor=factors, mode="bilinear", antialias=True, recompute_scale_factor=False)[0]
        if plane.shape[1] >= n_y and plane.shape[2] >= n_x:
            return plane[:, :n_y, :n_x]
    return y @ (slab @ x.T)


def _round(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """To the stored type: integers are rounded and saturated at the ends of their range."""
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def _oblique(moving: Volume, fixed: Volume, mode: Mode, fill: int | float) -> np.ndarray:
    """Grids that are turned against each other: shrink along the moving axes first where needed, then look up each voxel."""
    if mode == "linear":
        wanted = np.abs(np.linalg.inv(moving.affine) @ fixed.affine)[:3, :3].max(axis=1)
        if wanted.max() > 1.2:
            # Without this a finer scan would be sampled at points and alias.
            spacing = np.array(moving.spacing_mm) * np.maximum(wanted, 1.0)
            moving = resample(moving, spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])))
    source = moving.numpy()
    source = source.astype(np.float32) if mode == "linear" else source
    step = np.linalg.inv(moving.affine) @ fixed.affine
    out = np.empty(fixed.shape, np.dtype(moving.array.dtype) if moving.array.dtype.kind in "iub" or mode == "nearest" else np.float32)
    slices = max(1, _SLAB_VOXELS // (fixed.shape[1] * fixed.shape[2]))
    for start in range(0, fixed.shape[0], slices):
        count = min(slices, fixed.shape[0] - start)
        origin = step[:3, 3] + step[:3, 0] * start
        shape = (count, fixed.shape[1], fixed.shape[2])
        slab = ndimage.affine_transform(source, step[:3, :3], origin, shape, order=int(mode == "linear"), mode="nearest", prefilter=False)
        slab[_outside(step[:3, :3], origin, shape, source.shape)] = fill
        out[start : start + count] = _round(slab, out.dtype)
    return out


def _outside(matrix: np.ndarray, origin: np.ndarray, shape: tuple[int, ...], source_shape: tuple[int, ...]) -> np.ndarray:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    outside = np.zeros(shape, bool)
    for axis, size in enumerate(source_shape):
        centre = matrix[axis, 0] * z + matrix[axis, 1] * y + matrix[axis, 2] * x + origin[axis]
        outside |= (centre < -0.5) | (centre > size - 0.5)
    return outside
