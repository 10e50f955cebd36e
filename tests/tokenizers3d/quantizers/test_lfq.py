import math

import pytest
import torch
from torch import Tensor

from tokenizers3d.errors import ShapeError
from tokenizers3d.quantizers import LFQ


def brute_force(x: Tensor, inverse_temperature: float, eps: float) -> tuple[Tensor, Tensor]:
    """The published definition: a softmax over every code of the codebook."""
    num_bits = x.shape[-1]
    codebook = torch.tensor([[1.0 if code >> bit & 1 else -1.0 for bit in reversed(range(num_bits))] for code in range(2**num_bits)], dtype=x.dtype)
    log_p = (2 * x @ codebook.T * inverse_temperature).log_softmax(-1)
    p = log_p.exp()
    mean = p.mean(0)
    return -(p * log_p).sum(-1).mean(), -(mean * (mean + eps).log()).sum()


@pytest.mark.parametrize("num_bits", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("scale", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_entropies_equal_the_sum_over_all_codes(num_bits: int, scale: float, eps: float) -> None:
    generator = torch.Generator().manual_seed(num_bits)
    x = torch.randn(50, num_bits, generator=generator, dtype=torch.float64) * scale
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    for mine, true in zip(LFQ(num_bits).entropies(ours, eps=eps), brute_force(theirs, 100.0, max(eps, 1e-300)), strict=True):
        assert abs(mine - true) < 1e-12 * max(1, abs(true))
        gradients = torch.autograd.grad(mine, ours, retain_graph=True)[0], torch.autograd.grad(true, theirs, retain_graph=True)[0]
        assert (gradients[0] - gradients[1]).abs().max() < 1e-9


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = (torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.01).requires_grad_()
    whole = LFQ(6).entropies(x)
    expected = torch.autograd.grad(whole[0] + whole[1], x)[0]
    monkeypatch.setattr("tokenizers3d.quantizers.lfq._TOKENS_PER_CHUNK", 7)
    parts = LFQ(6).entropies(x)
    found = torch.autograd.grad(parts[0] + parts[1], x)[0]
    assert parts[0].item() == pytest.approx(whole[0].item(), abs=1e-12)
    assert parts[1].item() == pytest.approx(whole[1].item(), abs=1e-12)
    assert (found - expected).abs().max() < 1e-12


def test_eighteen_bits_reach_their_bounds() -> None:
    undecided = LFQ(18).entropies(torch.zeros(4, 18))
    assert undecided[0].item() == pytest.approx(18 * math.log(2), rel=1e-5)
    assert undecided[1].item() == pytest.approx(18 * math.log(2), rel=1e-5)
    decided = LFQ(18).entropies(torch.ones(4, 18))
    assert decided[0].item() == decided[1].item() == 0


def test_saturated_latents_give_finite_gradients() -> None:
    x = (torch.randn(20, 18) * 1000).requires_grad_()
    sum(LFQ(18).entropies(x)).backward()
    assert x.grad.isfinite().all()


def test_signs_codes_and_straight_through() -> None:
    latents = torch.tensor([0.5, -2.0, 0.0, 3.0]).view(1, 4, 1, 1, 1).requires_grad_()
    vectors, codes = LFQ(4)(latents)
    assert vectors.flatten().tolist() == [1, -1, -1, 1]
    assert codes.item() == 0b1001
    (vectors * torch.arange(4.0).view(1, 4, 1, 1, 1)).sum().backward()
    assert latents.grad.flatten().tolist() == [0, 1, 2, 3]


def test_commitment_is_the_squared_distance_to_the_code() -> None:
    latents = torch.tensor([0.5, -2.0]).view(1, 2, 1, 1, 1)
    assert LFQ(2).terms(latents).commitment.item() == pytest.approx((0.25 + 1) / 2)


def test_other_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match="one latent channel a bit"):
        LFQ(4)(torch.zeros(1, 3, 1, 1, 1))
    with pytest.raises(ShapeError):
        LFQ(31)
