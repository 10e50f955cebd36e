"""TokenGrid: the tokens of a volume, and where each of them lies."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer
from torch import Tensor

from tokenizers3d.codes import codes_to_levels, codes_to_signs, require_codes
from tokenizers3d.errors import ShapeError

Mode = Literal["stream", "windowed"]


@dataclass(frozen=True)
class TokenGrid:
    """Tokens of a batch of volumes on a grid `z y x`; either `codes` or `latents`.

    Token `(k, j, i)` covers rows `j * stride` to `(j + 1) * stride - 1`, columns likewise, and in depth slice 0 for `k = 0`, else the
    `stride` slices that end with slice `k * stride`: the first slice stands alone.

    Args:
        codes: one integer a token; None for a tokenizer without a codebook.
        latents: real vectors of such a tokenizer.
        num_bits: bits that a code takes.
        stride_vox: voxels a token along z y x.
        shape_vox: the volume's own size; what was padded to fill the last tokens is cropped when decoding.
        mode: how it was encoded; `stream` and `windowed` give different codes.
        tokenizer_id: name and content hash of the encoder that made it; empty where unknown.
        levels: values of each channel for finite scalar quantization; None means signs.
        affine: maps the volume's `(z, y, x, 1)` voxel indices to RAS mm.

    >>> import torch
    >>> grid = TokenGrid(torch.full((1, 1, 2, 2), 5), None, 3, (8, 8, 8), (1, 16, 16))
    >>> grid.vectors()[0, :, 0, 0, 0].tolist(), grid.centres_vox()[0].tolist()
    ([1.0, -1.0, 1.0], [0.0])
    """

    codes: Integer[Tensor, "b z y x"] | None
    latents: Float[Tensor, "b c z y x"] | None
    num_bits: int
    stride_vox: tuple[int, int, int]
    shape_vox: tuple[int, int, int]
    mode: Mode = "stream"
    tokenizer_id: str = ""
    levels: tuple[int, ...] | None = None
    affine: Float[np.ndarray, "4 4"] | None = None

    def __post_init__(self) -> None:
        if (self.codes is None) == (self.latents is None):
            raise ShapeError("a token grid holds codes or latents, one of them")
        depth, rows, columns = self.stride_vox
        z, y, x = self.shape_vox
        expected = (1 - (1 - z) // depth, -(-y // rows), -(-x // columns))
        if self.shape != expected:
            raise ShapeError("tokens do not cover the volume that they claim", expected=f"grid {expected} for {self.shape_vox}", found=self.shape)
        if self.codes is not None:
            require_codes(self.codes, self.num_codes)

    @property
    def num_codes(self) -> int:
        """Size of the codebook."""
        return 2**self.num_bits if self.levels is None else int(np.prod(self.levels))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tokens along z y x."""
        tokens = self.latents if self.codes is None else self.codes
        assert tokens is not None
        z, y, x = tokens.shape[-3:]
        return z, y, x

    @property
    def num_tokens(self) -> int:
        """Tokens of one volume."""
        return int(np.prod(self.shape))

    @property
    def bits_per_voxel(self) -> float:
        """Stored bits over voxels of the volume."""
        return self.num_tokens * self.num_bits / float(np.prod(self.shape_vox))

    def vectors(self) -> Float[Tensor, "b c z y x"]:
        """Tokens as vectors: signs +-1, levels in [-1, 1], or the latents themselves; float32."""
        if self.codes is None:
            assert self.latents is not None
            return self.latents.float()
        return codes_to_signs(self.codes, self.num_bits) if self.levels is None else codes_to_levels(self.codes, self.levels)

    def centres_vox(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centre of each token along z, y and x, in voxels of the volume."""
        depth, rows, columns = self.stride_vox
        z = np.arange(self.shape[0]) * depth - (depth - 1) / 2
        z[0] = 0
        return z, np.arange(self.shape[1]) * rows + (rows - 1) / 2, np.arange(self.shape[2]) * columns + (columns - 1) / 2

    def centres_mm(self) -> Float[np.ndarray, "z y x 3"]:
        """Centre of each token in RAS mm."""
        if self.affine is None:
            raise ShapeError("these tokens carry no affine", hint="Encode with affine=volume.affine.")
        vox = np.stack(np.meshgrid(*self.centres_vox(), indexing="ij"), -1)
        return vox @ self.affine[:3, :3].T + self.affine[:3, 3]

    def with_codes(self, codes: Integer[Tensor, "b z y x"]) -> "TokenGrid":
        """The same grid with other codes."""
        return replace(self, codes=codes)

    def to(self, device: Any) -> "TokenGrid":
        """The same tokens on another device."""
        return replace(
            self,
            codes=None if self.codes is None else self.codes.to(device),
            latents=None if self.latents is None else self.latents.to(device),
        )
