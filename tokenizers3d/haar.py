"""3D Haar wavelet and its exact inverse, causal in depth: the first slice stands alone.

One level halves every axis and makes 8 bands of each channel. The first slice is doubled before the transform, so a volume of
`2k + 1` slices becomes `k + 1` frames, frame 0 rests on slice 0 only, and frame `j` on slices `2j - 1` and `2j`. Bands are signed
means of 2x2x2 voxels (the scale of BTB3D, arXiv 2510.20639, after Cosmos-Tokenizer); the inverse is the plain signed sum.
Band `4 dz + 2 dy + dx` has a difference along each axis whose `d` is 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.errors import ShapeError

_BANDS = 8


def _split(x: Tensor, axis: int) -> list[Tensor]:
    """Sum and difference of neighbouring pairs along an axis."""
    even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
    return [even + odd, even - odd]


def _merge(low: Tensor, high: Tensor, axis: int) -> Tensor:
    """Pairs along an axis back from their half sums and half differences."""
    return torch.stack([low + high, low - high], axis + 1).flatten(axis, axis + 1)


def haar_pairs(x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b bands z2 y2 x2"]:
    """One level of the wavelet on even sizes; slices are paired as they come (a later slab of a stream)."""
    if any(size % 2 for size in x.shape[2:]):
        raise ShapeError("the wavelet pairs voxels", expected="even sizes z y x", found=tuple(x.shape[2:]))
    bands = [x]
    for axis in (2, 3, 4):
        bands = [part for band in bands for part in _split(band, axis)]
    return torch.cat(bands, 1) / _BANDS


def haar(x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b bands z2 y2 x2"]:
    """One level of the wavelet on an odd number of slices, the first of which stands alone.

    >>> haar(torch.ones(1, 1, 5, 4, 4)).shape
    torch.Size([1, 8, 3, 2, 2])
    """
    if x.shape[2] % 2 == 0:
        raise ShapeError("the first slice stands alone and the others go in pairs", expected="an odd number of slices", found=x.shape[2])
    return haar_pairs(torch.cat([x[:, :, :1], x], 2))


def unhaar_pairs(bands: Float[Tensor, "b bands z y x"]) -> Float[Tensor, "b c z2 y2 x2"]:
    """Inverse of `haar_pairs`."""
    if bands.shape[1] % _BANDS:
        raise ShapeError("the inverse wavelet needs 8 bands a channel", expected="a multiple of 8 channels", found=bands.shape[1])
    parts = list(bands.chunk(_BANDS, 1))
    for axis in (4, 3, 2):
        parts = [_merge(low, high, axis) for low, high in zip(parts[0::2], parts[1::2], strict=True)]
    return parts[0]


def unhaar(bands: Float[Tensor, "b bands z y x"]) -> Float[Tensor, "b c z2 y2 x2"]:
    """Inverse of `haar`: the doubled first slice is given once.

    >>> x = torch.randn(1, 1, 5, 4, 4)
    >>> bool((unhaar(haar(x)) - x).abs().max() < 1e-6)
    True
    """
    return unhaar_pairs(bands)[:, :, 1:]
