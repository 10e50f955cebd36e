"""The order of training samples as a pure function of (seed, step): nothing to save but the step, nothing to lose in a crash."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vol3d.errors import ConfigError, TrainingError


@lru_cache(maxsize=2)
def _order(length: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


@dataclass(frozen=True, kw_only=True)
class ResumableSampler:
    """Batches cut from an endless stream of shuffled epochs; a batch may end one epoch and begin the next, so none is short.

    Args:
        length: samples in the data set.
        batch_size: samples a batch and process.
        seed: of the order.
        rank, world: this process and how many there are; together they read each epoch once.

    >>> sampler = ResumableSampler(length=4, batch_size=3, seed=0)
    >>> sorted(sampler.batch(0) + sampler.batch(1)[:1]), sampler.position(1)
    ([0, 1, 2, 3], (0, 3))
    """

    length: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or self.batch_size < 1 or not 0 <= self.rank < self.world:
            raise ConfigError("a sampler over nothing", expected="length and batch_size >= 1, 0 <= rank < world", found=asdict(self))

    def batch(self, index: int) -> list[int]:
        """Sample indices of the `index`-th batch of this process."""
        start = (index * self.world + self.rank) * self.batch_size
        return [self._sample(place) for place in range(start, start + self.batch_size)]

    def position(self, index: int) -> tuple[int, int]:
        """(epoch, offset in it) at which the `index`-th batch of all processes begins."""
        return divmod(index * self.world * self.batch_size, self.length)

    def _sample(self, place: int) -> int:
        epoch, offset = divmod(place, self.length)
        return int(_order(self.length, self.seed, epoch)[offset])

    def describe(self, index: int) -> dict[str, Any]:
        """What a checkpoint keeps: the position, and all that the order depends on."""
        epoch, offset = self.position(index)
        facts = asdict(self)
        del facts["rank"]
        return {**facts, "epoch": epoch, "offset": offset}

    def require_same(self, saved: dict[str, Any], index: int) -> None:
        """Refuse to go on in another order. Raises TrainingError with what differs."""
        mine = self.describe(index)
        differing = {k: (saved.get(k), v) for k, v in mine.items() if saved.get(k) != v}
        if differing:
            found = ", ".join(f"{k} {new} instead of {old}" for k, (old, new) in differing.items())
            hint = "Resume with the same data, batch size, seed and number of processes."
            raise TrainingError("the resumed run would see its data in another order", found=found, hint=hint)
