"""The built-in CT expert on phantoms with exact masks, on shapes that it must not be fooled by, and on real scans."""

import numpy as np
import pytest

from experts3d.threshold_ct import TARGETS, ThresholdCT
from tests.experts3d.scenes import ellipsoid, scan_of, stored_as
from vol3d.contracts import LabelMap, Status
from vol3d.errors import ExpertError
from vol3d.volume.phantom import phantom_ct
from vol3d.volume.volume import Volume

SPACING = (4.0, 3.0, 3.0)


def torso(*, lungs: bool = True, bowel: bool = False, contrast: bool = False) -> Volume:
    """A barrel of muscle with a spine, and in it two lungs with a trachea between them, or bowel gas."""
    shape, spacing = (40, 90, 120), SPACING
    image = np.full(shape, -1000.0)
    body = ellipsoid((1, 90, 120), spacing, (1, 110, 160))[0]
    image[:, body] = 40
    image[:, ellipsoid((1, 90, 120), spacing, (1, 104, 154))[0] ^ body] = -100
    spine = ellipsoid((1, 90, 120), spacing, (1, 20, 20), (0, -75, 0))[0]
    image[:, spine] = 600
    image[:, ellipsoid((1, 90, 120), spacing, (1, 15, 15), (0, -75, 0))[0]] = 200
    image[:, :8, :] = np.where(body[:8], image[:, :8, :], -1000)
    if lungs:
        for x in (-70, 70):
            image[ellipsoid(shape, spacing, (200, 70, 50), (0, 0, x))] = -850
        image[20:, ellipsoid((1, 90, 120), spacing, (1, 9, 9), (0, -20, 0))[0]] = -1000
    if bowel:
        image[ellipsoid(shape, spacing, (30, 30, 35), (0, 40, 30))] = -1000
    if contrast:
        image[:, ellipsoid((1, 90, 120), spacing, (1, 15, 15), (0, -40, -10))[0]] = 220
    image += np.random.default_rng(0).normal(0, 8, shape)
    return scan_of(image.astype(np.int16), spacing)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def segment(scan: Volume, *targets: str) -> LabelMap:
    return ThresholdCT().segment(scan, targets)


def test_phantom_masks_agree_with_the_truth():
    phantom = phantom_ct(3, shape_zyx=(96, 112, 112), spacing_mm=(4.0, 3.5, 3.5))
    labels = segment(phantom.volume)
    least = {"body": 0.98, "lung_left": 0.93, "lung_right": 0.93, "bone": 0.7, "fat": 0.85, "soft_tissue": 0.85, "airway": 0.7}
    for name, value in least.items():
        assert dice(labels.mask(name), phantom.labels.mask(name)) >= value, name


def test_left_is_the_patients_left_however_the_scan_is_stored():
    scan = torso()
    expected = segment(scan)
    x = np.argwhere(expected.mask("lung_left"))[:, 2].mean()
    assert x < np.argwhere(expected.mask("lung_right"))[:, 2].mean()  # canonical x grows to the right
    turned, array = stored_as(scan, expected.array, (1, 0, 1), (1, 2, 0))
    assert (segment(turned).array == array).mean() > 0.999


def test_every_structure_of_a_chest_is_found():
    labels = segment(torso())
    assert {
        name: str(labels.statuses[name]) for name in ("body", "lung_left", "lung_right", "airway", "bone", "fat", "soft_tissue")
    } == dict.fromkeys(("body", "lung_left", "lung_right", "airway", "bone", "fat", "soft_tissue"), "found")
    assert labels.status("calcification") is Status.ABSENT
    trachea = ellipsoid((1, 90, 120), SPACING, (1, 9, 9), (0, -20, 0))
    assert dice(labels.mask("airway"), np.repeat(trachea, 40, axis=0) & (np.arange(40) >= 20)[:, None, None]) > 0.7


def test_bowel_gas_is_no_lung_and_a_field_of_view_without_lungs_is_not_covered():
    labels = segment(torso(lungs=False, bowel=True))
    for name in ("lungs", "lung_left", "lung_right", "lung_aerated", "airway"):
        assert labels.statuses[name] is Status.NOT_COVERED
        assert labels.reasons[name]
        assert not labels.mask(name).any()
    assert labels.status("body") is Status.FOUND


def test_the_table_is_no_body_and_gas_inside_is():
    scan = torso(bowel=True, lungs=False)
    image = scan.numpy().copy()
    image[:, 2:4, 10:110] = 100  # a thin table under the patient
    body = segment(scan.with_array(image)).mask("body")
    assert not body[:, 2:4, 10:30].any()
    assert body[20, 58, 68]


def test_contrast_is_not_called_calcification():
    labels = segment(torso(contrast=True), "calcification", "bone")
    assert labels.statuses["calcification"] is Status.NOT_COVERED
    assert "contrast" in labels.reasons["calcification"]


def test_small_bright_spots_deep_inside_are_calcification():
    scan = torso()
    image = scan.numpy().copy()
    image[10:12, 45:47, 60:62] = 500
    labels = segment(scan.with_array(image), "calcification")
    assert labels.statuses["calcification"] is Status.FOUND
    assert labels.mask("calcification")[10:12, 45:47, 60:62].all()


def test_a_crop_inside_the_chest_keeps_its_lungs():
    whole = torso()
    crop = whole.crop((4, 20, 20), (36, 75, 100))
    expected, got = segment(whole), segment(crop)
    for name in ("lung_left", "lung_right"):
        assert dice(got.mask(name), expected.mask(name)[4:36, 20:75, 20:100]) > 0.95
    assert got.mask("body").mean() > 0.95


def test_fine_voxels_and_odd_sizes_work():
    scan = torso()
    fine = np.repeat(np.repeat(scan.numpy(), 3, axis=1), 3, axis=2)[:, :-1, :-2]
    volume = scan_of(fine, (4.0, 1.0, 1.0))
    labels = segment(volume, "lungs")
    coarse = segment(scan, "lungs")
    assert labels.array.shape == fine.shape
    assert labels.mask("lungs").sum() / 9 == pytest.approx(coarse.mask("lungs").sum(), rel=0.03)


def test_air_alone_is_not_covered_and_nothing_crashes():
    for value in (-1000, 40):
        labels = segment(scan_of(np.full((6, 20, 20), value, np.int16), SPACING))
        assert set(labels.statuses) == set(TARGETS)
        assert labels.status("lungs") is Status.NOT_COVERED
    one_slice = segment(scan_of(torso().numpy()[20:21], SPACING))
    assert one_slice.status("body") is Status.FOUND


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ExpertError, match="no such target"):
        segment(torso(), "liver")
    with pytest.raises(ExpertError, match="Hounsfield"):
        segment(scan_of(np.zeros((2, 4, 4), np.int16), modality="MR"))


@pytest.mark.parametrize(
    ("file", "covered", "missing"),
    [
        ("ct_torso.nii.gz", ("body", "bone", "lung_left", "lung_right"), ("airway",)),
        ("ct_abdomen_slab.nii.gz", ("body", "bone", "lung_left", "lung_right"), ("airway",)),
        ("ct_chest_crop.nii.gz", ("lung_left", "lung_right", "airway", "bone"), ("calcification",)),
        ("ct_dicom", ("body", "bone"), ("lungs", "airway", "calcification")),
    ],
)
def test_real_scans(shared_real, file: str, covered: tuple[str, ...], missing: tuple[str, ...]):
    from vol3d.volume.read import read_volume

    labels = segment(read_volume(shared_real / file))
    assert {name: str(labels.status(name)) for name in covered} == dict.fromkeys(covered, "found")
    assert {name: str(labels.status(name)) for name in missing} == dict.fromkeys(missing, "not_covered")


def test_lungs_agree_with_totalsegmentator_on_a_real_slab(shared_real):
    from experts3d.supplied import SuppliedMasks
    from vol3d.volume.read import read_volume

    scan = read_volume(shared_real / "ct_abdomen_slab.nii.gz")
    truth = SuppliedMasks(shared_real / "ct_abdomen_slab_totalseg.nii.gz", labels="totalseg").segment(scan)
    labels = segment(scan)
    assert dice(labels.mask("lung_left"), truth.mask("lung_left")) > 0.85
    assert dice(labels.mask("lung_right"), truth.mask("lung_right")) > 0.85
