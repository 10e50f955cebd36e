import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizers3d.codes import bits_to_codes, codes_to_signs, pack_codes, unpack_codes
from tokenizers3d.errors import CheckpointError, ShapeError
from tokenizers3d.types import TokenGrid


def grid_of(codes: torch.Tensor, **changes: object) -> TokenGrid:
    z, y, x = codes.shape[1:]
    facts = {"num_bits": 18, "stride_vox": (8, 8, 8), "shape_vox": ((z - 1) * 8 + 1, y * 8, x * 8)}
    return TokenGrid(codes, None, **{**facts, **changes})


@given(num_bits=st.integers(1, 30), seed=st.integers(0, 1000), count=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_packed_codes_come_back(num_bits: int, seed: int, count: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 2**num_bits, count).astype(np.int32)
    packed = pack_codes(codes, num_bits)
    assert len(packed) == -(-count * num_bits // 8)
    assert (unpack_codes(packed, num_bits, (count,)) == codes).all()


def test_a_known_bit_string() -> None:
    assert pack_codes(np.array([0b101, 0b011]), 3) == bytes([0b10101100])


def test_codes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        pack_codes(np.array([8]), 3)
    with pytest.raises(CheckpointError, match="another length"):
        unpack_codes(b"abc", 18, (2,))


def test_signs_and_codes_are_inverse() -> None:
    codes = torch.randint(0, 2**18, (2, 3, 4, 5), dtype=torch.int32)
    assert torch.equal(bits_to_codes((codes_to_signs(codes, 18) > 0).int()), codes)


def test_vectors_of_a_grid() -> None:
    vectors = grid_of(torch.full((1, 2, 1, 1), 2**17, dtype=torch.int32)).vectors()
    assert vectors.shape == (1, 18, 2, 1, 1)
    assert vectors.dtype == torch.float32
    assert vectors[0, :, 1, 0, 0].tolist() == [1.0] + [-1.0] * 17


def test_grids_that_lie_are_refused() -> None:
    codes = torch.zeros(1, 2, 2, 2, dtype=torch.int32)
    with pytest.raises(ShapeError, match="do not cover"):
        grid_of(codes, shape_vox=(18, 16, 16))
    with pytest.raises(CheckpointError, match="outside the codebook"):
        grid_of(codes + 2**18)
    with pytest.raises(CheckpointError, match="outside the codebook"):
        grid_of(codes - 1)
    with pytest.raises(ShapeError, match="codes or latents"):
        TokenGrid(None, None, 18, (8, 8, 8), (9, 8, 8))


def test_centres_put_the_first_slice_alone() -> None:
    z, y, x = grid_of(torch.zeros(1, 3, 2, 1, dtype=torch.int32)).centres_vox()
    assert z.tolist() == [0, 4.5, 12.5]
    assert y.tolist() == [3.5, 11.5]
    assert x.tolist() == [3.5]
    with pytest.raises(ShapeError, match="no affine"):
        grid_of(torch.zeros(1, 1, 1, 1, dtype=torch.int32)).centres_mm()


def test_rate() -> None:
    grid = grid_of(torch.zeros(1, 2, 2, 2, dtype=torch.int32))
    assert grid.bits_per_voxel == pytest.approx(8 * 18 / (9 * 16 * 16))
