"""Codes as vectors, and codes as bytes: `num_bits` bits a token on disk, not an int64."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor

from tokenizers3d.errors import CheckpointError, ShapeError


def bits_to_codes(bits: Integer[Tensor, "b c z y x"]) -> Int32[Tensor, "b z y x"]:
    """Bits (0 or 1, most significant first) as one integer a token.

    >>> bits_to_codes(torch.tensor([1, 0, 1]).view(1, 3, 1, 1, 1)).item()
    5
    """
    codes = torch.zeros_like(bits[:, 0], dtype=torch.int32)
    for bit in bits.unbind(1):
        codes = codes * 2 + bit.int()
    return codes


def codes_to_signs(codes: Integer[Tensor, "b z y x"], num_bits: int) -> Float[Tensor, "b c z y x"]:
    """Codes as vectors of +-1, most significant bit first."""
    shifts = torch.arange(num_bits - 1, -1, -1, device=codes.device, dtype=torch.int32).view(1, -1, 1, 1, 1)
    return ((codes.int().unsqueeze(1) >> shifts) & 1).float() * 2 - 1


def codes_to_levels(codes: Integer[Tensor, "b z y x"], levels: Sequence[int]) -> Float[Tensor, "b c z y x"]:
    """Codes of finite scalar quantization as vectors in [-1, 1], first channel least significant (arXiv 2309.15505)."""
    rest, channels = codes.long(), []
    for level in levels:
        channels.append((rest % level - level // 2).float() / (level // 2))
        rest = rest // level
    return torch.stack(channels, 1)


def require_codes(codes: Integer[Tensor, "b z y x"], num_codes: int) -> None:
    """Refuse codes that the codebook does not have."""
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= num_codes:
        raise CheckpointError("codes outside the codebook", expected=f"0 to {num_codes - 1}", found=f"{low} to {high}")


def pack_codes(codes: Integer[np.ndarray, "*shape"], num_bits: int) -> bytes:
    """Codes in C order as a bit string, most significant bit first, padded with zeros to whole bytes.

    >>> len(pack_codes(np.arange(8), 18))
    18
    """
    if codes.size and (codes.min() < 0 or codes.max() >= 2**num_bits):
        raise ShapeError("codes do not fit their bits", expected=f"0 to {2**num_bits - 1}", found=f"{codes.min()} to {codes.max()}")
    shifts = np.arange(num_bits - 1, -1, -1)
    return np.packbits((codes.reshape(-1, 1) >> shifts & 1).astype(np.uint8)).tobytes()


def unpack_codes(packed: bytes, num_bits: int, shape: tuple[int, ...]) -> Int32[np.ndarray, "*shape2"]:
    """Inverse of `pack_codes`."""
    num_codes = int(np.prod(shape))
    if len(packed) != -(-num_codes * num_bits // 8):
        raise CheckpointError("packed codes of another length than their grid", expected=f"{-(-num_codes * num_bits // 8)} bytes", found=len(packed))
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=num_codes * num_bits).reshape(num_codes, num_bits)
    return (bits @ (1 << np.arange(num_bits - 1, -1, -1))).astype(np.int32).reshape(shape)
