"""As many tokens as a coarse view has, informed by all fine tokens: the queries are the coarse view itself, none are learned.

After the scale-invariant connector of vision-language models that tile large pictures (coarse tokens cross-attend to all tiles,
residual to the coarse tokens). The number of tokens does not grow with the scan, and each keeps its place in the patient.
"""

import math
from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from vol3d.vlm.projectors.position import MillimetrePosition, grid_index, grid_of, relative_mm
from vol3d.vlm.projectors.qformer import QFormerLayer


class ScaleInvariantProjector(nn.Module):
    """`vectors: b c z y x` to `b (coarse z y x) d`: the grid is averaged down to `coarse`, then reads the whole grid.

    >>> import torch
    >>> project = ScaleInvariantProjector(in_channels=18, width=32, coarse=(2, 2, 2), hidden=16, num_heads=2, num_layers=1)
    >>> project(torch.ones(1, 18, 5, 6, 7), torch.eye(4)[None]).shape
    torch.Size([1, 8, 32])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: int,
        coarse: Sequence[int] = (4, 5, 5),
        hidden: int = 384,
        num_heads: int = 6,
        num_layers: int = 3,
    ) -> None:
        super().__init__()
        self.coarse = tuple(coarse)
        self.embed, self.position = nn.Linear(in_channels, hidden), MillimetrePosition(hidden)
        self.layers = nn.ModuleList(QFormerLayer(hidden, num_heads, reads_image=True) for _ in range(num_layers))
        self.out = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, width))

    def num_tokens(self, grid: tuple[int, int, int]) -> int:
        """The size of the coarse view, never more than the grid has along an axis."""
        return math.prod(self._coarse(grid))

    def _coarse(self, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        z, y, x = (min(n, c) for n, c in zip(grid, self.coarse, strict=True))
        return z, y, x

    def forward(self, vectors: Float[Tensor, "b c z y x"], geometry: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n d"]:
        """Project; dtype and device are the weights'."""
        grid = grid_of(vectors)
        fine = self.embed(rearrange(vectors, "b c z y x -> b (z y x) c").to(self.embed.weight.dtype))
        fine = fine + self.position(relative_mm(geometry, grid_index(grid, vectors.device), grid))
        volume = rearrange(fine, "b (z y x) w -> b w z y x", z=grid[0], y=grid[1])
        queries = rearrange(adaptive_avg_pool3d(volume, self._coarse(grid)), "b w z y x -> b (z y x) w")
        for layer in self.layers:
            queries = layer(queries, fine)
        return self.out(queries)
