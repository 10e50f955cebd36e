"""Slices of a sharded Zarr v3 array straight from its files: index once, one read per chunk, each checksum checked.

zarr-python reads the same files; this thin reader exists because its asynchronous layer costs four times as long per crop as
the decoding itself. Layout: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc

from vol3d.errors import VolumeError

_AGAIN = "It is damaged or incomplete: write it again."
_CRC_BYTES = 4
_INDEX_CODECS = ["bytes", "crc32c"]
_CHUNK_CODECS = ["bytes", "blosc", "crc32c"]


class ShardedArray:
    """A `z y x` array on disk; slicing reads the chunks that are touched, nothing is kept but the shards' indexes.

    It holds paths and numbers only, so it can be sent to worker processes.
    """

    def __init__(self, path: str | Path, metadata: Mapping[str, Any]) -> None:
        """Take the content of `zarr.json`.

        Raises:
            VolumeError: another layout than the one that `write_store` uses.
        """
        self.path = Path(path)
        try:
            self.shape, self.dtype, self.shard, self._chunk = _layout(metadata)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise VolumeError("this Zarr array has a layout that is not read", path=self.path, found=repr(error), hint=_AGAIN) from error
        self._indexes: dict[tuple[int, ...], list[Any]] = {}
        self._chunk_voxels = int(np.prod(self._chunk))
        self._stored_dtype = self.dtype.newbyteorder("<")

    @property
    def ndim(self) -> int:
        """Always 3."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray | np.generic:
        """Voxels of a slice.

        Raises:
            VolumeError: a chunk that is missing or damaged.
        """
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = (*given[:at], *[slice(None)] * (self.ndim + 1 - len(given)), *given[at + 1 :])
        if len(given) > self.ndim or not all(isinstance(g, int | np.integer | slice) for g in given):
            raise IndexError(f"an array with {self.ndim} axes takes whole numbers and slices, got {index!r}")
        given = (*given, *[slice(None)] * (self.ndim - len(given)))
        ranges = [_range(g, n) for g, n in zip(given, self.shape, strict=True)]
        # Chunks are read forwards over the span; a step or a direction is taken from that.
        spans = [(min(r, default=0), max(r, default=-1) + 1) for r in ranges]
        block = self._read(spans)
        local = tuple(_local(g, r, low) for g, r, (low, _) in zip(given, ranges, spans, strict=True))
        for axis in reversed(range(self.ndim)):
            block = block[(slice(None),) * axis + (local[axis],)]
        return block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype=dtype)

    def _read(self, spans: list[tuple[int, int]]) -> np.ndarray:
        out = np.empty([stop - start for start, stop in spans], self.dtype)
        if out.size == 0:
            return out
        for shard in itertools.product(*(range(a // s, -(-b // s)) for (a, b), s in zip(spans, self.shard, strict=True))):
            self._read_shard(shard, spans, out)
        return out

    def _read_shard(self, shard: tuple[int, ...], spans: list[tuple[int, int]], out: np.ndarray) -> None:
        file = self.path.joinpath("c", *map(str, shard))
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError as error:
            raise VolumeError("a part of the Zarr store cannot be read", path=file, found=error.strerror, hint=_AGAIN) from error
        try:
            index = self._index(descriptor, shard, file)
            axes = [_pieces(i * s, s, c, span) for i, s, c, span in zip(shard, self.shard, self._chunk, spans, strict=True)]
            for (k, from_z, to_z), (j, from_y, to_y), (i, from_x, to_x) in itertools.product(*axes):
                voxels = self._decode(descriptor, index[k][j][i], file)
                out[to_z, to_y, to_x] = voxels[from_z, from_y, from_x]
        finally:
            os.close(descriptor)

    def _index(self, descriptor: int, shard: tuple[int, ...], file: Path) -> list[Any]:
        if shard not in self._indexes:
            counts = tuple(s // c for s, c in zip(self.shard, self._chunk, strict=True))
            size = 16 * int(np.prod(counts)) + _CRC_BYTES
            end = os.fstat(descriptor).st_size
            raw = os.pread(descriptor, size, max(0, end - size))
            if len(raw) != size or not _checked(raw):
                raise VolumeError("the index of a shard is damaged", path=file, hint=_AGAIN)
            # Lists of plain integers: one crop looks up dozens of entries, and numpy is slow at single numbers.
            self._indexes[shard] = np.frombuffer(raw[:-_CRC_BYTES], "<u8").reshape(*counts, 2).astype(np.int64).tolist()
        return self._indexes[shard]

    def _decode(self, descriptor: int, entry: Sequence[int], file: Path) -> np.ndarray:
        offset, size = entry
        if offset < 0:
            # All ones mark a chunk that was never written; `write_store` writes every one.
            raise VolumeError("a chunk is missing", path=file, hint=_AGAIN)
        raw = os.pread(descriptor, size, offset)
        packed = raw[:-_CRC_BYTES]
        if len(raw) != size or google_crc32c.value(packed) != int.from_bytes(raw[-_CRC_BYTES:], "little"):
            raise VolumeError("a chunk is damaged (wrong checksum)", path=file, hint=_AGAIN)
        voxels = np.frombuffer(blosc.decompress(packed), self._stored_dtype)
        if voxels.size != self._chunk_voxels:
            raise VolumeError("a chunk has a wrong size", path=file, hint=_AGAIN)
        return voxels.reshape(self._chunk)


def _pieces(start: int, length: int, chunk: int, span: tuple[int, int]) -> list[tuple[int, slice, slice]]:
    """Along one axis of a shard: (chunk's place in the shard, its voxels that are wanted, where they go)."""
    low, high = max(span[0], start), min(span[1], start + length)
    out = []
    for place in range((low - start) // chunk, -(-(high - start) // chunk)):
        first = start + place * chunk
        a, b = max(low, first), min(high, first + chunk)
        out.append((place, slice(a - first, b - first), slice(a - span[0], b - span[0])))
    return out


def _range(given: Any, size: int) -> range:
    if isinstance(given, slice):
        return range(*given.indices(size))
    index = int(given) + (size if given < 0 else 0)
    if not 0 <= index < size:
        raise IndexError(f"index {given} is out of range for an axis of {size}")
    return range(index, index + 1)


def _local(given: Any, wanted: range, low: int) -> Any:
    """What was asked for along one axis, counted from the first voxel that was read."""
    if not isinstance(given, slice):
        return wanted[0] - low
    return slice(None) if given.step in (None, 1) else np.array(wanted, np.intp) - low


def _checked(raw: bytes) -> bool:
    return google_crc32c.value(raw[:-_CRC_BYTES]) == int.from_bytes(raw[-_CRC_BYTES:], "little")


def _layout(metadata: Mapping[str, Any]) -> tuple[tuple[int, ...], np.dtype, tuple[int, ...], tuple[int, ...]]:
    """Shape, type, shard and chunk of a `zarr.json`, where all else in it is as `write_store` writes it."""
    (sharding,) = metadata["codecs"]
    inner = sharding["configuration"]
    codecs = [codec["name"] for codec in inner["codecs"]]
    if codecs != _CHUNK_CODECS or [codec["name"] for codec in inner["index_codecs"]] != _INDEX_CODECS or inner["index_location"] != "end":
        raise ValueError(f"codecs {codecs}")
    if metadata["chunk_key_encoding"] != {"name": "default", "configuration": {"separator": "/"}}:
        raise ValueError("chunk_key_encoding")
    shape, shard, chunk = (
        tuple(int(n) for n in sizes) for sizes in (metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"], inner["chunk_shape"])
    )
    if not len(shape) == len(shard) == len(chunk) == 3 or min(*shape, *shard, *chunk) < 1 or any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise ValueError(f"shape {shape}, shard {shard}, chunk {chunk}")
    dtype = np.dtype(metadata["data_type"])
    if dtype.kind not in "iuf":
        raise ValueError(f"data_type {dtype}")
    return shape, dtype, shard, chunk
