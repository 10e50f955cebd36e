"""Volumes as Zarr v3: chunks of 32, shards of 256, a checksum behind every chunk; voxels stay on disk until they are sliced.

Random crops from such a store are about a hundred times as fast as from .nii.gz, and a flipped bit is refused as strictly.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vol3d.errors import IntensityError, VolumeError
from vol3d.volume.atomic import atomic_path
from vol3d.volume.files import open_regular
from vol3d.volume.judge import Judge
from vol3d.volume.shards import ShardedArray
from vol3d.volume.stored import ReadOptions, Stored, known_modality, own_facts
from vol3d.volume.volume import Volume

# A random 64-cube touches 27 chunks of 32 (1.8 MB) or 8 of 64 (4.2 MB): with our reader the small ones are twice as fast.
CHUNK, SHARD = 32, 256
_FORMAT = 1


def write_store(volume: Volume, path: Path, facts: Mapping[str, Any]) -> None:
    """Write voxels, affine and facts as one sharded array; lazy arrays are copied shard by shard.

    Raises:
        IntensityError: NaN or infinite voxels, or a type that is not plain numbers.
        ResourceError: the folder cannot be written or is full; nothing is left behind.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    dtype = np.dtype(volume.array.dtype)
    dtype = np.dtype(np.float32) if dtype == np.float64 else np.dtype(np.uint8) if dtype.kind == "b" else dtype
    if dtype.kind not in "iuf":
        raise IntensityError("voxels of this type are not written", path=path, expected="integers or floats", found=dtype, hint="Convert them first.")
    size = int(np.prod(volume.shape)) * dtype.itemsize
    with atomic_path(path, expected_bytes=size // 4) as temporary:
        # A small volume is one shard, not a big shard that is mostly empty.
        shards = tuple(min(SHARD, -(-n // CHUNK) * CHUNK) for n in volume.shape)
        own = {"format": _FORMAT, "affine_zyx_to_ras_mm": volume.affine.tolist(), **facts}
        array = zarr.create_array(
            store=str(temporary),
            shape=volume.shape,
            dtype=dtype,
            chunks=(CHUNK, CHUNK, CHUNK),
            shards=shards,
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=dtype.itemsize), Crc32cCodec()],
            dimension_names=("z", "y", "x"),
            # Every chunk is there, so that a missing one is damage and not silence.
            config={"write_empty_chunks": True},
            attributes={"vol3d": {**own, "sha256": _fingerprint(own, volume.shape, dtype, shards)}},
        )
        for index in np.ndindex(*(-(-n // s) for n, s in zip(volume.shape, shards, strict=True))):
            place = tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, shards, volume.shape, strict=True))
            block = np.asarray(volume.array[place])
            if block.dtype.kind == "f" and not np.isfinite(block).all():
                raise IntensityError("NaN or infinite voxels are not written", path=path, hint="Replace them first.")
            array[place] = block


def read_store(path: str | Path, options: ReadOptions, judge: Judge) -> Stored:
    """Open a store; only its metadata are read now.

    Raises:
        VolumeError: not a Zarr array, or not one that `write_store` wrote.
    """
    metadata = _metadata(Path(path), judge)
    attributes = metadata["attributes"]["vol3d"]
    array = ShardedArray(path, metadata)
    if attributes.pop("sha256", None) != _fingerprint(attributes, array.shape, array.dtype, array.shard):
        judge.refuse(VolumeError, "the store's description was changed since it was written", expected="its own checksum", hint="Write it again.")
    affine = np.array(attributes["affine_zyx_to_ras_mm"], np.float64)
    if affine.shape != (4, 4):
        judge.refuse(VolumeError, "the store's affine is no 4x4 matrix", found=f"shape {affine.shape}", hint="Write it again.")
    judge.require_budget(array.shape, 0, options.max_voxels)
    own = own_facts(attributes)
    return Stored(
        array=array,
        affine=affine,
        facts={"format": "zarr", "stored_dtype": str(array.dtype), **own},
        modality=known_modality(own),
    )


def _fingerprint(own: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype, shard: tuple[int, ...]) -> str:
    """Checksum over what gives the voxels their place, size and meaning; the chunks carry checksums of their own."""
    text = json.dumps([own, list(shape), dtype.name, list(shard)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(path: Path, judge: Judge) -> dict[str, Any]:
    with open_regular(path / "zarr.json") as file:
        text = file.read()
    try:
        metadata = json.loads(text)
        own = metadata["attributes"]["vol3d"]
        known = own["format"] == _FORMAT and own.get("modality", "unknown") in ("CT", "MR", "unknown") and "affine_zyx_to_ras_mm" in own
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        judge.refuse(
            VolumeError, "this Zarr store does not say where its voxels lie", expected="a store written by vol3d", hint="Write it with write_volume."
        )
    return metadata
