"""Measurements against known geometry, and against slow but obvious formulas."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.spatial.distance import pdist

from experts3d.measure import measure
from tests.experts3d.scenes import ellipsoid, labels_of, scan_of, stored_as
from vol3d.contracts import Measurement, Status
from vol3d.errors import GeometryError
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume


def by_name(measurements: tuple[Measurement, ...], structure: str, component: int | None = None) -> dict[str, Measurement]:
    return {m.name: m for m in measurements if m.structure == structure and m.component == component}


def test_sphere_of_20_mm_has_its_volume_and_diameter():
    spacing = (1.5, 0.75, 0.75)
    ball = ellipsoid((24, 48, 48), spacing, (10, 10, 10), (0.3, 0.2, -0.1))
    scan = scan_of(np.where(ball, 80, 0).astype(np.int16), spacing)
    found = by_name(measure(scan, labels_of(scan, ball.astype(np.uint8), {1: "liver_tumour"})), "liver_tumour")
    assert found["volume"].value == pytest.approx(4.18879, rel=0.02)
    assert abs(found["longest_axial_diameter"].value - 20) <= 0.75
    assert abs(found["perpendicular_diameter"].value - 20) <= 0.75
    assert found["mean_intensity"].value == 80
    assert found["sd_intensity"].value == 0
    assert found["num_components"].value == 1


@pytest.mark.parametrize("radii", [(15.0, 12.0, 20.0), (9.0, 25.0, 10.0), (30.0, 8.0, 8.5)])
def test_ellipsoids_at_1_5_mm_stay_within_a_voxel_and_2_percent(radii: tuple[float, float, float]):
    spacing = (1.5, 1.5, 1.5)
    mask = ellipsoid((46, 46, 46), spacing, radii, (0.4, -0.3, 0.2))
    scan = scan_of(mask.astype(np.int16), spacing)
    found = by_name(measure(scan, labels_of(scan, mask.astype(np.uint8), {1: "liver_tumour"})), "liver_tumour")
    longest, across = 2 * max(radii[1:]), 2 * min(radii[1:])
    assert found["volume"].value == pytest.approx(4 / 3 * np.pi * np.prod(radii) / 1000, rel=0.02)
    assert abs(found["longest_axial_diameter"].value - longest) <= 1.5
    assert abs(found["perpendicular_diameter"].value - across) <= 1.5


def test_a_rectangle_has_its_diagonal_and_the_chord_across_it():
    mask = np.zeros((3, 9, 16), np.uint8)
    mask[1, 2:6, 3:8] = 1  # 3 x 4 mm between voxel centres: diagonal 5, and half a voxel
    scan = scan_of(mask.astype(np.int16))
    found = by_name(measure(scan, labels_of(scan, mask, {1: "liver"})), "liver")
    assert found["longest_axial_diameter"].value == pytest.approx(5.5)
    # Through a corner at right angles to the diagonal, up to the opposite long side: 3 * 5 / 4.
    assert found["perpendicular_diameter"].value == pytest.approx(3.75 + 0.5)
    assert found["longest_diameter_slice"].value == 1


def test_one_voxel_is_one_voxel_wide():
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[1, 1, 1] = 1
    scan = scan_of(mask.astype(np.int16), (5.0, 0.8, 0.8))
    found = by_name(measure(scan, labels_of(scan, mask, {1: "lung_nodule"})), "lung_nodule")
    assert found["longest_axial_diameter"].value == pytest.approx(0.8)
    assert found["perpendicular_diameter"].value == pytest.approx(0.8)
    assert found["extent_mm"].value == pytest.approx((5.0, 0.8, 0.8))


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.integers(0, 3)),
    st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 3.0])] * 3),
)
def test_all_numbers_equal_the_obvious_formulas(array: np.ndarray, spacing: tuple[float, float, float]):
    image = np.random.default_rng(array.size).integers(-1000, 1000, array.shape).astype(np.int16)
    scan = scan_of(image, spacing)
    measured = measure(scan, labels_of(scan, array, {1: "liver", 2: "spleen", 3: "liver_tumour"}))
    for label, name in ((1, "liver"), (2, "spleen"), (3, "liver_tumour")):
        mask = array == label
        found = by_name(measured, name)
        if not mask.any():
            assert found["volume"].value == 0
            assert found["volume"].status is Status.ABSENT
            continue
        num = ndimage.label(mask, np.ones((3, 3, 3)))[1]
        values = np.sort(image[mask])
        assert found["volume"].value == int(mask.sum()) * scan.voxel_ml
        assert found["num_components"].value == num
        assert found["mean_intensity"].value == pytest.approx(values.mean(), abs=1e-6)
        assert found["sd_intensity"].value == pytest.approx(values.std(), abs=1e-6)
        assert found["median_intensity"].value == values[int(np.ceil(0.5 * len(values))) - 1]
        assert found["p95_intensity"].value == values[int(np.ceil(0.95 * len(values) - 1e-9)) - 1]
        where = np.argwhere(mask)
        assert found["first_slice"].value == where[:, 0].min()
        assert found["last_slice"].value == where[:, 0].max()
        assert found["centroid_ras_mm"].value == pytest.approx(tuple((where.mean(axis=0) * spacing)[::-1]))
        half_voxel = 0.5 * (spacing[1] * spacing[2]) ** 0.5
        assert found["longest_axial_diameter"].value <= max(_longest(mask, spacing) + half_voxel, min(spacing[1:])) + 1e-9


def _longest(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    planes = [np.argwhere(plane) * spacing[1:] for plane in mask]
    return max((float(pdist(p).max()) for p in planes if len(p) > 1), default=0.0)


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(2, 9))), st.sampled_from([0.7, 1.0, 2.5]))
def test_longest_diameter_of_a_component_is_the_largest_distance_in_a_slice(mask: np.ndarray, step: float):
    num = ndimage.label(mask, np.ones((3, 3, 3)))[1]
    if num != 1:
        return
    scan = scan_of(mask.astype(np.int16), (1.0, step, 1.0))
    found = by_name(measure(scan, labels_of(scan, mask.astype(np.uint8), {1: "liver"})), "liver")
    assert found["longest_axial_diameter"].value == pytest.approx(max(_longest(mask, (1.0, step, 1.0)) + 0.5 * step**0.5, min(step, 1.0)))
    assert found["perpendicular_diameter"].value <= found["longest_axial_diameter"].value + 1e-9


def test_numbers_do_not_depend_on_how_the_file_is_stored():
    spacing = (3.0, 1.0, 0.8)
    mask = ellipsoid((12, 30, 26), spacing, (9, 6, 8), (2, -4, 2)).astype(np.uint8)
    image = np.random.default_rng(0).integers(-100, 200, mask.shape).astype(np.int16)
    scan = scan_of(image, spacing)
    expected = measure(scan, labels_of(scan, mask, {1: "liver_tumour"}))
    for flips in itertools.product((0, 1), repeat=3):
        turned, labels = stored_as(scan, mask, flips, (2, 0, 1))
        got = measure(turned, labels_of(turned, labels, {1: "liver_tumour"}))
        for a, b in zip(expected, got, strict=True):
            assert a.name == b.name
            assert a.value == pytest.approx(b.value, abs=1e-4) if not isinstance(a.value, str) else a.value == b.value


def test_components_come_largest_first_and_a_union_joins_touching_labels():
    array = np.zeros((6, 20, 20), np.uint8)
    array[1:5, 1:5, 1:5], array[2:4, 10:12, 10:12], array[2:4, 12:14, 10:12] = 1, 1, 2
    scan = scan_of(array.astype(np.int16))
    labels = labels_of(scan, array, {1: "liver_tumour", 2: "liver_cyst"}, unions={"liver_lesion": (1, 2)})
    measured = measure(scan, labels, ["liver_tumour", "liver_lesion"])
    assert [by_name(measured, "liver_tumour", c)["volume"].value for c in (1, 2)] == [0.064, 0.008]
    whole = by_name(measured, "liver_lesion")
    assert whole["num_components"].value == 2
    assert whole["volume"].value == 80 * scan.voxel_ml
    assert by_name(measured, "liver_lesion", 2)["volume"].value == 0.016


def test_side_comes_from_the_spine_or_is_not_known():
    array = np.zeros((4, 40, 60), np.uint8)
    array[:, 5:9, 38:42], array[:, 20:24, 5:9], array[:, 20:24, 54:58] = 1, 2, 3
    scan = scan_of(np.full(array.shape, 40, np.int16))  # a crop inside the body: no outline to find the midline from
    names = {1: "vertebrae_L1", 2: "lung_nodule", 3: "lymph_node"}
    measured = measure(scan, labels_of(scan, array, names))
    assert by_name(measured, "lung_nodule")["side"].value == "left"
    assert by_name(measured, "lymph_node")["side"].value == "right"
    without = measure(scan, labels_of(scan, array, {1: "aorta", 2: "lung_nodule", 3: "lymph_node"}))
    assert by_name(without, "lung_nodule")["side"].value is None
    assert by_name(without, "lung_nodule")["side"].status is Status.NOT_COVERED


def test_touching_the_border_is_said():
    array = np.zeros((5, 9, 9), np.uint8)
    array[0:2, 3:5, 3:5], array[2:4, 6:8, 6:8] = 1, 2
    scan = scan_of(array.astype(np.int16))
    measured = measure(scan, labels_of(scan, array, {1: "liver", 2: "spleen"}))
    assert by_name(measured, "liver")["touches_border"].value == 1
    assert by_name(measured, "spleen")["touches_border"].value == 0


def test_what_is_not_covered_gets_no_numbers():
    scan = scan_of(np.zeros((2, 3, 3), np.int16))
    labels = labels_of(scan, np.zeros((2, 3, 3), np.uint8), {1: "liver"}, statuses={"lungs": Status.NOT_COVERED, "spleen": Status.FAILED})
    measured = measure(scan, labels, ["liver", "lungs", "spleen", "heart"])
    assert {m.structure for m in measured} == {"liver"}
    assert all(m.status is Status.ABSENT and m.value == 0 for m in measured)


def test_labels_of_another_grid_are_refused():
    scan = scan_of(np.zeros((4, 5, 6), np.int16))
    other = Volume(np.zeros((4, 5, 6), np.uint8), make_affine((1.0, 1.0, 1.0), (30.0, 0.0, 0.0)), "unknown", "a.u.")
    with pytest.raises(GeometryError, match="another grid"):
        measure(scan, labels_of(other, other.array, {1: "liver"}))


def test_volumes_of_all_labels_of_a_real_slab_are_exact(shared_real):
    from experts3d.supplied import SuppliedMasks
    from vol3d.volume.read import read_mask, read_volume

    for kind, table in (("ct", "totalseg"), ("mr", "totalseg_mr")):
        scan = read_volume(shared_real / f"{kind}_abdomen_slab.nii.gz")
        stored = read_mask(shared_real / f"{kind}_abdomen_slab_totalseg.nii.gz").numpy()
        labels = SuppliedMasks(shared_real / f"{kind}_abdomen_slab_totalseg.nii.gz", labels=table).segment(scan)
        measured = measure(scan, labels)
        found = [i for i in np.unique(stored) if i]
        assert len(found) > 15
        for i in found:
            name = labels.names[int(i)]
            assert by_name(measured, name)["volume"].value == int((stored == i).sum()) * scan.voxel_ml
            assert by_name(measured, name)["mean_intensity"].value == pytest.approx(scan.numpy()[stored == i].mean(), abs=1e-4)
