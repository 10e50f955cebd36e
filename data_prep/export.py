"""A store as WebDataset tars, for object stores and streaming loaders: `<key>.ct.npy`, `<key>.mask.npy`, `<key>.json`.

The same store gives the same bytes: members have no times and no owners, and shards are cut by count.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vol3d.contracts import Row
from vol3d.errors import ConfigError
from vol3d.volume.atomic import atomic_path
from vol3d.volume.judge import ACCEPTABLE
from vol3d.volume.manifest import mask_key, read_manifest
from vol3d.volume.read import read_mask, read_volume


def export_webdataset(store: str | Path, out: str | Path, *, split: str | None = None, per_shard: int = 64) -> list[Path]:
    """Write `<out>/<split>-000000.tar` and so on; shards that are there already are written anew.

    Raises:
        ConfigError: nothing to export, or shards of less than one series.
    """
    if per_shard < 1:
        raise ConfigError("a shard holds at least one series", found=per_shard)
    store, out = Path(store), Path(out)
    rows = read_manifest(store, split=split)
    if not rows:
        raise ConfigError("no series in this split", found=split)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name in sorted({row.split or "all" for row in rows}):
        chosen = [row for row in rows if (row.split or "all") == name]
        for start in range(0, len(chosen), per_shard):
            path = out / f"{name}-{start // per_shard:06d}.tar"
            _write_shard(store, chosen[start : start + per_shard], path)
            written.append(path)
    return written


def _write_shard(store: Path, rows: Sequence[Row], path: Path) -> None:
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows:
            volume = read_volume(store / row.path, modality=row.modality, accept=tuple(ACCEPTABLE))
            # WebDataset takes what stands before the first dot as the sample's key.
            key = row.series.replace(".", "_")
            _add(tar, f"{key}.ct.npy", _npy(volume.numpy()))
            mask, names = store / mask_key(row), {}
            if mask.exists():
                labels = read_mask(mask, accept=tuple(ACCEPTABLE))
                names = dict(labels.header.get("label_names", {}))
                _add(tar, f"{key}.mask.npy", _npy(labels.numpy()))
            facts = row.model_dump(mode="json") | {"affine_zyx_to_ras_mm": volume.affine.tolist(), "label_names": names}
            _add(tar, f"{key}.json", json.dumps(facts, ensure_ascii=False, sort_keys=True).encode())


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
