"""BLIP-2's Q-Former without its text branch (https://arxiv.org/abs/2301.12597): queries attend to each other, then to the image.

It differs from the Perceiver resampler in keeping self-attention and cross-attention apart, and in reading the image only in
every second layer.
"""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vol3d.vlm.projectors.position import MillimetrePosition, grid_index, grid_of, relative_mm
from vol3d.vlm.projectors.resampler import CrossAttention, feed_forward


class QFormerLayer(nn.Module):
    """Self-attention, then (in some layers) cross-attention, then an MLP; all pre-norm and residual."""

    def __init__(self, width: int, num_heads: int, *, reads_image: bool) -> None:
        super().__init__()
        self.self_attention, self.mlp = CrossAttention(width, num_heads), feed_forward(width)
        self.cross_attention = CrossAttention(width, num_heads) if reads_image else None

    def forward(self, queries: Float[Tensor, "b q w"], memory: Float[Tensor, "b m w"]) -> Float[Tensor, "b q w"]:
        """The queries after this layer."""
        queries = queries + self.self_attention(queries, queries)
        if self.cross_attention is not None:
            queries = queries + self.cross_attention(queries, memory)
        return queries + self.mlp(queries)


class QFormerProjector(nn.Module):
    """`vectors: b c z y x` to `b num_queries d`.

    >>> project = QFormerProjector(in_channels=18, width=32, num_queries=5, hidden=16, num_heads=2, num_layers=2)
    >>> project(torch.ones(1, 18, 3, 4, 4), torch.eye(4)[None]).shape
    torch.Size([1, 5, 32])
    """

    def __init__(self, *, in_channels: int, width: int, num_queries: int = 32, hidden: int = 384, num_heads: int = 6, num_layers: int = 4) -> None:
        super().__init__()
        self.embed, self.position = nn.Linear(in_channels, hidden), MillimetrePosition(hidden)
        self.queries = nn.Parameter(torch.randn(num_queries, hidden) * hidden**-0.5)
        self.layers = nn.ModuleList(QFormerLayer(hidden, num_heads, reads_image=i % 2 == 0) for i in range(num_layers))
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
        for layer in self.layers:
            queries = layer(queries, memory)
        return self.out(queries)
