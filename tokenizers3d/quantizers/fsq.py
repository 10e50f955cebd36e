"""Finite scalar quantization (arXiv 2309.15505): each latent channel is squashed and rounded to one of a few levels."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from tokenizers3d.errors import ShapeError


class FSQ(nn.Module):
    """Level quantizer.

    Args:
        levels: number of values of each channel; their product is the size of the codebook.

    >>> vectors, codes = FSQ((3, 3))(torch.tensor([5.0, -5.0]).view(1, 2, 1, 1, 1))
    >>> vectors.flatten().tolist(), codes.item()
    ([1.0, -1.0], 2)
    """

    def __init__(self, levels: Sequence[int] = (8, 8, 8, 8, 8, 8)) -> None:
        super().__init__()
        if not levels or min(levels) < 2 or math.prod(levels) > 2**30:
            raise ShapeError("levels of finite scalar quantization", expected="each >= 2, product <= 2^30", found=tuple(levels))
        self.levels = tuple(levels)

    @property
    def num_bits(self) -> int:
        """Whole bits that a code takes."""
        return max(1, (math.prod(self.levels) - 1).bit_length())

    @property
    def num_channels(self) -> int:
        """Latent channels that it takes."""
        return len(self.levels)

    def forward(self, latents: Float[Tensor, "b c z y x"]) -> tuple[Float[Tensor, "b c z y x"], Int32[Tensor, "b z y x"]]:
        """Vectors in [-1, 1], through whose rounding gradients pass, and codes (first channel least significant)."""
        if latents.shape[1] != len(self.levels):
            raise ShapeError("one latent channel a level", expected=len(self.levels), found=latents.shape[1])
        levels = torch.tensor(self.levels, device=latents.device).view(1, -1, 1, 1, 1)
        half = (levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        bounded = (latents + (offset / half).atanh()).tanh() * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        basis = torch.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))], device=latents.device)
        digits = bounded.detach().round().long() + levels // 2
        return rounded / (levels // 2), torch.einsum("bczyx,c->bzyx", digits, basis).int()
