import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizers3d.errors import ShapeError
from tokenizers3d.haar import haar, haar_pairs, unhaar, unhaar_pairs


@given(k=st.integers(0, 4), y=st.integers(1, 5), x=st.integers(1, 5), channels=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_the_inverse_is_exact(k: int, y: int, x: int, channels: int) -> None:
    volume = torch.randn(2, channels, 2 * k + 1, 2 * y, 2 * x, dtype=torch.float64)
    assert (unhaar(haar(volume)) - volume).abs().max() < 1e-15 * 100


def test_integers_survive_exactly() -> None:
    volume = torch.randint(-1024, 3072, (1, 1, 9, 8, 8)).float()
    assert torch.equal(unhaar(haar(volume)), volume)


def test_bands_of_a_known_block() -> None:
    block = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]).view(1, 1, 2, 2, 2)
    assert haar_pairs(block).flatten().tolist() == [4.5, -0.5, -1.0, 0.0, -2.0, 0.0, 0.0, 0.0]


def test_the_first_slice_stands_alone() -> None:
    volume = torch.randn(1, 1, 5, 4, 4)
    changed = volume.clone()
    changed[:, :, 1:] += 1
    assert torch.equal(haar(volume)[:, :, 0], haar(changed)[:, :, 0])
    assert torch.equal(haar(volume)[:, :, 0], haar(volume[:, :, :1])[:, :, 0])


def test_pairs_continue_the_stream() -> None:
    volume = torch.randn(1, 1, 9, 4, 4)
    assert torch.equal(torch.cat([haar(volume[:, :, :3]), haar_pairs(volume[:, :, 3:])], 2), haar(volume))


@pytest.mark.parametrize("shape", [(1, 1, 4, 4, 4), (1, 1, 5, 3, 4), (1, 1, 5, 4, 3)])
def test_sizes_that_do_not_pair_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        haar(torch.zeros(shape))


def test_bands_that_are_not_eight_are_refused() -> None:
    with pytest.raises(ShapeError, match="8 bands"):
        unhaar_pairs(torch.zeros(1, 7, 1, 2, 2))
