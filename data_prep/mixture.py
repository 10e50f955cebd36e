"""Sampling from several corpora by stated weights, and how often each is seen: the effective epochs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vol3d.errors import ConfigError


@dataclass(frozen=True)
class SourceShare:
    """How one source takes part.

    Args:
        name: the source.
        size: its number of samples.
        share: of all draws.
        draws: how many of them.
        epochs: draws over size: below 1 some samples are never seen, far above 1 it is learnt by heart.
    """

    name: str
    size: int
    share: float
    draws: int
    epochs: float


class Mixture:
    """Draws (source, index) by weight; within a source every sample comes once before any comes twice.

    >>> mixture = Mixture({"real": 100, "phantom": 10}, {"real": 3, "phantom": 1}, seed=0)
    >>> [(s.name, s.draws, s.epochs) for s in mixture.report(40)]
    [('real', 30, 0.3), ('phantom', 10, 1.0)]
    """

    def __init__(self, sizes: Mapping[str, int], weights: Mapping[str, float], *, seed: int = 0) -> None:
        """Take sizes and weights by source.

        Raises:
            ConfigError: other names in the two, an empty source, or weights that are not positive.
        """
        if set(sizes) != set(weights) or not sizes:
            raise ConfigError("each source needs a size and a weight", expected=", ".join(sizes), found=", ".join(weights))
        if min(sizes.values()) < 1 or min(weights.values()) <= 0:
            raise ConfigError("sizes and weights must be positive", found=f"{dict(sizes)}, {dict(weights)}")
        total = sum(weights.values())
        self.sizes, self.shares, self.seed = dict(sizes), {name: weight / total for name, weight in weights.items()}, seed

    def draw(self, num_samples: int) -> Iterator[tuple[str, int]]:
        """So many draws; each prefix keeps the shares to within one draw a source."""
        debt = dict.fromkeys(self.sizes, 0.0)
        streams = {name: self._stream(name) for name in self.sizes}
        for _ in range(num_samples):
            for name, share in self.shares.items():
                debt[name] += share
            chosen = max(debt, key=lambda name: debt[name])
            debt[chosen] -= 1.0
            yield chosen, next(streams[chosen])

    def _stream(self, name: str) -> Iterator[int]:
        epoch = 0
        while True:
            order = np.random.default_rng([self.seed, epoch, *name.encode()]).permutation(self.sizes[name])
            yield from (int(i) for i in order)
            epoch += 1

    def report(self, num_samples: int) -> tuple[SourceShare, ...]:
        """What so many draws mean for each source."""
        counts = dict.fromkeys(self.sizes, 0)
        for name, _ in self.draw(num_samples):
            counts[name] += 1
        return tuple(SourceShare(n, self.sizes[n], self.shares[n], counts[n], round(counts[n] / self.sizes[n], 4)) for n in self.sizes)
