"""One language token for each volume token: LLaVA-1.5's two-layer MLP (https://arxiv.org/abs/2310.03744) with mm positions."""

import math

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vol3d.vlm.projectors.position import MillimetrePosition, grid_index, grid_of, relative_mm


class MLPProjector(nn.Module):
    """`vectors: b c z y x` and the grids' affines to `b (z y x) d`; nothing is pooled, so it suits small grids and single slices.

    >>> import torch
    >>> project = MLPProjector(in_channels=18, width=32)
    >>> project(torch.ones(1, 18, 1, 2, 3), torch.eye(4)[None]).shape
    torch.Size([1, 6, 32])
    """

    def __init__(self, *, in_channels: int, width: int, hidden: int = 512) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(in_channels, hidden), nn.GELU())
        self.position = MillimetrePosition(hidden)
        self.out = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width))

    def num_tokens(self, grid: tuple[int, int, int]) -> int:
        """How many tokens a grid becomes."""
        return math.prod(grid)

    def forward(self, vectors: Float[Tensor, "b c z y x"], geometry: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n d"]:
        """Project; dtype and device are the weights'."""
        grid = grid_of(vectors)
        tokens = self.embed(rearrange(vectors, "b c z y x -> b (z y x) c").to(self.position.linear.weight.dtype))
        return self.out(tokens + self.position(relative_mm(geometry, grid_index(grid, vectors.device), grid)))
