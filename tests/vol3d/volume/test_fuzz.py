"""Bytes changed at random: every reader reads or refuses with a hint, and nothing else ever comes out of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.vol3d.scans import ct, dicom, mha, nifti, nrrd
from vol3d.errors import Vol3dError
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.write import write_volume

_ROUNDS = 60


def _mutate(data: bytes, limit: int, rng: np.random.Generator) -> bytes:
    """One to three bits flipped, bytes replaced, cut out or put in, within the first `limit` bytes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        kind, place = int(rng.integers(4)), int(rng.integers(min(limit, len(out))))
        if kind == 0:
            out[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[place] = int(rng.choice([0, 32, 45, 57, 127, 128, 255]))
        elif kind == 2:
            del out[place : place + int(rng.integers(1, 9))]
        else:
            out[place:place] = rng.integers(0, 256, int(rng.integers(1, 5)), np.uint8).tobytes()
    return bytes(out)


def _read_or_refuse(path: Path, reader: Callable[[Path], object]) -> bool:
    refusal: Vol3dError | None = None
    try:
        reader(path)
    except Vol3dError as error:
        refusal = error
    if refusal is not None:
        assert refusal.hint
        assert "\n" not in str(refusal)
    return refusal is None


RAW = ct().array.tobytes()
FILES: dict[str, tuple[Callable[[Path], Path], int]] = {
    "nifti header": (nifti, 420),
    "nrrd header": (lambda f: nrrd(f, encoding="raw", data=RAW), 300),
    "mha header": (lambda f: mha(f, CompressedData="False", data=RAW), 330),
    "gzip header": (lambda f: nifti(f, "a.nii.gz"), 40),
    "nrrd anywhere": (nrrd, 10**9),
    "mha anywhere": (mha, 10**9),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(2))
def test_files(name: str, seed: int, tmp_path: Path) -> None:
    build, limit = FILES[name]
    path = build(tmp_path)
    data = path.read_bytes()
    rng = np.random.default_rng(seed)
    for _ in range(_ROUNDS):
        path.write_bytes(_mutate(data, limit, rng))
        _read_or_refuse(path, read_volume)
        _read_or_refuse(path, read_mask)


def test_dicom_headers(tmp_path: Path) -> None:
    series = dicom(tmp_path, num_slices=4)
    files = sorted(series.iterdir())
    rng = np.random.default_rng(0)
    for _ in range(_ROUNDS):
        path = files[int(rng.integers(len(files)))]
        data = path.read_bytes()
        path.write_bytes(_mutate(data, 1100, rng))
        _read_or_refuse(series, read_volume)
        path.write_bytes(data)


@pytest.mark.parametrize("part", ["zarr.json", "c/0/0/0"])
def test_stores_are_read_right_or_not_at_all(part: str, tmp_path: Path) -> None:
    write_volume(ct(), tmp_path / "a.zarr")
    path = tmp_path / "a.zarr" / part
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(2 * _ROUNDS):
        path.write_bytes(_mutate(data, 10**9, rng))
        if _read_or_refuse(tmp_path / "a.zarr", lambda store: read_volume(store).numpy()):
            read = read_volume(tmp_path / "a.zarr")
            assert np.array_equal(read.numpy(), ct().array)
            assert np.array_equal(read.affine, ct().affine)
