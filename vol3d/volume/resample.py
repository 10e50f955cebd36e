"""Onto another grid: half-pixel convention (the corner of the volume stays, not the centre of its first voxel), affine moved along.

Shrinking is anti-aliased: each new voxel is a triangle-weighted mean over its own width. Integers are rounded and saturated,
never truncated or wrapped. Slabs of slices are streamed, so the extra memory does not grow with the number of slices.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage

from vol3d.errors import ConfigError, GeometryError
from vol3d.volume.geometry import world_axes
from vol3d.volume.volume import Volume

Mode = Literal["linear", "nearest"]
_SLAB_VOXELS = 4_000_000
_FILL_HU = -1024


class _Taps(NamedTuple):
    """For each output index the input indices and weights along one axis, and whether it lies inside the input at all."""

    source: torch.Tensor  # n_out t
    weight: torch.Tensor  # n_out t
    inside: np.ndarray  # n_out


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
    taps = [_taps(n_in, n_out, s, o, mode) for n_in, n_out, s, o in zip(volume.shape, new_shape, step, offset, strict=True)]
    affine = volume.affine.astype(np.float64).copy()
    affine[:3, 3] += affine[:3, :3] @ offset
    affine[:3, :3] *= step
    return volume.with_array(_separable(volume.array, taps), affine=affine)


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
        taps = [_taps(array.shape[a], fixed.shape[a], step[a, a], step[a, 3], mode) for a in range(3)]
        out = _separable(array, taps)
        for axis, tap in enumerate(taps):
            out[(slice(None),) * axis + (~tap.inside,)] = fill
    else:
        out = _oblique(moving.with_array(array, affine=affine), fixed, mode, fill)
    return moving.with_array(out, affine=fixed.affine)


def _along(moving: Volume, fixed: Volume) -> tuple[np.ndarray, np.ndarray]:
    """`moving` with its axes in the order of those of `fixed`; directions may still oppose each other."""
    order = [world_axes(moving.affine).index(world) for world in world_axes(fixed.affine)]
    if order == [0, 1, 2]:
        return moving.array, moving.affine
    return moving.numpy().transpose(order), moving.affine[:, [*order, 3]]


def _taps(n_in: int, n_out: int, step: float, offset: float, mode: Mode) -> _Taps:
    """Output index i lies at input index `step * i + offset`; a step beyond 1 widens the triangle, which is the anti-aliasing."""
    centre = step * np.arange(n_out) + offset
    # A hair of tolerance, so that equal fields of view stay equal after rounding of their affines.
    inside = (centre > -0.5 - 1e-3) & (centre < n_in - 0.5 + 1e-3)
    if mode == "nearest":
        index = np.clip(np.floor(centre + 0.5 + 1e-9), 0, n_in - 1).astype(np.int64)[:, None]
        return _Taps(torch.from_numpy(index), torch.ones(n_out, 1), inside)
    if mode != "linear":
        raise ConfigError("no such resampling mode", expected="linear or nearest", found=mode)
    support = max(abs(step), 1.0)
    first = np.floor(centre - support).astype(np.int64) + 1
    index = first[:, None] + np.arange(int(np.ceil(2 * support)) + 1)
    weight = np.clip(1.0 - np.abs(index - centre[:, None]) / support, 0.0, None)
    # Beyond the edge the outermost voxel goes on: its neighbours' weights are dropped and the rest made to sum to one.
    weight[(index < 0) | (index >= n_in)] = 0.0
    total = weight.sum(axis=1, keepdims=True)
    index = np.clip(index, 0, n_in - 1)
    weight = np.where(total > 0, weight / np.where(total > 0, total, 1.0), np.arange(index.shape[1]) == 0)
    return _Taps(torch.from_numpy(index), torch.from_numpy(weight.astype(np.float32)), inside)


def _separable(array: Any, taps: list[_Taps]) -> np.ndarray:
    """Apply the taps along z, y, x, a slab of output slices at a time."""
    dtype = np.dtype(array.dtype)
    nearest = all(tap.source.shape[1] == 1 for tap in taps)
    n_z, n_y, n_x = (len(tap.source) for tap in taps)
    out = np.empty((n_z, n_y, n_x), dtype if dtype.kind in "iub" or nearest else np.float32)
    slices = max(1, _SLAB_VOXELS // max(n_y * n_x, array.shape[1] * array.shape[2]))
    for start in range(0, n_z, slices):
        z_index = taps[0].source[start : start + slices]
        low, high = int(z_index.min()), int(z_index.max()) + 1
        slab = np.asarray(array[low:high])
        if nearest:
            y_index, x_index = taps[1].source[:, 0].numpy(), taps[2].source[:, 0].numpy()
            out[start : start + slices] = slab[np.ix_(z_index[:, 0].numpy() - low, y_index, x_index)]
            continue
        moved = torch.from_numpy(slab.astype(np.float32))
        moved = _mix(moved, z_index - low, taps[0].weight[start : start + slices], 0)
        moved = _mix(_mix(moved, taps[1].source, taps[1].weight, 1), taps[2].source, taps[2].weight, 2)
        out[start : start + slices] = _round(moved.numpy(), out.dtype)
    return out


def _mix(x: Float[torch.Tensor, "z y x"], index: torch.Tensor, weight: torch.Tensor, axis: int) -> torch.Tensor:
    if len(index) == x.shape[axis] and bool((weight[:, 0] == 1).all()) and bool((index[:, 0] == torch.arange(len(index))).all()):
        return x
    shape = [1, 1, 1]
    shape[axis] = -1
    out = x.index_select(axis, index[:, 0]).mul_(weight[:, 0].view(shape))
    for tap in range(1, index.shape[1]):
        if bool(weight[:, tap].any()):
            out.addcmul_(x.index_select(axis, index[:, tap]), weight[:, tap].view(shape))
    return out


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
