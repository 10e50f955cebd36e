"""What a tokenizer is trained for: likeness of voxels and of edges, and codes that are decided and all in use."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.quantizers import LFQ
from tokenizers3d.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the terms; the defaults of the quantizer's are BTB3D's.

    Args:
        l1, mse, gradient: of the reconstruction; `gradient` compares differences of neighbouring voxels along each axis.
        commitment: distance of the latents to their codes.
        entropy: of (token entropy - diversity * batch entropy).
        entropy_start: factor on `entropy` at step 0, falling linearly to 1 at `entropy_steps`.
        diversity: weight of the batch entropy within the entropy term.
        soft_steps: None passes gradients through the signs as they are; a number passes them through `tanh`, and lets the share of
            unquantized vectors fall from 1 to 0 over so many steps.
        inverse_temperature, eps: as in `LFQ.entropies`.
    """

    l1: float = 5.0
    mse: float = 0.0
    gradient: float = 0.0
    commitment: float = 0.25
    entropy: float = 0.1
    entropy_start: float = 3.0
    entropy_steps: int = 2000
    diversity: float = 1.0
    inverse_temperature: float = 100.0
    eps: float = 0.0
    soft_steps: int | None = None

    def softness_at(self, step: int) -> float | None:
        """Share of unquantized vectors at a step."""
        return None if self.soft_steps is None else max(0.0, 1 - step / max(self.soft_steps, 1))

    def entropy_at(self, step: int) -> float:
        """Weight of the entropy term at a step.

        >>> LossWeights().entropy_at(0), LossWeights().entropy_at(5000)
        (0.30000000000000004, 0.1)
        """
        left = max(0.0, 1 - step / self.entropy_steps) if self.entropy_steps else 0.0
        return self.entropy * (1 + (self.entropy_start - 1) * left)


def gradient_difference(x: Float[Tensor, "b c z y x"], y: Float[Tensor, "b c z y x"]) -> Tensor:
    """Mean absolute difference of the two volumes' finite differences along the axes that have more than one voxel."""
    terms = [(x.diff(dim=axis) - y.diff(dim=axis)).abs().mean() for axis in (2, 3, 4) if x.shape[axis] > 1]
    return torch.stack(terms).sum() if terms else x.new_zeros(())


def tokenizer_loss(
    tokenizer: Tokenizer, x: Float[Tensor, "b 1 z y x"], weights: LossWeights, *, step: int, across_ranks: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of one batch, and its parts (detached) with the reconstruction under `reconstruction`."""
    reconstruction, latents = tokenizer(x, softness=weights.softness_at(step))
    reconstruction = reconstruction.float()
    error = reconstruction - x
    parts = {"l1": error.abs().mean(), "mse": error.square().mean(), "gradient": gradient_difference(reconstruction, x)}
    loss = weights.l1 * parts["l1"] + weights.mse * parts["mse"] + weights.gradient * parts["gradient"]
    if isinstance(tokenizer.quantizer, LFQ):
        terms = tokenizer.quantizer.terms(latents, inverse_temperature=weights.inverse_temperature, eps=weights.eps, across_ranks=across_ranks)
        entropy = terms.per_sample_entropy - weights.diversity * terms.batch_entropy
        loss = loss + weights.commitment * terms.commitment + weights.entropy_at(step) * entropy
        parts |= {"commitment": terms.commitment, "token_entropy": terms.per_sample_entropy, "batch_entropy": terms.batch_entropy}
    return loss, {name: part.detach() for name, part in parts.items()} | {"reconstruction": reconstruction.detach()}
