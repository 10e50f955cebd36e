"""Shapes against their formulas, and the deformation against its inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vol3d.volume.phantom.build import draw_build, draw_warp
from vol3d.volume.phantom.canvas import Canvas
from vol3d.volume.phantom.physics import correlated_noise, lattice_texture
from vol3d.volume.phantom.shapes import Capsule, Ellipsoid, Tube, smooth_tube

AXIS = np.arange(-40, 40, 1.0)
Z, Y, X = np.meshgrid(AXIS, AXIS, AXIS, indexing="ij")


@pytest.mark.parametrize(
    ("shape", "volume"),
    [
        (Ellipsoid((0.0, 1.0, 2.0), (20.0, 12.0, 9.0)), 4 / 3 * np.pi * 20 * 12 * 9),
        (Ellipsoid((0.0, 1.0, 2.0), (20.0, 12.0, 9.0), (20.0, -30.0, 50.0)), 4 / 3 * np.pi * 20 * 12 * 9),
        (Capsule((0.0, 0.0, -15.0), (0.0, 0.0, 15.0), 8.0, 8.0), np.pi * 64 * 30 + 4 / 3 * np.pi * 512),
    ],
)
def test_volumes_and_boxes(shape, volume):
    inside = shape.inside(X, Y, Z)
    assert inside.sum() == pytest.approx(volume, rel=0.02)
    low, high = shape.bounds()
    for axis, values in enumerate((X, Y, Z)):
        held = values[inside]
        assert low[axis] - 1e-6 <= held.min() < low[axis] + 1.5
        assert high[axis] - 1.5 < held.max() <= high[axis] + 1e-6


def test_a_smooth_tube_passes_through_its_points():
    points = ((0.0, 0.0, 0.0), (10.0, 5.0, 0.0), (20.0, 0.0, 8.0))
    tube = smooth_tube(points, (3.0, 4.0, 2.0), pieces=4)
    assert isinstance(tube, Tube)
    assert len(tube.points) == 9
    for point in points:
        assert np.linalg.norm(np.array(tube.points) - point, axis=1).min() < 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 100))
def test_the_warp_and_its_inverse_agree(seed, point_seed):
    warp = draw_warp(draw_build(seed))
    points = np.random.default_rng(point_seed).uniform(-250, 250, (50, 3))
    assert np.abs(warp.points(warp.inverse(points)) - points).max() < 0.05
    assert np.abs(warp.inverse(points, steps=2) - warp.inverse(points)).max() < 0.5


def test_the_grid_holds_what_the_warp_says_of_its_points():
    warp = draw_warp(draw_build(3))
    canvas = Canvas((5, 6, 7), (11.0, 13.0, 17.0), (-50.0, -30.0, 10.0), warp)
    x, y, z = canvas.axes
    world = np.stack(np.broadcast_arrays(x[None, None, :], y[None, :, None], z[:, None, None]), axis=-1).reshape(-1, 3)
    got = np.stack([canvas.x, canvas.y, canvas.z], axis=-1).reshape(-1, 3)
    assert np.abs(got - warp.points(world)).max() < 1e-3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.tuples(*[st.floats(-60, 60)] * 3), st.floats(4, 30))
def test_a_painted_shape_lies_wholly_in_its_box(seed, centre, radius):
    """Painting inside the box equals painting on the whole grid."""
    warp = draw_warp(draw_build(seed))
    canvas = Canvas((30, 30, 30), (5.0, 5.0, 5.0), (-72.0, -72.0, -72.0), warp)
    ball = Ellipsoid(centre, (radius, radius * 0.7, radius), (0.0, 20.0, 10.0))
    canvas.paint(ball, 1, 100.0)
    assert np.array_equal(canvas.labels == 1, ball.inside(canvas.x, canvas.y, canvas.z))


def test_texture_is_fixed_in_space_and_noise_has_its_sd():
    coarse, fine = np.arange(-100, 100, 10.0), np.arange(-100, 100, 5.0)
    a, b = (lattice_texture((axis, axis, axis), np.random.default_rng(0), pitch_mm=12.0) for axis in (coarse, fine))
    assert np.allclose(a, b[::2, ::2, ::2], atol=1e-4)
    assert correlated_noise((40, 60, 60), np.random.default_rng(1), sd=7.0).std() == pytest.approx(7.0, rel=0.03)
