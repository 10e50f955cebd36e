"""Zarr stores: slices equal numpy's, zarr-python reads the same, and the array travels to workers."""

import copy
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vol3d.scans import ct
from vol3d.errors import VolumeError
from vol3d.volume.geometry import make_affine
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

SHAPE = (70, 300, 130)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.int16)
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    write_volume(Volume(values, make_affine((2.0, 1.0, 1.0)), "MR", "a.u."), path)
    return path, values


@st.composite
def _indexes(draw: st.DrawFn) -> tuple[int | slice, ...]:
    out: list[int | slice] = []
    for size in SHAPE[: draw(st.integers(1, 3))]:
        if draw(st.booleans()):
            out.append(draw(st.integers(-size, size - 1)))
        else:
            ends = st.one_of(st.none(), st.integers(-size - 3, size + 3))
            out.append(slice(draw(ends), draw(ends), draw(st.sampled_from([None, 1, 2, 7, -1, -3]))))
    return tuple(out)


@given(index=_indexes())
@settings(max_examples=60, deadline=None)
def test_slices_equal_those_of_numpy(stored: tuple[Path, np.ndarray], index: tuple[int | slice, ...]) -> None:
    path, values = stored
    found = read_volume(path).array[index]
    assert found.shape == values[index].shape
    assert np.array_equal(found, values[index])


def test_zarr_python_reads_the_same(stored: tuple[Path, np.ndarray]) -> None:
    path, values = stored
    other = zarr.open_array(store=str(path), mode="r")
    assert np.array_equal(other[:], values)
    assert other.metadata.dimension_names == ("z", "y", "x")


def test_ellipsis_crop_canonical_and_copies(stored: tuple[Path, np.ndarray]) -> None:
    path, values = stored
    scan = read_volume(path)
    assert np.array_equal(scan.array[..., 5], values[..., 5])
    assert np.array_equal(scan.crop((3, 4, 5), (9, 8, 7)).numpy(), values[3:9, 4:8, 5:7])
    assert np.array_equal(scan.canonical().numpy(), values)
    assert np.array_equal(copy.deepcopy(scan.array)[2], values[2])
    with pytest.raises(IndexError):
        scan.array[70]


def test_background_is_written_so_that_its_loss_shows(tmp_path: Path) -> None:
    write_volume(Volume(np.zeros((64, 64, 64), np.uint8), make_affine((2.0, 1.0, 1.0)), "unknown", "a.u."), tmp_path / "m.zarr")
    assert not read_volume(tmp_path / "m.zarr").numpy().any()
    (tmp_path / "m.zarr" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(VolumeError, match="cannot be read"):
        read_volume(tmp_path / "m.zarr").numpy()


def test_modality_and_geometry_come_back(tmp_path: Path) -> None:
    write_volume(ct(), tmp_path / "a.zarr")
    scan = read_volume(tmp_path / "a.zarr")
    assert (scan.modality, scan.unit) == ("CT", "HU")
    assert np.array_equal(scan.affine, ct().affine)
