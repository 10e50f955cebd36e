import numpy as np
import pytest

from vol3d.errors import ConfigError, IntensityError
from vol3d.volume.geometry import make_affine
from vol3d.volume.presets import PRESETS, apply_preset, lost_by
from vol3d.volume.volume import Volume


def scan(shape: tuple[int, int, int] = (40, 60, 60), spacing: tuple[float, float, float] = (3, 4, 4)) -> Volume:
    array = np.full(shape, -1000, np.int16)
    array[:, 5:-5, 5:-5] = 40
    array[20, 30, 30] = 3000
    return Volume(array, make_affine(spacing), "CT", "HU")


@pytest.mark.parametrize(
    ("name", "shape", "low", "high"),
    [
        ("ct_clip", (240, 480, 480), -1, 1),
        ("ct2rep", (240, 480, 480), -1, 1),
        ("merlin", (160, 224, 224), 0, 1),
        ("m3d", (32, 256, 256), 0, 1),
        ("radfm", (40, 512, 512), 0, 1),
    ],
)
def test_each_preset_gives_its_shape_and_range(name: str, shape: tuple[int, int, int], low: float, high: float) -> None:
    made = apply_preset(scan(), name)
    assert made.array.shape == shape
    assert made.array.dtype == np.float32
    assert made.array.min() == pytest.approx(low)
    assert made.array.max() <= high
    assert name in PRESETS


def test_a_voxel_stays_where_it_is_in_the_patient() -> None:
    volume = scan()
    bright = volume.affine @ [20, 30, 30, 1]
    made = apply_preset(volume, "merlin")
    at = np.linalg.inv(made.affine) @ bright
    peak = np.unravel_index(made.array.argmax(), made.array.shape)
    assert np.abs(at[:3] - peak).max() < 3


def test_what_the_box_cuts_off_is_told_and_agrees() -> None:
    wide = scan((40, 60, 60), (1.5, 8, 8))  # 480 mm across, of which the CT-CLIP box keeps 360
    exact = apply_preset(wide, "ct_clip").lost_fraction
    assert exact == pytest.approx(1 - (360 / 400) ** 2, abs=0.05)
    assert lost_by(wide, "ct_clip") == pytest.approx(exact, abs=0.05)
    assert lost_by(scan(spacing=(3, 3, 3)), "ct_clip") == 0


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="ct_clip"):
        apply_preset(scan(), "ct_clop")
    mr = Volume(np.ones((4, 4, 4)), make_affine((1, 1, 1)), "MR", "a.u.")
    with pytest.raises(IntensityError):
        apply_preset(mr, "merlin")
