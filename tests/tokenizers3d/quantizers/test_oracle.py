"""Against lucidrains' vector-quantize-pytorch, an independent implementation; skipped where it is not installed."""

import pytest
import torch

from tokenizers3d.quantizers import FSQ, LFQ

oracle = pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")


@pytest.mark.parametrize("num_bits", [2, 4, 8])
@pytest.mark.parametrize("scale", [0.01, 0.3])
def test_lfq(num_bits: int, scale: float) -> None:
    theirs = oracle.LFQ(dim=num_bits, codebook_size=2**num_bits, entropy_loss_weight=1.0, diversity_gamma=1.0, commitment_loss_weight=0.0).train()
    latents = (torch.randn(1, num_bits, 2, 3, 4, generator=torch.Generator().manual_seed(num_bits)) * scale).requires_grad_()
    quantised, indices, loss = theirs(latents, inv_temperature=100.0)
    vectors, codes = LFQ(num_bits)(latents)
    assert torch.equal(codes, indices.int())
    assert torch.allclose(vectors, quantised)
    per_sample, batch = LFQ(num_bits).entropies(latents.movedim(1, -1))
    assert (per_sample - batch).item() == pytest.approx(loss.item(), abs=2e-4)
    ours = torch.autograd.grad(per_sample - batch, latents, retain_graph=True)[0]
    true = torch.autograd.grad(loss, latents)[0]
    assert (ours - true).abs().max() < 2e-3 * max(1.0, true.abs().max().item())


@pytest.mark.parametrize("levels", [(3, 3), (8, 5, 5), (4, 6, 7)])
def test_fsq(levels: tuple[int, ...]) -> None:
    latents = (torch.randn(2, len(levels), 2, 3, 4, generator=torch.Generator().manual_seed(0)) * 2).requires_grad_()
    quantised, indices = oracle.FSQ(levels=list(levels))(latents)
    vectors, codes = FSQ(levels)(latents)
    assert torch.equal(codes, indices.int())
    assert torch.allclose(vectors, quantised, atol=1e-6)
    ours, true = (torch.autograd.grad(v.square().sum(), latents)[0] for v in (vectors, quantised))
    assert torch.allclose(ours, true, atol=1e-5)
