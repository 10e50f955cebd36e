"""What a tokenizer is trained for: likeness of voxels, edges and features, and codes that are decided and all in use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.quantizers import LFQ

Features = Callable[[Tensor], Tensor | Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the terms; the defaults are BTB3D's (without adversaries; see `AdversaryConfig`).

    Args:
        l1, mse, gradient: of the reconstruction; `gradient` compares differences of neighbouring voxels along each axis.
        perceptual: of the features of slices, where a feature network is given.
        commitment: distance of the latents to their codes.
        entropy: of (token entropy - diversity * batch entropy).
        entropy_start: factor on `entropy` at step 0, falling linearly to 1 at `entropy_steps`.
        diversity: weight of the batch entropy within the entropy term.
        inverse_temperature, eps: as in `LFQ.entropies`.
        soft_steps: None passes gradients through the signs as they are; a number passes them through `tanh`, and lets the share of
            unquantized vectors fall from 1 to 0 over so many steps.
    """

    l1: float = 5.0
    mse: float = 0.0
    gradient: float = 0.0
    perceptual: float = 0.0
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


def gradient_difference(x: Float[Tensor, "b c z y x"], y: Float[Tensor, "b c z y x"]) -> Float[Tensor, ""]:
    """Mean absolute difference of the two volumes' finite differences, summed over the axes that have more than one voxel."""
    terms = [(x.diff(dim=axis) - y.diff(dim=axis)).abs().mean() for axis in (2, 3, 4) if x.shape[axis] > 1]
    return torch.stack(terms).sum() if terms else x.new_zeros(())


def perceptual_25d(
    x: Float[Tensor, "b 1 z y x"], y: Float[Tensor, "b 1 z y x"], features: Features, *, slices_per_plane: int = 2
) -> Float[Tensor, ""]:
    """Mean squared difference of the features of evenly spaced slices of the three planes.

    Args:
        x, y: reconstruction and original.
        features: any network from `n 3 h w` to one feature tensor or several; its weights are not trained here.
        slices_per_plane: of each plane; planes with sides under 16 voxels are left out.
    """
    terms = []
    for axis in (2, 3, 4):
        sides = [x.shape[a] for a in (2, 3, 4) if a != axis]
        if min(sides) < 16:
            continue
        places = torch.linspace(0, x.shape[axis] - 1, min(slices_per_plane + 2, x.shape[axis] + 2)).round().long()[1:-1].unique()
        pair = [v.index_select(axis, places.to(v.device)).movedim(axis, 1).flatten(0, 1).expand(-1, 3, -1, -1) for v in (x, y)]
        found = [features(v) for v in pair]
        layers = [[f] if isinstance(f, Tensor) else list(f) for f in found]
        terms += [F.mse_loss(a, b) for a, b in zip(*layers, strict=True)]
    return torch.stack(terms).mean() if terms else x.new_zeros(())


def reconstruction_terms(
    x: Float[Tensor, "b 1 z y x"], truth: Float[Tensor, "b 1 z y x"], weights: LossWeights, features: Features | None = None
) -> dict[str, Tensor]:
    """The terms of likeness, and under `reconstruction` their weighted sum."""
    error = x - truth
    terms = {"l1": error.abs().mean(), "mse": error.square().mean(), "gradient": gradient_difference(x, truth)}
    if features is not None and weights.perceptual:
        terms["perceptual"] = perceptual_25d(x, truth, features)
    return terms | {"reconstruction": sum((getattr(weights, name) * term for name, term in terms.items()), x.new_zeros(()))}


def quantizer_terms(latents: Float[Tensor, "b c z y x"], quantizer: LFQ, weights: LossWeights, *, step: int) -> dict[str, Tensor]:
    """The terms of the codes, and under `quantizer` their weighted sum."""
    terms = quantizer.terms(latents, inverse_temperature=weights.inverse_temperature, eps=weights.eps)
    entropy = terms.per_sample_entropy - weights.diversity * terms.batch_entropy
    total = weights.commitment * terms.commitment + weights.entropy_at(step) * entropy
    return {
        "commitment": terms.commitment,
        "token_entropy": terms.per_sample_entropy,
        "batch_entropy": terms.batch_entropy,
        "quantizer": total,
    }
