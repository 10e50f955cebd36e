import itertools

import pytest
import torch

from tokenizers3d.codes import codes_to_levels
from tokenizers3d.errors import ShapeError
from tokenizers3d.quantizers import FSQ, Identity


@pytest.mark.parametrize("levels", [(3, 3), (8, 5, 5), (2, 7), (4,)])
def test_codes_give_their_vectors_back(levels: tuple[int, ...]) -> None:
    latents = torch.randn(2, len(levels), 3, 5, 5, generator=torch.Generator().manual_seed(1)) * 3
    vectors, codes = FSQ(levels)(latents)
    assert torch.allclose(codes_to_levels(codes, levels), vectors)
    assert codes.max() < torch.tensor(levels).prod()


def test_every_code_is_reached() -> None:
    levels = (3, 4)
    grid = torch.tensor(list(itertools.product(torch.linspace(-4, 4, 60).tolist(), repeat=2))).T.reshape(1, 2, 1, 60, 60)
    assert sorted(FSQ(levels)(grid)[1].unique().tolist()) == list(range(12))


def test_gradients_pass_the_rounding() -> None:
    latents = torch.zeros(1, 2, 1, 1, 1, requires_grad=True)
    FSQ((5, 5))(latents)[0].sum().backward()
    assert (latents.grad > 0.5).all()


def test_bits_of_a_code() -> None:
    assert FSQ((8, 8)).num_bits == 6
    assert FSQ((3, 3)).num_bits == 4


def test_nonsense_levels_are_refused() -> None:
    with pytest.raises(ShapeError):
        FSQ(())
    with pytest.raises(ShapeError):
        FSQ((1, 4))


def test_identity_passes_latents() -> None:
    latents = torch.randn(1, 4, 1, 2, 2)
    assert Identity(4)(latents) == (latents, None)
