"""Tokens on disk: `num_bits` bits a token, with grid, geometry, mode, the tokenizer's id, and whatever else was known.

    vol3d encode SCAN tokens.safetensors

The file is a safetensors file: `codes`, bytes of a bit string in C order (or `latents`), and the facts as JSON metadata; its content hash is
checked when it is read.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokenizers3d.codes import pack_codes, unpack_codes
from tokenizers3d.errors import CheckpointError
from tokenizers3d.types import TokenGrid
from tokenizers3d.weights import read_tensors, write_tensors

_FORMAT = "tokens3d 1"
_FACTS = ("num_bits", "stride_vox", "shape_vox", "mode", "tokenizer_id", "levels")


def write_tokens(path: str | Path, grid: TokenGrid, *, provenance: dict[str, Any] | None = None) -> None:
    """Write a grid, whole or not at all."""
    facts: dict[str, Any] = {name: getattr(grid, name) for name in _FACTS}
    facts |= {"batch": 1 if grid.codes is None else grid.codes.shape[0], "affine": None if grid.affine is None else grid.affine.tolist()}
    if grid.codes is not None:
        packed = pack_codes(grid.codes.cpu().numpy(), grid.num_bits)
        tensors = {"codes": torch.from_numpy(np.frombuffer(packed, np.uint8).copy())}
    else:
        assert grid.latents is not None
        tensors = {"latents": grid.latents.float()}
    write_tensors(path, tensors, {"format": _FORMAT, "grid": facts, "provenance": provenance or {}})


def read_tokens(path: str | Path) -> tuple[TokenGrid, dict[str, Any]]:
    """A grid and its provenance; damaged files and files of another kind are refused."""
    tensors, metadata = read_tensors(path)
    facts = metadata.get("grid")
    if metadata.get("format") != _FORMAT or not isinstance(facts, dict) or set(tensors) not in ({"codes"}, {"latents"}):
        raise CheckpointError("not a file of tokens", path=path, expected=_FORMAT, found=metadata.get("format"), hint="Make one with vol3d encode.")
    try:
        return _grid(tensors, facts), metadata.get("provenance", {})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("a file of tokens that contradicts itself", path=path, found=str(error)) from error


def _grid(tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> TokenGrid:
    stride, shape = tuple(facts["stride_vox"]), tuple(facts["shape_vox"])
    codes = None
    if "codes" in tensors:
        tokens = (1 - (1 - shape[0]) // stride[0], -(-shape[1] // stride[1]), -(-shape[2] // stride[2]))
        unpacked = unpack_codes(tensors["codes"].numpy().tobytes(), facts["num_bits"], (facts["batch"], *tokens))
        codes = torch.from_numpy(unpacked)
    affine = facts["affine"]
    return TokenGrid(
        codes=codes,
        latents=tensors.get("latents"),
        num_bits=facts["num_bits"],
        stride_vox=stride,
        shape_vox=shape,
        mode=facts["mode"],
        tokenizer_id=facts["tokenizer_id"],
        levels=None if facts["levels"] is None else tuple(facts["levels"]),
        affine=None if affine is None else np.asarray(affine, np.float64),
    )
