"""The published sizes in full, with fresh weights: parameters, one crop there and back, slab by slab as in one pass. Slow: each network has 190 to 210 M parameters."""

import pytest
import torch

from tests.tokenizers3d.conftest import random_volume
from tokenizers3d.haar import haar
from tokenizers3d.tokenizer import Tokenizer

# Millions of parameters of encoder and decoder, as BTB3D's networks have them.
SIZES = {"btb3d_8x8x8": (72.5, 115.1), "btb3d_16x16x8": (81.5, 127.0)}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", SIZES)
def test_a_crop_through_the_whole_network(name: str) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_config(name)
    counts = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (tokenizer.encoder, tokenizer.decoder)]
    assert counts == pytest.approx(SIZES[name], abs=0.05)
    for block in [m for m in tokenizer.modules() if hasattr(m, "conv2")]:
        # A fresh block's last kernel is zero, and the block then shows nothing of what it does.
        torch.nn.init.normal_(block.conv2.weight, std=block.conv2.weight[0].numel() ** -0.5)
    volume = random_volume(1, 18, 36, 32)
    grid = tokenizer.encode(volume, "stream", chunk_slices=8)
    _, rows, columns = tokenizer.stride_vox
    assert grid.shape == (4, -(-36 // rows), -(-32 // columns))
    assert grid.num_bits == 18
    padded = torch.nn.functional.pad(volume, (0, 0, 0, -36 % rows, 0, 25 - 18), mode="replicate")
    latents = tokenizer.encoder(haar(padded))
    streamed = grid.vectors()
    decided = latents.abs() > 1e-4
    assert decided.float().mean() > 0.99
    assert torch.equal((latents > 0)[decided], (streamed > 0)[decided])
    whole, slabs = tokenizer.decode(grid, any_mode=True, chunk_tokens=4), tokenizer.decode(grid, any_mode=True, chunk_tokens=1)
    assert whole.shape == volume.shape
    assert whole.std() > 1e-3
    assert (whole - slabs).abs().max() < 1e-4 * whole.abs().max()
    windowed = tokenizer.encode(volume, "windowed")
    assert windowed.shape == grid.shape
    assert torch.equal(windowed.codes[:, :2], grid.codes[:, :2])
