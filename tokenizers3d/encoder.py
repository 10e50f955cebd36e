"""The causal encoder: wavelet bands in, one latent vector a token out."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tokenizers3d.causal import LAYOUT, CausalConv3d, ResBlock, SliceNorm, StreamState, activate


def run_blocks(blocks: nn.Module, x: Tensor, state: StreamState | None, *, recompute: bool) -> Tensor:
    """Residual blocks in turn; with `recompute` their insides are computed again in the backward pass instead of stored."""
    for block in blocks.children():
        x = checkpoint(block, x, state, use_reentrant=False) if recompute and torch.is_grad_enabled() else block(x, state)
    return x


def res_blocks(in_channels: int, out_channels: int, num_blocks: int, num_groups: int) -> nn.ModuleList:
    """The first block changes the width, the others keep it."""
    widths = [in_channels] + [out_channels] * num_blocks
    return nn.ModuleList(ResBlock(a, b, num_groups) for a, b in pairwise(widths))


_PIECE_ELEMENTS = 2**20  # of one activation: 4 MB in float32, so that what a layer writes is still in the cache when the next one reads it


class Encoder(nn.Module):
    """Causal convolutional encoder after MAGVIT-2 (arXiv 2310.05737) with BTB3D's sizes by default (arXiv 2510.20639).

    Args:
        in_channels: wavelet bands.
        latent_channels: size of a latent vector.
        filters: width of the first stage; the others are multiples of it.
        channel_multipliers: one a stage; between two stages rows and columns are halved.
        depth_downsample: for each halving whether slices are halved too.
        num_res_blocks: in each stage, and once more at the end.
        num_groups: of the per-slice normalisation.

    >>> net = Encoder(8, 18, filters=8, channel_multipliers=(1, 2), depth_downsample=(True,), num_res_blocks=1, num_groups=4)
    >>> net(torch.zeros(1, 8, 5, 8, 8)).shape
    torch.Size([1, 18, 3, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        latent_channels: int,
        *,
        filters: int,
        channel_multipliers: Sequence[int],
        depth_downsample: Sequence[bool],
        num_res_blocks: int,
        num_groups: int,
    ) -> None:
        super().__init__()
        widths = [filters * m for m in channel_multipliers]
        self.recompute = False
        self.widths, self.steps = widths, [*(2 if d else 1 for d in depth_downsample), 1]
        self.stem = CausalConv3d(in_channels, widths[0])
        inputs = [filters, *widths[:-1]]
        self.stages = nn.ModuleList(res_blocks(a, b, num_res_blocks, num_groups) for a, b in zip(inputs, widths, strict=True))
        self.downs = nn.ModuleList(CausalConv3d(w, w, stride=(2 if d else 1, 2, 2)) for w, d in zip(widths[:-1], depth_downsample, strict=True))
        self.final = res_blocks(widths[-1], widths[-1], num_res_blocks, num_groups)
        self.norm = SliceNorm(num_groups, widths[-1])
        self.head = CausalConv3d(widths[-1], latent_channels, 1)

    def forward(self, bands: Float[Tensor, "b c z y x"], state: StreamState | None = None) -> Float[Tensor, "b d z2 y2 x2"]:
        """Encode a whole volume of wavelet frames (no state) or the next slab of one."""
        x = bands.contiguous(memory_format=LAYOUT)
        for i in range(len(self.stages)):
            parts = [self._stage(i, piece, state) for piece in self._pieces(i, x, state)]
            x = parts[0] if len(parts) == 1 else torch.cat(parts, 0 if state is None else 2)
        x = run_blocks(self.final, x, state, recompute=self.recompute)
        return self.head(activate(self.norm(x)), state)

    def _stage(self, i: int, x: Tensor, state: StreamState | None) -> Tensor:
        x = run_blocks(self.stages[i], x if i else self.stem(x, state), state, recompute=self.recompute)
        return self.downs[i](x, state) if i < len(self.downs) else x

    def _pieces(self, i: int, x: Tensor, state: StreamState | None) -> list[Tensor]:
        """A stage's input cut so that its activations stay small: by slices in a stream, else by items of the batch.

        The first stages have nearly all of the memory and few weights, the last ones the reverse; so the first take many small pieces,
        and the last few large ones, since each piece has the weights repacked. Not in training, and not where a cache is no concern.
        """
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return [x]
        plane = x.shape[3] * x.shape[4] * self.widths[i]
        if state is None:
            return list(x.split(max(_PIECE_ELEMENTS // (plane * x.shape[2]), 1)))
        length = max(_PIECE_ELEMENTS // (plane * x.shape[0]) // self.steps[i], 1) * self.steps[i]
        is_start = not any(state.seen(layer) for layer in self.stages[i].modules())
        lead = length + 1 if is_start else length
        return [piece for piece in (x[:, :, :lead], *x[:, :, lead:].split(length, 2)) if piece.shape[2]]
