"""Cutting volumes into slabs that a causal network can take one after the other, and padding what does not fit."""

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.errors import ShapeError

_SANE_RANGE = 10.0  # noise and overshoot pass; Hounsfield units that nobody normalised do not


def require_volume(x: Tensor) -> None:
    """Refuse what has no voxel, no finite value, or another range than [-1, 1] could explain."""
    if x.dim() != 5 or x.shape[1] != 1 or 0 in x.shape:
        raise ShapeError("a tokenizer takes volumes b 1 z y x with at least one slice", found=tuple(x.shape))
    if not x.is_floating_point():
        raise ShapeError("a tokenizer takes normalised floats", found=x.dtype, hint="Apply an intensity recipe first.")
    extent = x.abs().max().item()
    if not math.isfinite(extent):
        bad = (~x.isfinite()).nonzero()
        raise ShapeError("voxels that are not finite", expected="finite values", found=f"{len(bad)}, the first at b c z y x {bad[0].tolist()}")
    if extent > _SANE_RANGE:
        raise ShapeError("voxels far outside [-1, 1]", found=f"{extent:.4g}", hint="Apply an intensity recipe first.")


def padded_shape(shape: tuple[int, int, int], stride: tuple[int, int, int]) -> tuple[int, int, int]:
    """The smallest size that fits the stride: depth `k * stride + 1`, sides multiples.

    >>> padded_shape((10, 20, 16), (8, 8, 8))
    (17, 24, 16)
    """
    return 1 + -(-(shape[0] - 1) // stride[0]) * stride[0], -(-shape[1] // stride[1]) * stride[1], -(-shape[2] // stride[2]) * stride[2]


def pad_slab(x: Float[Tensor, "b c z y x"], stride: tuple[int, int, int], *, is_whole: bool) -> Float[Tensor, "b c z2 y2 x2"]:
    """Repeat the last column, row and slice until the size fits; a slab after the first needs a multiple of the depth stride."""
    z, rows, columns = x.shape[2:]
    depth, *sides = padded_shape((z if is_whole else z + 1, rows, columns), stride)
    margins = (sides[1] - columns, sides[0] - rows, (depth if is_whole else depth - 1) - z)
    return F.pad(x, (0, margins[0], 0, margins[1], 0, margins[2]), mode="replicate") if any(margins) else x


def slabs_of(x: Float[Tensor, "b c z y x"], num_slices: int) -> Iterator[Float[Tensor, "b c n y x"]]:
    """A volume as slabs of a number of slices; the last may be thinner."""
    yield from x.split(num_slices, 2)


def stream_chunks(
    slabs: Iterable[Tensor], stride: tuple[int, int, int], chunk_slices: int
) -> Iterator[tuple[Float[Tensor, "b 1 z y x"], tuple[int, int, int]]]:
    """Slabs cut anew: first slice 0 with a chunk, then chunks of whole multiples of the depth stride, the last one padded.

    Yields each chunk with its size before padding.
    """
    if chunk_slices < stride[0]:
        raise ShapeError("a chunk must hold one slice of tokens", expected=f">= {stride[0]} slices", found=chunk_slices)
    step, waiting, plane = chunk_slices // stride[0] * stride[0], None, None
    wanted = step + 1
    for slab in slabs:
        require_volume(slab)
        if plane not in (None, (slab.shape[0], *slab.shape[3:])):
            raise ShapeError("slabs of one volume differ in batch or slice size", expected=plane, found=(slab.shape[0], *slab.shape[3:]))
        plane = (slab.shape[0], *slab.shape[3:])
        waiting = slab if waiting is None else torch.cat([waiting, slab], 2)
        while waiting.shape[2] >= wanted:
            yield _chunk(waiting[:, :, :wanted], stride, is_start=wanted > step)
            waiting, wanted = waiting[:, :, wanted:], step
    if waiting is None:
        raise ShapeError("a stream without a single slice", expected="at least one slab")
    if waiting.shape[2]:
        yield _chunk(waiting, stride, is_start=wanted > step)


def _chunk(x: Tensor, stride: tuple[int, int, int], *, is_start: bool) -> tuple[Tensor, tuple[int, int, int]]:
    return pad_slab(x, stride, is_whole=is_start), (x.shape[2], x.shape[3], x.shape[4])
