"""From tokens of a volume to tokens of a language model: five ways behind one call."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from vol3d.vlm.projectors.mlp import MLPProjector
from vol3d.vlm.projectors.pool import PoolProjector
from vol3d.vlm.projectors.qformer import QFormerProjector
from vol3d.vlm.projectors.resampler import ResamplerProjector
from vol3d.vlm.projectors.scale_invariant import ScaleInvariantProjector

__all__ = ["MLPProjector", "PoolProjector", "Projector", "QFormerProjector", "ResamplerProjector", "ScaleInvariantProjector"]


@runtime_checkable
class Projector(Protocol):
    """The call that all projectors share; `geometry` maps token indices `(z, y, x, 1)` to RAS mm."""

    def num_tokens(self, grid: tuple[int, int, int]) -> int:
        """How many tokens a grid becomes, without running it."""
        ...

    def __call__(self, vectors: Float[Tensor, "b c z y x"], geometry: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n d"]:
        """Project a batch of equal grids."""
        ...
