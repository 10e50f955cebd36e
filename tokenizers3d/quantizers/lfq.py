"""Lookup-free quantization (MAGVIT-2, arXiv 2310.05737): each latent channel becomes its sign, the signs together the code.

The entropy terms of the paper are taken over 2^num_bits codes. With affinity `2 <x, c>` the bits of a token are independent, with
logit `4 x / temperature`; so the entropy of one token is the sum of its bits' entropies, and the mean distribution over all codes
is one matrix product of the token-wise distributions over the two halves of the bits. Nothing of size tokens x codes is ever made.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tokenizers3d.codes import bits_to_codes
from tokenizers3d.errors import ShapeError
from tokenizers3d.ranks import mean_over_ranks

_TOKENS_PER_CHUNK = 8192


@dataclass(frozen=True)
class LFQTerms:
    """What training adds for the quantizer, each a scalar: squared distance to the codes, and the two entropies in nats."""

    commitment: Tensor
    per_sample_entropy: Tensor
    batch_entropy: Tensor


class LFQ(nn.Module):
    """Sign quantizer.

    Args:
        num_bits: bits of a code, most significant first; 1 to 30.

    >>> vectors, codes = LFQ(num_bits=3)(torch.tensor([0.2, -1.0, 3.0]).view(1, 3, 1, 1, 1))
    >>> vectors.flatten().tolist(), codes.item()
    ([1.0, -1.0, 1.0], 5)
    """

    def __init__(self, num_bits: int = 18) -> None:
        super().__init__()
        if not 1 <= num_bits <= 30:
            raise ShapeError("codes are held in int32", expected="1 to 30 bits", found=num_bits)
        self.num_bits = num_bits

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of values of each channel."""
        return (2,) * self.num_bits

    @property
    def num_channels(self) -> int:
        """Latent channels that it takes."""
        return self.num_bits

    def forward(
        self, latents: Float[Tensor, "b c z y x"], *, softness: float | None = None
    ) -> tuple[Float[Tensor, "b c z y x"], Int32[Tensor, "b z y x"]]:
        """Vectors of +-1, through which gradients pass as if nothing had happened, and codes. Zero counts as negative.

        With `softness` gradients pass by way of `tanh`, so that latents cannot run away from zero, and that share of the vector is
        `tanh` itself: a young network first learns what to say, then to say it in bits (after Toderici et al., arXiv 1511.06085).
        """
        if latents.shape[1] != self.num_bits:
            raise ShapeError("one latent channel a bit", expected=self.num_bits, found=latents.shape[1])
        bits = latents > 0
        signs = bits.to(latents.dtype) * 2 - 1
        vectors = signs
        if softness is not None:
            soft = latents.tanh()
            vectors = soft + (1 - softness) * (signs - soft).detach()
        elif latents.requires_grad:
            vectors = latents + (signs - latents).detach()
        return vectors, bits_to_codes(bits.to(torch.int32))

    def terms(
        self, latents: Float[Tensor, "b c z y x"], *, inverse_temperature: float = 100.0, eps: float = 0.0, across_ranks: bool = True
    ) -> LFQTerms:
        """Commitment and entropies of a batch of latents."""
        flat = latents.movedim(1, -1).flatten(0, -2).float()
        commitment = F.mse_loss(flat, torch.where(flat > 0, 1.0, -1.0))
        return LFQTerms(commitment, *self.entropies(flat, inverse_temperature=inverse_temperature, eps=eps, across_ranks=across_ranks))

    def entropies(
        self, x: Float[Tensor, "*batch c"], *, inverse_temperature: float = 100.0, eps: float = 0.0, across_ranks: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Mean entropy of single tokens, and entropy of the mean distribution, both exact, in nats.

        Args:
            x: latents with the bits last.
            inverse_temperature: of the softmax over codes.
            eps: added inside the logarithm of the mean distribution; 1e-5 reproduces BTB3D, whose batch entropy it bounds at 11.19
                instead of 12.48 nats.
            across_ranks: under torch.distributed take the mean distribution over all ranks (exact, one message of 2^num_bits floats).

        >>> per_sample, batch = LFQ(num_bits=2).entropies(torch.tensor([[9.0, 9.0], [-9.0, 9.0]]))
        >>> round(per_sample.item(), 4), round(batch.item(), 4)
        (0.0, 0.6931)
        """
        # Mixed precision would take the matrix products in bfloat16: three digits, and gradients that overflow.
        with torch.autocast(x.device.type, enabled=False):
            return self._entropies(x.reshape(-1, self.num_bits) * (4 * inverse_temperature), eps, across_ranks=across_ranks)

    def _entropies(self, logits: Float[Tensor, "n c"], eps: float, *, across_ranks: bool) -> tuple[Tensor, Tensor]:
        per_sample = logits.new_zeros(())
        joint = logits.new_zeros(2 ** (self.num_bits // 2), 2 ** (self.num_bits - self.num_bits // 2))
        for chunk in logits.split(_TOKENS_PER_CHUNK):
            if logits.requires_grad and len(logits) > _TOKENS_PER_CHUNK:
                entropy, counts = checkpoint(self._chunk, chunk, use_reentrant=False)
            else:
                entropy, counts = self._chunk(chunk)
            per_sample, joint = per_sample + entropy, joint + counts
        mean = mean_over_ranks(joint, len(logits)) if across_ranks else joint / len(logits)
        return per_sample / len(logits), _entropy(mean, eps)

    def _chunk(self, logits: Float[Tensor, "n c"]) -> tuple[Tensor, Tensor]:
        """Summed token entropies, and the summed joint distribution as a matrix of one half's codes by the other's."""
        log_one, log_zero = F.logsigmoid(logits), F.logsigmoid(-logits)
        entropy = -(log_one.exp() * log_one + log_zero.exp() * log_zero).sum()
        middle = self.num_bits // 2
        halves = [_half_distribution(log_one[:, part], log_zero[:, part]) for part in (slice(0, middle), slice(middle, None))]
        return entropy, halves[0].T @ halves[1]


def _half_distribution(log_one: Float[Tensor, "n h"], log_zero: Float[Tensor, "n h"]) -> Float[Tensor, "n codes"]:
    """Each token's distribution over the codes of a few bits. Sums of logarithms that are all <= 0, so nothing cancels."""
    num_bits = log_one.shape[1]
    codes = torch.arange(2**num_bits, device=log_one.device)
    ones = ((codes[None] >> torch.arange(num_bits - 1, -1, -1, device=log_one.device)[:, None]) & 1).to(log_one.dtype)
    return (log_one @ ones + log_zero @ (1 - ones)).exp()


def _entropy(distribution: Tensor, eps: float) -> Tensor:
    """Entropy in nats; codes of probability zero count nothing, in value and in gradient."""
    if eps:
        return -(distribution * (distribution + eps).log()).sum()
    tiny = torch.finfo(distribution.dtype).tiny
    return -(distribution * distribution.clamp_min(tiny).log()).sum()
