import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizers3d.conftest import make_tokenizer, random_volume
from tokenizers3d.errors import ShapeError
from tokenizers3d.tiles import TileSpec, compare_tiled, decode_tiled, encode_tiled


@given(y=st.integers(1, 40), x=st.integers(1, 40), rows=st.integers(1, 6), columns=st.integers(1, 6), halo=st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_every_token_and_voxel_is_filled_once(y: int, x: int, rows: int, columns: int, halo: int) -> None:
    tokenizer, volume = make_tokenizer(), random_volume(1, 2, y, x)
    grid = encode_tiled(tokenizer, volume, TileSpec(tile=(rows, columns), halo=halo))
    plain = tokenizer.encode(volume)
    assert (grid.shape, grid.shape_vox, grid.tokenizer_id) == (plain.shape, plain.shape_vox, plain.tokenizer_id)
    assert decode_tiled(tokenizer, grid, TileSpec(tile=(rows, columns), halo=halo)).isfinite().all()


@pytest.mark.parametrize("mode", ["stream", "windowed"])
def test_one_tile_is_no_tiling(mode: str) -> None:
    tokenizer, volume = make_tokenizer(), random_volume(1, 17, 24, 32)
    error = compare_tiled(tokenizer, volume, TileSpec(tile=(3, 4), halo=0), mode)
    assert (error.bits, error.tokens, error.max_voxel) == (0, 0, 0)


def test_without_normalisation_a_halo_makes_tiles_exact() -> None:
    """Shows that normalisation alone stands between tiles and exactness: with it made local, a wide halo leaves rounding."""
    volume = random_volume(1, 9, 16, 192, dtype=torch.float64)
    narrow_differs = []
    for seed in range(4):
        tokenizer = make_tokenizer(seed=seed).double()
        for module in tokenizer.modules():
            if type(module).__name__ == "SliceNorm":
                module.forward = lambda x: x / 4
        plain = tokenizer.encode(volume).vectors()
        narrow, wide = (encode_tiled(tokenizer, volume, TileSpec(tile=(2, 8), halo=h)).vectors() for h in (0, 8))
        assert torch.equal(wide, plain)
        narrow_differs.append(not torch.equal(narrow, plain))
    # With some weights no sign turns at the seams, so that one draw alone could show nothing.
    assert any(narrow_differs)


def test_the_error_of_tiling_is_measured() -> None:
    error = compare_tiled(make_tokenizer(), random_volume(1, 9, 64, 64), TileSpec(tile=(4, 4), halo=2))
    assert 0 < error.bits < 0.5
    assert error.bits <= error.tokens <= 1
    assert 0 < error.mean_voxel <= error.max_voxel


def test_nonsense_tiles_are_refused() -> None:
    with pytest.raises(ShapeError):
        TileSpec(tile=(0, 4))
    with pytest.raises(ShapeError):
        TileSpec(halo=-1)
