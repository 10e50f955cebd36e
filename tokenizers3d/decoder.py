"""The causal decoder: one vector a token in, wavelet bands out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tokenizers3d.causal import LAYOUT, CausalConv3d, DepthToSpace, SliceNorm, StreamState, activate
from tokenizers3d.encoder import res_blocks, run_blocks


class TokenModulation(nn.Module):
    """Per-slice normalisation whose scale and shift come from the token that a voxel belongs to.

    The two linear maps act on tokens and are spread over voxels afterwards by broadcasting, which equals mapping the spread tokens.
    """

    def __init__(self, token_channels: int, channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm = SliceNorm(num_groups, channels, affine=False)
        self.gamma = nn.Linear(token_channels, channels)
        self.beta = nn.Linear(token_channels, channels)

    def forward(
        self, x: Float[Tensor, "b c z y x"], tokens: Float[Tensor, "b d tz ty tx"], *, depth_factor: int, is_start: bool
    ) -> Float[Tensor, "b c z y x"]:
        """Normalise and modulate; at the start of a volume the first slice has token 0 for itself."""
        tokens = tokens.permute(0, 2, 3, 4, 1)
        lead = depth_factor - 1 if is_start else 0
        owner = (torch.arange(x.shape[2], device=x.device) + lead) // depth_factor
        gamma, beta = (self._spread(part(tokens), owner) for part in (self.gamma, self.beta))
        rows, columns = tokens.shape[2:4]
        blocks = self.norm(x).unflatten(4, (columns, -1)).unflatten(3, (rows, -1))
        if torch.is_grad_enabled():
            return torch.addcmul(beta, blocks, gamma + 1).flatten(5, 6).flatten(3, 4)
        return blocks.mul_(gamma.add_(1)).add_(beta).flatten(5, 6).flatten(3, 4)

    @staticmethod
    def _spread(values: Tensor, owner: Tensor) -> Tensor:
        """Token values `b tz ty tx c` for each slice, ready to broadcast over a token's rows and columns."""
        return values.index_select(1, owner).permute(0, 4, 1, 2, 3).unsqueeze(4).unsqueeze(6)


class Decoder(nn.Module):
    """Causal convolutional decoder after MAGVIT-2 with BTB3D's sizes by default; arguments as in `Encoder`.

    >>> net = Decoder(18, 8, filters=8, channel_multipliers=(1, 2), depth_downsample=(True,), num_res_blocks=1, num_groups=4)
    >>> net(torch.zeros(1, 18, 3, 4, 4)).shape
    torch.Size([1, 8, 5, 8, 8])
    """

    def __init__(
        self,
        latent_channels: int,
        out_channels: int,
        *,
        filters: int,
        channel_multipliers: Sequence[int],
        depth_downsample: Sequence[bool],
        num_res_blocks: int,
        num_groups: int,
    ) -> None:
        super().__init__()
        widths = [filters * m for m in reversed(channel_multipliers)]
        self.recompute = False
        self.depth_factors = [2 if d else 1 for d in reversed(depth_downsample)]
        self.stem = CausalConv3d(latent_channels, widths[0])
        self.first = res_blocks(widths[0], widths[0], num_res_blocks, num_groups)
        inputs = [widths[0], *widths[:-1]]
        self.modulations = nn.ModuleList(TokenModulation(latent_channels, w, num_groups) for w in inputs)
        self.stages = nn.ModuleList(res_blocks(a, b, num_res_blocks, num_groups) for a, b in zip(inputs, widths, strict=True))
        self.ups = nn.ModuleList(DepthToSpace(w, f) for w, f in zip(widths[:-1], self.depth_factors, strict=True))
        self.norm = SliceNorm(num_groups, widths[-1])
        self.head = CausalConv3d(widths[-1], out_channels)

    def forward(self, tokens: Float[Tensor, "b d z y x"], state: StreamState | None = None) -> Float[Tensor, "b c z2 y2 x2"]:
        """Decode all tokens of a volume (no state) or the next slab of them."""
        is_start = state is None or not state.seen(self.stem)
        x = self.stem(tokens.contiguous(memory_format=LAYOUT), state)
        x = run_blocks(self.first, x, state, recompute=self.recompute)
        depth_factor = 1
        for i, stage in enumerate(self.stages):
            x = self.modulations[i](x, tokens, depth_factor=depth_factor, is_start=is_start)
            x = run_blocks(stage, x, state, recompute=self.recompute)
            if i < len(self.ups):
                x = self.ups[i](x, state)
                depth_factor *= self.depth_factors[i]
        return self.head(activate(self.norm(x)), state)
