"""Windows and stitching are inverse; padding is known; every voxel is in a window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vol3d.errors import ConfigError, ShapeError
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.windows import WindowSpec, stitch, windows

Triple = tuple[int, int, int]


def _scan(shape: Triple, dtype: type = np.int16) -> Volume:
    return Volume(np.random.default_rng(0).integers(-1000, 1000, shape).astype(dtype), make_affine((2.0, 1.0, 1.0)), "CT", "HU")


@st.composite
def _specs(draw: st.DrawFn) -> WindowSpec:
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    z, y, x = (draw(st.integers(0, n - 1)) for n in shape)
    return WindowSpec(shape, (z, y, x), draw(st.sampled_from(["edge", -1024])))


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), spec=_specs(), dtype=st.sampled_from([np.int16, np.float32]))
@settings(max_examples=80, deadline=None)
def test_stitch_undoes_windows(shape: Triple, spec: WindowSpec, dtype: type) -> None:
    scan = _scan(shape, dtype)
    pieces = list(windows(scan, spec))
    assert len(pieces) == int(np.prod(spec.counts(shape)))
    assert {piece.array.shape for piece in pieces} == {spec.shape}
    out = stitch(pieces, shape)
    assert out.dtype == dtype
    assert np.array_equal(out, scan.array)


def test_padding_is_remembered_and_dropped() -> None:
    scan = _scan((10, 8, 8))
    last = list(windows(scan, WindowSpec((8, 8, 8), pad=-1024)))[-1]
    assert last.origin_vox == (8, 0, 0)
    assert last.valid == (2, 8, 8)
    assert (last.array[2:] == -1024).all()
    assert np.array_equal(last.content, scan.array[8:])
    edge = list(windows(scan, WindowSpec((8, 8, 8))))[-1]
    assert (edge.array[2:] == scan.array[-1]).all()


def test_overlaps_are_blended_without_a_seam() -> None:
    scan = _scan((4, 4, 16))
    left, right = windows(scan, WindowSpec((4, 4, 10), overlap=(0, 0, 4)))
    zeros, ones = left.with_array(np.zeros((4, 4, 10), np.float32)), right.with_array(np.ones((4, 4, 10), np.float32))
    profile = stitch([zeros, ones], scan.shape)[0, 0]
    assert (profile[:6] == 0).all()
    assert (profile[10:] == 1).all()
    assert (np.diff(profile[5:11]) > 0).all()


def test_gaps_and_nonsense_are_refused() -> None:
    scan = _scan((8, 8, 8))
    pieces = list(windows(scan, WindowSpec((4, 8, 8))))
    with pytest.raises(ShapeError, match="256 voxels"):
        stitch(pieces[:1], scan.shape)
    with pytest.raises(ShapeError, match="do not cover"):
        stitch([], scan.shape)
    with pytest.raises(ConfigError, match="overlap"):
        WindowSpec((4, 4, 4), overlap=(4, 0, 0))
