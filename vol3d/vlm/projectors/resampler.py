"""A fixed number of tokens whatever the grid: the Perceiver resampler of Flamingo (https://arxiv.org/abs/2204.14198, section 3.1.1).

Learned queries read the volume's tokens and each other (keys are both), layer by layer, in pre-norm residual blocks.
"""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from vol3d.errors import ShapeError
from vol3d.vlm.projectors.position import MillimetrePosition, grid_index, grid_of, relative_mm


def feed_forward(width: int) -> nn.Sequential:
    """Pre-norm MLP of four times the width."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class CrossAttention(nn.Module):
    """Multi-head attention of queries over a memory; both are normalised first."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ShapeError("the width is not a multiple of the heads", found=(width, num_heads))
        self.num_heads = num_heads
        self.norm_query, self.norm_memory = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, queries: Float[Tensor, "b q w"], memory: Float[Tensor, "b m w"]) -> Float[Tensor, "b q w"]:
        """What each query reads."""
        query = rearrange(self.query(self.norm_query(queries)), "b q (h d) -> b h q d", h=self.num_heads)
        pairs = self.key_value(self.norm_memory(memory))
        key, value = rearrange(pairs, "b m (two h d) -> two b h m d", two=2, h=self.num_heads)
        return self.out(rearrange(scaled_dot_product_attention(query, key, value), "b h q d -> b q (h d)"))


class ResamplerProjector(nn.Module):
    """`vectors: b c z y x` to `b num_queries d`.

    >>> project = ResamplerProjector(in_channels=18, width=32, num_queries=5, hidden=16, num_heads=2, num_layers=1)
    >>> project(torch.ones(1, 18, 3, 4, 4), torch.eye(4)[None]).shape
    torch.Size([1, 5, 32])
    """

    def __init__(self, *, in_channels: int, width: int, num_queries: int = 64, hidden: int = 384, num_heads: int = 6, num_layers: int = 2) -> None:
        super().__init__()
        self.embed, self.position = nn.Linear(in_channels, hidden), MillimetrePosition(hidden)
        self.queries = nn.Parameter(torch.randn(num_queries, hidden) * hidden**-0.5)
        self.attention = nn.ModuleList(CrossAttention(hidden, num_heads) for _ in range(num_layers))
        self.mlp = nn.ModuleList(feed_forward(hidden) for _ in range(num_layers))
        self.out = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, width))

    def num_tokens(self, grid: tuple[int, int, int]) -> int:
        """The number of queries, whatever the grid."""
        return len(self.queries)

    def forward(self, vectors: Float[Tensor, "b c z y x"], geometry: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n d"]:
        """Project; dtype and device are the weights'."""
        grid = grid_of(vectors)
        memory = self.embed(rearrange(vectors, "b c z y x -> b (z y x) c").to(self.embed.weight.dtype))
        memory = memory + self.position(relative_mm(geometry, grid_index(grid, vectors.device), grid))
        queries = repeat(self.queries, "q w -> b q w", b=len(vectors))
        for attention, mlp in zip(self.attention, self.mlp, strict=True):
            queries = queries + attention(queries, torch.cat([memory, queries], dim=1))
            queries = queries + mlp(queries)
        return self.out(queries)
