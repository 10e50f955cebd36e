import numpy as np
import pytest

from vol3d.errors import IntensityError
from vol3d.vlm.view import VIEW_SHAPE, burn_in, mask_on_view, view_of
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume


def box(shape: tuple[int, int, int] = (30, 60, 50), spacing_mm: tuple[float, float, float] = (3.0, 2.0, 2.0)) -> Volume:
    """A body of 0 HU in air, with one bright voxel block at its superior, anterior, right corner."""
    array = np.full(shape, -1000, np.int16)
    array[5:25, 10:50, 5:45] = 0
    array[21:24, 44:49, 38:43] = 900
    return Volume(array, make_affine(spacing_mm), "CT", "HU")


def test_the_view_keeps_places_in_the_patient() -> None:
    volume = box()
    view = view_of(volume)
    assert view.image.shape == VIEW_SHAPE
    seen = np.argwhere(view.image > 0.5).mean(axis=0)
    truth = np.argwhere(volume.array == 900).mean(axis=0)
    in_view, in_scan = view.affine @ [*seen, 1], volume.affine @ [*truth, 1]
    assert np.abs(in_view - in_scan)[:3].max() < 2.0


def test_the_view_does_not_depend_on_how_the_file_was_stored() -> None:
    volume = box()
    flipped = volume.affine.copy()
    flipped[:, 2] *= -1
    flipped[:3, 3] += volume.affine[:3, 2] * (volume.shape[2] - 1)
    stored = Volume(volume.array[:, :, ::-1], flipped, "CT", "HU")
    np.testing.assert_array_equal(view_of(stored).image, view_of(volume).image)


def test_air_around_the_body_is_cut_off() -> None:
    tight, loose = view_of(box()), view_of(box((40, 90, 80)))
    assert np.abs(tight.image - loose.image).mean() < 0.01


def test_no_masked_voxel_is_lost_on_the_coarser_view() -> None:
    volume = box()
    mask = np.zeros(volume.shape, bool)
    mask[20, 30, 30] = True
    assert mask_on_view(mask, volume.affine, view_of(volume)).sum() == 1


def test_an_overlay_is_brighter_than_any_anatomy() -> None:
    image = np.ones((2, 2, 2), np.float32)
    mask = np.zeros_like(image, bool)
    mask[0, 0, 0] = True
    assert burn_in(image, mask)[0, 0, 0] == 1.0
    assert burn_in(image, mask).ravel()[1:].max() == 0.0


def test_an_empty_scan_is_refused() -> None:
    with pytest.raises(IntensityError, match="nothing but air"):
        view_of(Volume(np.full((8, 8, 8), -1000, np.int16), make_affine((1, 1, 1)), "CT", "HU"))
