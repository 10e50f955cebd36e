"""Resampling: half-pixel convention against torch, places kept in world coordinates, integers rounded and saturated."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tests.vol3d.scans import ct
from vol3d.errors import ConfigError, GeometryError
from vol3d.volume.geometry import make_affine
from vol3d.volume.resample import resample, resample_like
from vol3d.volume.volume import Volume

Shape = tuple[int, int, int]


def _noise(shape: Shape, dtype: type = np.float32) -> Volume:
    values = np.random.default_rng(0).normal(0, 300, shape).astype(dtype)
    return Volume(values, make_affine((2.0, 1.0, 0.8), (3.0, -7.0, 5.0)), "MR", "a.u.")


def _corners(volume: Volume) -> np.ndarray:
    """World coordinates of the outer corners of the first and the last voxel."""
    return np.array([(volume.affine @ [-0.5, -0.5, -0.5, 1])[:3], (volume.affine @ [*(np.array(volume.shape) - 0.5), 1])[:3]])


@pytest.mark.parametrize("shape", [(40, 50, 60), (12, 20, 31), (12, 21, 30), (13, 20, 30)])
def test_enlarging_equals_torch(shape: Shape) -> None:
    scan = _noise((12, 20, 30))
    ours = resample(scan, shape=shape).array
    theirs = functional.interpolate(torch.from_numpy(scan.array)[None, None], size=shape, mode="trilinear")[0, 0].numpy()
    assert np.abs(ours - theirs).max() < 0.01


def test_shrinking_equals_torch_antialias() -> None:
    scan = _noise((6, 40, 64))
    ours = resample(scan, shape=(6, 17, 25)).array
    theirs = functional.interpolate(torch.from_numpy(scan.array)[None], size=(17, 25), mode="bilinear", antialias=True)[0].numpy()
    assert np.abs(ours - theirs).max() < 0.01


def test_nearest_equals_torch_nearest_exact() -> None:
    scan = _noise((12, 20, 30), np.int16)
    ours = resample(scan, shape=(7, 33, 90), mode="nearest").array
    theirs = functional.interpolate(torch.from_numpy(scan.array.astype(np.float32))[None, None], size=(7, 33, 90), mode="nearest-exact")[0, 0].numpy()
    assert np.array_equal(ours, theirs)
    assert ours.dtype == np.int16


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), target=st.tuples(*[st.integers(1, 25)] * 3))
@settings(max_examples=40, deadline=None)
def test_corners_stay_and_constants_stay(shape: Shape, target: Shape) -> None:
    scan = _noise(shape).with_array(np.full(shape, -37, np.int16))
    out = resample(scan, shape=target)
    assert np.allclose(_corners(out), _corners(scan), atol=1e-6)
    assert (out.array == -37).all()


@given(spacing=st.tuples(*[st.floats(0.4, 6.0)] * 3))
@settings(max_examples=30, deadline=None)
def test_spacing_is_kept_exactly_and_first_corner_too(spacing: tuple[float, float, float]) -> None:
    scan = _noise((12, 20, 30))
    out = resample(scan, spacing_mm=spacing)
    assert np.allclose(out.spacing_mm, spacing, atol=1e-6)
    assert np.allclose(_corners(out)[0], _corners(scan)[0], atol=1e-6)
    assert (np.abs(_corners(out)[1] - _corners(scan)[1]) <= 0.5 * np.array(out.spacing_mm[::-1]) + 1e-6).all() or min(out.shape) == 1


def test_a_ramp_is_still_the_same_ramp_in_the_world() -> None:
    z, y, x = np.mgrid[:20, :24, :28].astype(np.float32)
    scan = Volume(3 * z + 2 * y + x, make_affine((2.0, 1.0, 1.5)), "MR", "a.u.")
    # A triangle sampled at a few voxels is off by less than a tenth of one; without shrinking there is no error.
    for spacing, tolerance in (((1.0, 0.7, 0.9), 1e-3), ((4.0, 2.0, 4.5), 1e-3), ((3.0, 2.5, 4.0), 0.3)):
        out = resample(scan, spacing_mm=spacing)
        index = np.stack(np.meshgrid(*map(np.arange, out.shape), indexing="ij"), -1).reshape(-1, 3)
        world = out.affine @ np.c_[index, np.ones(len(index))].T
        back = (np.linalg.inv(scan.affine) @ world)[:3].reshape(3, *out.shape)
        inner = (slice(2, -2),) * 3
        assert np.abs(out.array - (3 * back[0] + 2 * back[1] + back[2]))[inner].max() < tolerance


def test_integers_are_rounded_without_bias() -> None:
    scan = ct((30, 60, 60))
    exact = resample(scan.with_array(scan.array.astype(np.float32)), spacing_mm=(3.0, 1.0, 2.2)).array
    ours = resample(scan, spacing_mm=(3.0, 1.0, 2.2)).array
    assert ours.dtype == np.int16
    assert np.array_equal(ours, np.rint(exact))


def test_integers_saturate_and_never_wrap() -> None:
    values = np.where(np.indices((8, 8, 8)).sum(0) % 2, 32767, -32768).astype(np.int16)
    out = resample(ct().with_array(values, affine=make_affine((1.0, 1.0, 1.0))), shape=(8, 11, 13)).array
    assert out.min() >= -32768
    bytes_ = resample(ct().with_array(np.full((4, 4, 4), 255, np.uint8), affine=make_affine((1.0, 1.0, 1.0))), shape=(9, 9, 9)).array
    assert (bytes_ == 255).all()


def test_shrinking_removes_what_the_new_grid_cannot_hold() -> None:
    stripes = np.tile(np.array([0.0, 100.0], np.float32), 32)[None, None].repeat(4, 0).repeat(4, 1)
    scan = Volume(stripes, make_affine((1.0, 1.0, 1.0)), "MR", "a.u.")
    out = resample(scan, shape=(4, 4, 13)).array
    # Point sampling would keep stripes of full contrast; their mean is 50.
    assert np.abs(out - 50).max() < 15


def test_like_its_own_grid_is_the_identity_in_every_orientation() -> None:
    scan = _noise((9, 11, 13))
    turned = scan.with_array(scan.array.transpose(2, 0, 1)[:, ::-1], affine=_flip(scan.affine[:, [2, 0, 1, 3]], 1, 9))
    assert np.allclose(resample_like(turned, scan).array, scan.array, atol=1e-3)
    assert np.allclose(resample_like(scan, turned).array, turned.array, atol=1e-3)
    assert np.array_equal(resample_like(turned, scan, mode="nearest").array, scan.array)


def _flip(affine: np.ndarray, axis: int, size: int) -> np.ndarray:
    out = affine.copy()
    out[:3, 3] += out[:3, axis] * (size - 1)
    out[:3, axis] *= -1
    return out


def test_oblique_grid_finds_the_same_places() -> None:
    z, y, x = np.mgrid[:40, :50, :60].astype(np.float32)
    scan = Volume(3 * z + 2 * y + x, make_affine((2.0, 2.0, 2.0), (5.0, -7.0, 3.0)), "MR", "a.u.")
    angle = np.radians(17)
    affine = make_affine((2.0, 2.0, 2.0), (40.0, 20.0, 30.0))
    affine[:3, :3] = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ affine[:3, :3]
    fixed = Volume(np.zeros((12, 12, 12), np.float32), affine, "MR", "a.u.")
    index = np.stack(np.meshgrid(*[np.arange(12)] * 3, indexing="ij"), -1).reshape(-1, 3)
    place = (np.linalg.inv(scan.affine) @ affine @ np.c_[index, np.ones(len(index))].T)[:3].reshape(3, 12, 12, 12)
    out = resample_like(scan, fixed)
    assert np.abs(out.array - (3 * place[0] + 2 * place[1] + place[2])).max() < 0.01
    labels = resample_like(scan.with_array((scan.array > 100).astype(np.uint8)), fixed, mode="nearest")
    assert labels.array.dtype == np.uint8
    assert set(np.unique(labels.array)) <= {0, 1}


def test_outside_is_air_for_ct_and_zero_for_labels() -> None:
    scan = ct()
    away = scan.affine.copy()
    away[:3, 3] += 1000
    fixed = scan.with_array(scan.array, affine=away)
    assert (resample_like(scan, fixed).array == -1024).all()
    assert (resample_like(scan, fixed, mode="nearest").array == 0).all()


def test_lazy_array_is_only_sliced_by_slabs() -> None:
    class Lazy:
        """Counts the slices that are ever held at once."""

        def __init__(self, array: np.ndarray) -> None:
            self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

        def __getitem__(self, index: slice) -> np.ndarray:
            out = self.array[index]
            self.most = max(self.most, len(out))
            return out

    deep = Lazy(np.zeros((400, 256, 256), np.int16))
    out = resample(Volume(deep, make_affine((1.0, 1.0, 1.0)), "CT", "HU"), spacing_mm=(2.0, 2.0, 2.0))
    assert out.shape == (200, 128, 128)
    assert deep.most < 150


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="either"):
        resample(ct())
    with pytest.raises(GeometryError, match="positive"):
        resample(ct(), spacing_mm=(1.0, 0.0, 1.0))
    with pytest.raises(GeometryError, match="positive"):
        resample(ct(), shape=(1, 0, 1))
