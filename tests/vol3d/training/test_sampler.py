"""The order of samples depends on the seed and the step alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol3d.errors import ConfigError, TrainingError
from vol3d.training.sampler import ResumableSampler


@given(length=st.integers(1, 40), batch_size=st.integers(1, 7), world=st.integers(1, 4), seed=st.integers(0, 99))
def test_all_processes_together_read_every_epoch_once(length: int, batch_size: int, world: int, seed: int) -> None:
    samplers = [ResumableSampler(length=length, batch_size=batch_size, seed=seed, rank=r, world=world) for r in range(world)]
    num_batches = -(-2 * length // (batch_size * world))
    stream = [i for step in range(num_batches) for sampler in samplers for i in sampler.batch(step)]
    assert sorted(stream[:length]) == list(range(length))
    assert sorted(stream[length : 2 * length]) == list(range(length))


def test_a_batch_does_not_depend_on_what_was_read_before() -> None:
    fresh = ResumableSampler(length=10, batch_size=3, seed=5)
    read = ResumableSampler(length=10, batch_size=3, seed=5)
    for step in range(7):
        read.batch(step)
    assert read.batch(7) == fresh.batch(7)


def test_epochs_and_seeds_differ() -> None:
    sampler = ResumableSampler(length=50, batch_size=50, seed=1)
    assert sampler.batch(0) != sampler.batch(1)
    assert sampler.batch(0) != ResumableSampler(length=50, batch_size=50, seed=2).batch(0)


def test_position_counts_epochs() -> None:
    sampler = ResumableSampler(length=10, batch_size=4, seed=0)
    assert [sampler.position(k) for k in (0, 2, 3, 5)] == [(0, 0), (0, 8), (1, 2), (2, 0)]


def test_another_order_is_refused_with_what_differs() -> None:
    saved = ResumableSampler(length=10, batch_size=4, seed=0).describe(3)
    ResumableSampler(length=10, batch_size=4, seed=0).require_same(saved, 3)
    with pytest.raises(TrainingError, match="batch_size 5 instead of 4"):
        ResumableSampler(length=10, batch_size=5, seed=0).require_same(saved, 3)
    with pytest.raises(TrainingError, match="world 2 instead of 1"):
        ResumableSampler(length=10, batch_size=4, seed=0, world=2).require_same(saved, 3)


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(ConfigError):
        ResumableSampler(length=0, batch_size=1, seed=0)
