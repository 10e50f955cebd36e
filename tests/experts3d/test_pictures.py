"""Pictures of masks: the right side at the left edge, square pixels, colours that keep their meaning, small lesions that stay visible."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experts3d.keyslices import KeySlice, key_slices
from experts3d.palette import colour_of
from experts3d.render import overlay, png, recipe_of
from tests.experts3d.scenes import labels_of, scan_of, stored_as
from vol3d.volume.intensity import RECIPES


def scene() -> tuple:
    array = np.zeros((6, 20, 30), np.uint8)
    array[1:5, 2:8, 3:9], array[2:4, 12:18, 20:28], array[3, 14, 22] = 1, 2, 3
    scan = scan_of(np.full(array.shape, 40, np.int16), (4.0, 1.0, 1.0))
    return scan, labels_of(scan, array, {1: "spleen", 2: "liver_parenchyma", 3: "liver_tumour"}, unions={"liver": (2, 3)})


def where(picture, structure: str) -> np.ndarray:
    return np.argwhere((picture.rgb == picture.colours[structure]).all(axis=-1))


def test_the_patients_right_is_at_the_left_edge_and_front_is_up():
    scan, labels = scene()
    picture = overlay(scan, labels, KeySlice("axial", 3, ("spleen", "liver")))
    rows, columns = where(picture, "liver").mean(axis=0) / picture.rgb.shape[:2]
    assert columns < 0.4  # the liver lies on the patient's right
    assert rows < 0.4  # and in front
    assert (where(picture, "spleen").mean(axis=0) / picture.rgb.shape[:2] > 0.5).all()


def test_upper_slices_are_at_the_top_and_pixels_are_square():
    array = np.zeros((10, 20, 30), np.uint8)
    array[8, 5:9, 5:9] = 1
    scan = scan_of(np.zeros(array.shape, np.int16), (4.0, 1.0, 1.0))
    for plane, index, size in (("coronal", 6, (400, 300)), ("sagittal", 6, (400, 200))):
        picture = overlay(scan, labels_of(scan, array, {1: "liver"}), KeySlice(plane, index, ("liver",)), longest_px=400)
        assert picture.rgb.shape[:2] == size
        assert where(picture, "liver")[:, 0].max() < 100


def test_a_lesion_is_drawn_over_its_organ_even_when_it_is_one_voxel():
    scan, labels = scene()
    for names in (("liver", "liver_tumour"), ("liver_tumour", "liver")):
        picture = overlay(scan, labels, KeySlice("axial", 3, names), longest_px=90)
        assert len(where(picture, "liver_tumour")) >= 4
        assert picture.structures[-1] == "liver_tumour"


def test_one_colour_per_name_whatever_else_is_drawn():
    scan, labels = scene()
    alone = overlay(scan, labels, KeySlice("axial", 3, ("liver",)))
    both = overlay(scan, labels, KeySlice("axial", 3, ("spleen", "liver", "liver_tumour")))
    assert alone.colours["liver"] == both.colours["liver"] == colour_of("liver")


def test_png_keeps_every_pixel():
    from PIL import Image

    scan, labels = scene()
    picture = overlay(scan, labels, KeySlice("axial", 3, ("liver", "liver_tumour")))
    assert (np.asarray(Image.open(io.BytesIO(png(picture)))) == picture.rgb).all()


def test_key_slices_show_lesions_first_and_do_not_depend_on_storage():
    scan, labels = scene()
    keys = key_slices(labels, ["spleen", "liver", "liver_tumour"])
    assert [(key.plane, key.index) for key in keys] == [("axial", 3), ("coronal", 14), ("sagittal", 22)]
    turned, array = stored_as(scan, labels.array, (1, 1, 0), (2, 1, 0))
    assert key_slices(labels_of(turned, array, dict(labels.names), unions=dict(labels.unions)), ["spleen", "liver", "liver_tumour"]) == keys


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_every_structure_is_on_a_slice_when_there_are_slices_enough(num: int, seed: int):
    array = np.random.default_rng(seed).integers(0, num + 1, (4, 5, 6)).astype(np.uint8)
    names = {i: f"structure_{i}" for i in range(1, num + 1)}
    labels = labels_of(scan_of(array.astype(np.int16)), array, names)
    keys = key_slices(labels, per_plane=num)
    for i, name in names.items():
        assert (array == i).any() == any(name in key.structures for key in keys if key.plane == "axial")


def test_windows_follow_what_is_drawn():
    scan, _ = scene()
    assert recipe_of(scan, ["lung_left", "airway"]) == "ct_lung"
    assert recipe_of(scan, ["vertebrae_L1", "rib_left_3"]) == "ct_bone"
    assert recipe_of(scan, ["liver", "lung_left"]) == "ct_soft"
    assert recipe_of(scan_of(np.zeros((2, 2, 2), np.int16), modality="MR"), ["liver"]) in RECIPES


def test_a_slice_without_structures_is_a_plain_picture():
    scan, labels = scene()
    picture = overlay(scan, labels, KeySlice("axial", 0, ()))
    assert (picture.rgb == picture.rgb[..., :1]).all()
    assert picture.structures == ()
    with pytest.raises(IndexError):
        overlay(scan, labels, KeySlice("axial", 99, ()))
