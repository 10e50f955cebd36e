"""Losses of a generator against a discriminator, and what keeps the discriminator in bounds.

Non-saturating loss (Goodfellow et al. 2014), hinge loss, R1 gradient penalty (arXiv 1801.04406), LeCam regularisation (arXiv 2104.03310).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tokenizers3d.ranks import mean_over_ranks

GanLoss = Literal["non_saturating", "hinge"]


def discriminator_loss(real: Float[Tensor, " n"], fake: Float[Tensor, " m"], kind: GanLoss) -> Float[Tensor, ""]:
    """Low where real logits are high and fake ones low.

    >>> round(discriminator_loss(torch.zeros(1), torch.zeros(1), "non_saturating").item(), 4)
    1.3863
    """
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Float[Tensor, " n"], kind: GanLoss) -> Float[Tensor, ""]:
    """Low where the discriminator takes the fake for real."""
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


def gradient_penalty(logits: Float[Tensor, " n"], x: Float[Tensor, "b 1 z y x"]) -> Float[Tensor, ""]:
    """R1: mean squared length of the gradient of the logits at real samples; `x` must require a gradient."""
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


class LeCam(nn.Module):
    """Running means of real and fake logits; the penalty keeps each side near the other's past.

    Under torch.distributed the means are those of all ranks, so that the penalty and its gradient are those of one process; every rank
    must then call it at every step, with empty logits where it has nothing to judge.

    Args:
        decay: of the running means.
    """

    real: Tensor
    fake: Tensor

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def forward(self, real: Float[Tensor, " n"], fake: Float[Tensor, " m"]) -> Float[Tensor, ""]:
        """Penalty of this batch; in training the running means move first, unless no rank has logits."""
        sums = torch.stack([real.float().sum(), fake.float().sum(), real.new_tensor(len(real), dtype=torch.float32)])
        mean_real, mean_fake, share = mean_over_ranks(sums, len(real)).unbind()
        if share == 0:
            return mean_real * 0
        if self.training:
            self.real.lerp_(mean_real.detach().to(self.real.dtype), 1 - self.decay)
            self.fake.lerp_(mean_fake.detach().to(self.fake.dtype), 1 - self.decay)
        return F.relu(mean_real - self.fake).square() + F.relu(self.real - mean_fake).square()
