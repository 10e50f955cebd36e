"""Fewer tokens than voxel tokens: one strided 3D convolution over the grid, then an MLP, with learned positions in mm.

M3D-LaMed's spatial pooling perceiver (https://arxiv.org/abs/2404.00578) averages; here the pooling is learned, because the mean
of +-1 code vectors forgets which code stood where.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from vol3d.errors import ShapeError
from vol3d.vlm.projectors.position import MillimetrePosition, grid_of, relative_mm


class PoolProjector(nn.Module):
    """`vectors: b c z y x` to one token for each block of `stride` tokens; a ragged edge is padded with zeros (no code is 0).

    >>> project = PoolProjector(in_channels=18, width=32, stride=(2, 2, 2))
    >>> project(torch.ones(1, 18, 8, 10, 10), torch.eye(4)[None]).shape, project.num_tokens((8, 10, 10))
    (torch.Size([1, 100, 32]), 100)
    """

    def __init__(self, *, in_channels: int, width: int, stride: Sequence[int] = (2, 2, 2), hidden: int = 512) -> None:
        super().__init__()
        if len(stride) != 3 or min(stride) < 1:
            raise ShapeError("a stride must be three positive numbers", expected="z y x", found=stride)
        self.stride = cast(tuple[int, int, int], tuple(stride))
        self.pool = nn.Conv3d(in_channels, hidden, self.stride, self.stride)
        self.position = MillimetrePosition(hidden)
        self.out = nn.Sequential(nn.GELU(), nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width))

    def num_tokens(self, grid: tuple[int, int, int]) -> int:
        """How many tokens a grid becomes."""
        return math.prod(math.ceil(n / s) for n, s in zip(grid, self.stride, strict=True))

    def forward(self, vectors: Float[Tensor, "b c z y x"], geometry: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n d"]:
        """Project; dtype and device are the weights'."""
        grid = grid_of(vectors)
        sz, sy, sx = (-n % s for n, s in zip(grid, self.stride, strict=True))
        pooled = self.pool(pad(vectors.to(self.pool.weight.dtype), (0, sx, 0, sy, 0, sz)))
        tokens = rearrange(pooled, "b c z y x -> b (z y x) c")
        return self.out(tokens + self.position(relative_mm(geometry, self._centres(grid, vectors.device), grid)))

    def _centres(self, grid: tuple[int, int, int], device: torch.device) -> Float[Tensor, "n 3"]:
        """The middle of each block, counting only tokens that exist."""
        axes = []
        for n, s in zip(grid, self.stride, strict=True):
            starts = torch.arange(0, n, s, dtype=torch.float32, device=device)
            axes.append((starts + (starts + s).clamp(max=n) - 1) / 2)
        return torch.cartesian_prod(*axes).reshape(-1, 3)
