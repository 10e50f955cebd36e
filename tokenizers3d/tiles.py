"""Grids too large for memory, cut in the plane: tiles of tokens, each encoded with a halo of neighbours that is dropped afterwards.

Unlike streaming along depth this is not exact: normalisation pools over the whole slice, and a tile has another mean than the slice.
`compare_tiled` measures what that changes, so that nobody has to guess; use tiles only where a slice does not fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.errors import ShapeError
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.types import Mode, TokenGrid


@dataclass(frozen=True, kw_only=True)
class TileSpec:
    """How slices are cut, in tokens.

    Args:
        tile: rows and columns that a tile contributes.
        halo: tokens around it that are computed too and dropped.
    """

    tile: tuple[int, int] = (32, 32)
    halo: int = 4

    def __post_init__(self) -> None:
        if min(self.tile) < 1 or self.halo < 0:
            raise ShapeError("tiles of at least one token and no negative halo", found=f"tile {self.tile}, halo {self.halo}")


@dataclass(frozen=True)
class TilingError:
    """What tiling changed: shares of flipped bits and of changed tokens, and the largest and mean change of a decoded voxel."""

    bits: float
    tokens: float
    max_voxel: float
    mean_voxel: float


def encode_tiled(tokenizer: Tokenizer, x: Float[Tensor, "b 1 z y x"], spec: TileSpec, mode: Mode | None = None) -> TokenGrid:
    """Tokens of volumes, tile by tile; the grid is that of `Tokenizer.encode`."""
    _, rows, columns = tokenizer.stride_vox
    whole: TokenGrid | None = None
    for tile in _tiles(x.shape[3:], (rows, columns), spec):
        part = tokenizer.encode(x[..., tile.rows.vox, tile.columns.vox], mode)
        if whole is None:
            whole = _empty_like(part, x.shape[0], tuple(x.shape[2:]))
        for own, other in ((whole.codes, part.codes), (whole.latents, part.latents)):
            if own is not None and other is not None:
                own[..., tile.rows.kept, tile.columns.kept] = other[..., tile.rows.inner, tile.columns.inner]
    assert whole is not None
    return whole


def decode_tiled(tokenizer: Tokenizer, grid: TokenGrid, spec: TileSpec) -> Float[Tensor, "b 1 z y x"]:
    """Voxels of a grid, tile by tile."""
    z, y, x = grid.shape_vox
    batch = grid.vectors().shape[0] if grid.codes is None else grid.codes.shape[0]
    volume = torch.empty(batch, 1, z, y, x)
    for tile in _tiles((y, x), grid.stride_vox[1:], spec):
        tokens = [None if t is None else t[..., tile.rows.halo, tile.columns.halo] for t in (grid.codes, grid.latents)]
        shape = (z, tile.rows.vox.stop - tile.rows.vox.start, tile.columns.vox.stop - tile.columns.vox.start)
        part = tokenizer.decode(replace(grid, codes=tokens[0], latents=tokens[1], shape_vox=shape), any_mode=True)
        volume[..., tile.rows.kept_vox, tile.columns.kept_vox] = part[..., tile.rows.inner_vox, tile.columns.inner_vox].cpu()
    return volume


def compare_tiled(tokenizer: Tokenizer, x: Float[Tensor, "b 1 z y x"], spec: TileSpec, mode: Mode | None = None) -> TilingError:
    """Encode and decode with and without tiles. Needs the memory that tiles save: run it on a crop."""
    plain, tiled = tokenizer.encode(x, mode), encode_tiled(tokenizer, x, spec, mode)
    changed = plain.vectors() != tiled.vectors()
    voxels = (tokenizer.decode(plain, any_mode=True) - decode_tiled(tokenizer, tiled, spec)).abs()
    return TilingError(changed.float().mean().item(), changed.any(1).float().mean().item(), voxels.max().item(), voxels.mean().item())


@dataclass(frozen=True)
class _Span:
    """One tile along one axis: `halo` tokens are computed from the voxels `vox`; of them `inner` land at `kept`."""

    kept: slice
    halo: slice
    stride: int
    size: int

    @property
    def inner(self) -> slice:
        return slice(self.kept.start - self.halo.start, self.kept.stop - self.halo.start)

    @property
    def vox(self) -> slice:
        return self._voxels(self.halo)

    @property
    def kept_vox(self) -> slice:
        return self._voxels(self.kept)

    @property
    def inner_vox(self) -> slice:
        return slice(self.kept_vox.start - self.vox.start, self.kept_vox.stop - self.vox.start)

    def _voxels(self, tokens: slice) -> slice:
        return slice(tokens.start * self.stride, min(tokens.stop * self.stride, self.size))


@dataclass(frozen=True)
class _Tile:
    rows: _Span
    columns: _Span


def _tiles(size: tuple[int, ...], stride: tuple[int, ...], spec: TileSpec) -> Iterator[_Tile]:
    for rows in _spans(size[0], stride[0], spec.tile[0], spec.halo):
        for columns in _spans(size[1], stride[1], spec.tile[1], spec.halo):
            yield _Tile(rows, columns)


def _spans(size: int, stride: int, tile: int, halo: int) -> Iterator[_Span]:
    count = -(-size // stride)
    for start in range(0, count, tile):
        stop = min(start + tile, count)
        yield _Span(slice(start, stop), slice(max(0, start - halo), min(count, stop + halo)), stride, size)


def _empty_like(part: TokenGrid, batch: int, shape_vox: tuple[int, ...]) -> TokenGrid:
    """A grid of the whole volume to be filled, with the facts of a part."""
    rows, columns = (-(-n // s) for n, s in zip(shape_vox[1:], part.stride_vox[1:], strict=True))
    tokens = [None if t is None else t.new_zeros((*t.shape[:-2], rows, columns)) for t in (part.codes, part.latents)]
    return replace(part, codes=tokens[0], latents=tokens[1], shape_vox=(shape_vox[0], shape_vox[1], shape_vox[2]))
