import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experts3d.distance import contact_angle, surface_distance
from tests.experts3d.scenes import ellipsoid, labels_of, scan_of
from vol3d.contracts import Status

NAMES = {1: "pancreas_lesion", 2: "aorta"}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 12), st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3), st.integers(0, 2))
def test_two_blocks_are_as_far_apart_as_the_voxels_between_them(gap: int, spacing: tuple[float, float, float], axis: int):
    shape = [4, 4, 4]
    shape[axis] = 6 + gap
    array = np.zeros(shape, np.uint8)
    moved = np.moveaxis(array, axis, 0)
    moved[1:3], moved[3 + gap : 5 + gap] = 1, 2
    found = surface_distance(labels_of(scan_of(array, spacing), array, NAMES), "pancreas_lesion", "aorta")
    assert found.value == pytest.approx(gap * spacing[axis], abs=1e-4)


def test_overlapping_structures_have_no_distance():
    array = np.ones((2, 2, 2), np.uint8)
    labels = labels_of(scan_of(array), array, {1: "liver_tumour"}, unions={"liver": (1,)})
    assert surface_distance(labels, "liver_tumour", "liver").value == 0


@pytest.mark.parametrize(("wrapped", "low", "high"), [(90, 60, 135), (180, 150, 225), (360, 360, 360)])
def test_contact_angle_of_a_sleeve(wrapped: int, low: int, high: int):
    shape, spacing = (3, 61, 61), (2.0, 0.8, 0.8)
    vessel = ellipsoid((1, *shape[1:]), spacing, (1, 8, 8))[0]
    sleeve = ellipsoid((1, *shape[1:]), spacing, (1, 14, 14))[0] & ~vessel
    y, x = np.mgrid[-30:31, -30:31]
    sleeve &= (np.degrees(np.arctan2(y, x)) + 360) % 360 < wrapped
    array = np.zeros(shape, np.uint8)
    array[:, vessel] = 2
    array[1, sleeve] = 1
    found = contact_angle(labels_of(scan_of(array, spacing), array, NAMES), "pancreas_lesion", "aorta")
    assert low <= found.value <= high


def test_what_is_missing_is_said_and_not_measured():
    array = np.zeros((2, 2, 2), np.uint8)
    array[0] = 1
    labels = labels_of(scan_of(array), array, NAMES)
    for found in (surface_distance(labels, "pancreas_lesion", "aorta"), contact_angle(labels, "pancreas_lesion", "aorta")):
        assert found.value is None
        assert found.status is Status.ABSENT
    assert surface_distance(labels, "pancreas_lesion", "spleen").status is Status.NOT_COVERED
