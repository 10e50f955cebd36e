"""All projectors: one call, the promised number of tokens, positions in millimetres."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vol3d.errors import ShapeError
from vol3d.vlm.projectors import MLPProjector, PoolProjector, QFormerProjector, ResamplerProjector, ScaleInvariantProjector
from vol3d.vlm.projectors.position import MillimetrePosition, grid_index, relative_mm

SMALL = {"hidden": 16, "num_heads": 2}
MAKERS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLPProjector(in_channels=3, width=8, hidden=16),
    "pool": lambda: PoolProjector(in_channels=3, width=8, hidden=16, stride=(2, 3, 2)),
    "resampler": lambda: ResamplerProjector(in_channels=3, width=8, num_queries=5, num_layers=2, **SMALL),
    "qformer": lambda: QFormerProjector(in_channels=3, width=8, num_queries=4, num_layers=3, **SMALL),
    "scale_invariant": lambda: ScaleInvariantProjector(in_channels=3, width=8, coarse=(2, 2, 2), num_layers=2, **SMALL),
}
each = pytest.mark.parametrize("name", MAKERS)


def _affine(spacing: float, origin: float = 0.0) -> torch.Tensor:
    out = torch.diag(torch.tensor([spacing, spacing, spacing, 1.0]))
    out[:3, 3] = origin
    return out[None]


def _signs(grid: tuple[int, int, int], batch: int = 1) -> torch.Tensor:
    return torch.randint(0, 2, (batch, 3, *grid), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0


@each
@settings(deadline=None, max_examples=15)
@given(grid=st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 5)), batch=st.integers(1, 3))
def test_number_of_tokens_is_as_promised(name: str, grid: tuple[int, int, int], batch: int) -> None:
    project = MAKERS[name]()
    out = project(_signs(grid, batch), _affine(4.0).expand(batch, 4, 4))
    assert out.shape == (batch, project.num_tokens(grid), 8)
    assert out.isfinite().all()


@each
def test_moving_the_patient_changes_nothing_and_spacing_does(name: str) -> None:
    torch.manual_seed(0)
    project, vectors = MAKERS[name]().double(), _signs((3, 4, 4))
    here = project(vectors, _affine(4.0))
    torch.testing.assert_close(project(vectors, _affine(4.0, origin=500.0)), here, rtol=0, atol=1e-6)
    assert (project(vectors, _affine(8.0)) - here).abs().max() > 1e-4


@each
def test_samples_do_not_mix_and_all_weights_learn(name: str) -> None:
    torch.manual_seed(0)
    project, vectors = MAKERS[name](), _signs((3, 4, 5), batch=2)
    both = project(vectors, _affine(4.0).expand(2, 4, 4))
    torch.testing.assert_close(project(vectors[1:], _affine(4.0))[0], both[1], rtol=1e-4, atol=1e-5)
    both.pow(2).sum().backward()
    assert not [n for n, p in project.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@each
def test_each_token_of_the_volume_matters(name: str) -> None:
    torch.manual_seed(0)
    project, vectors = MAKERS[name](), _signs((3, 4, 5)).requires_grad_()
    project(vectors, _affine(4.0)).pow(2).sum().backward()
    assert (vectors.grad.abs().sum(dim=1) > 0).all()


@each
def test_dtype_is_that_of_the_weights(name: str) -> None:
    assert MAKERS[name]().bfloat16()(_signs((2, 3, 2)), _affine(4.0)).dtype == torch.bfloat16


def test_positions_written_out() -> None:
    """Token (0, 0, 0) of a 3 x 1 x 5 grid at 2, 3, 4 mm, with z to superior (RAS 2) and x to right (RAS 0)."""
    affine = torch.zeros(1, 4, 4)
    affine[0, 2, 0], affine[0, 1, 1], affine[0, 0, 2] = 2.0, 3.0, 4.0
    position = relative_mm(affine, grid_index((3, 1, 5), torch.device("cpu")), (3, 1, 5))
    assert position[0, 0].tolist() == [-8.0, 0.0, -2.0]
    assert position[0, -1].tolist() == [8.0, 0.0, 2.0]


def test_pooled_tokens_stand_in_the_middle_of_what_exists() -> None:
    """Five tokens pooled by two: blocks (0, 1), (2, 3), (4)."""
    centres = PoolProjector(in_channels=1, width=4, stride=(2, 1, 1))._centres((5, 1, 1), torch.device("cpu"))
    assert centres[:, 0].tolist() == [0.5, 2.5, 4.0]


def test_pool_equals_a_matrix_product_over_each_block() -> None:
    torch.manual_seed(0)
    project = PoolProjector(in_channels=2, width=4, stride=(2, 2, 1), hidden=3)
    block = _signs((2, 2, 1))[:, :2]
    wanted = project.pool.weight.flatten(1) @ block.flatten() + project.pool.bias
    torch.testing.assert_close(project.pool(block).flatten(), wanted)


def test_position_embedding_tells_positions_apart() -> None:
    torch.manual_seed(0)
    out = MillimetrePosition(32)(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 6.0], [0.0, 6.0, 0.0]]]))[0]
    assert torch.cdist(out, out)[~torch.eye(3, dtype=torch.bool)].min() > 0.1


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="stride"):
        PoolProjector(in_channels=1, width=4, stride=(2, 0, 1))
    with pytest.raises(ShapeError, match="multiple"):
        ResamplerProjector(in_channels=1, width=4, hidden=10, num_heads=3)
