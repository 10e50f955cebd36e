"""What each family of models is fed, against the numbers that its makers give."""

import numpy as np
import pytest

from vol3d.errors import ConfigError, IntensityError
from vol3d.evaluation.models.inputs import evenly, frames, m3d_volume, medgemma, merlin_volume, pictures
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume


def _scan(values=None, *, shape=(100, 6, 8), unit="HU"):
    array = np.zeros(shape, np.int16) if values is None else values
    return Volume(array, make_affine((3.0, 1.5, 1.5)), "CT" if unit == "HU" else "MR", unit)


def test_medgemma_gets_85_slices_in_three_windows():
    array = np.full((100, 6, 8), 40, np.int16)  # 40 HU: the middle of the brain window
    images = medgemma(_scan(array))
    assert len(images) == 85
    assert np.asarray(images[0])[0, 0].tolist() == [int((40 + 1024) / 2048 * 255), int((40 + 135) / 350 * 255), 127]
    with pytest.raises(IntensityError):
        medgemma(_scan(unit="a.u."))


def test_pictures_are_radiological_and_run_from_the_top():
    array = np.full((3, 6, 8), -1000, np.int16)
    array[2, -1, -1] = 1000  # top slice, anterior, the patient's right
    first = np.asarray(frames(_scan(array), slices=3)[0])
    assert first[0, 0, 0] == 255  # right of the patient at the left edge, anterior up
    assert first.max(axis=2).sum() == 255


def test_evenly_spaced_slices():
    assert evenly(1, 5) == [0]
    assert evenly(100, 85)[0] == 0
    assert evenly(100, 85)[-1] == 99
    with pytest.raises(ConfigError):
        evenly(10, 0)
    with pytest.raises(ConfigError, match="no such input"):
        pictures(_scan(), "x-ray", 3)


def test_m3d_and_merlin_volumes():
    rng = np.random.default_rng(0)
    array = rng.integers(-1000, 1000, (20, 40, 40)).astype(np.int16)
    # Extremes of several voxels, so that resampling keeps them.
    array[4:8, 4:8, 4:8], array[12:16, 12:16, 12:16] = -1000, 999
    scan = _scan(array)
    m3d = m3d_volume(scan)
    assert m3d.shape == (1, 32, 256, 256)
    assert (m3d.min(), m3d.max()) == (0.0, 1.0)
    merlin = merlin_volume(scan)
    assert merlin.shape == (1, 224, 224, 160)
    assert merlin[0, 0, 0, 0] == 0.0  # padding
    assert 0.45 < merlin[0, 92:132, 92:132, 70:90].mean() < 0.55  # the scan lies in the middle
