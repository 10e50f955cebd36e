"""The patient in a CT without the table, also in crops whose faces lie inside the body."""

import cc3d
import numpy as np
from jaxtyping import Bool

from experts3d.coarse import Coarse, dilate, erode, label_in_plane

TISSUE_HU = -300.0
# Room air measures -1000 HU (blurred with cloth and skin about -940), lung -700 to -900 HU: an opening to the side that is emptier than this, for the most part, is outside the patient.
_OUTSIDE_HU = -920.0
_TABLE_RADIUS_MM = 7.0
_PART_SHARE = 0.03


def find_body(coarse: Coarse) -> Bool[np.ndarray, "z y x"]:
    """Mask of the patient with all gas inside; empty when the scan shows no tissue."""
    tissue = _without_thin_things(coarse.image_hu > TISSUE_HU, coarse)
    numbers, num = label_in_plane(~tissue)
    if num == 0:
        return tissue
    counts = np.bincount(numbers.ravel(), minlength=num + 1)
    empty = np.bincount(numbers[coarse.image_hu < _OUTSIDE_HU], minlength=num + 1)
    outside = _reaches_side(numbers, num) & (2 * empty > counts)
    outside[0] = False
    return ~outside[numbers]


def _without_thin_things(tissue: Bool[np.ndarray, "z y x"], coarse: Coarse) -> Bool[np.ndarray, "z y x"]:
    """Drop table, clothes and cables: what an opening removes, and pieces that are small beside the largest."""
    cores = erode(tissue, coarse, _TABLE_RADIUS_MM)
    if not cores.any():
        cores = tissue
    numbers = cc3d.connected_components(cores, connectivity=6)
    counts = np.bincount(numbers.ravel())
    counts[0] = 0
    kept = (counts >= _PART_SHARE * counts.max()) & (counts > 0)
    # The opened shape, plus what lies within a voxel of it: a plain opening would round off the skin.
    return tissue & dilate(kept[numbers], coarse, _TABLE_RADIUS_MM + 1.5 * max(coarse.spacing_mm[1:]))


def _reaches_side(numbers: np.ndarray, num: int) -> Bool[np.ndarray, " n"]:
    """Which components touch a lateral face (y or x) of the scan."""
    touching = np.zeros(num + 1, bool)
    for face in (numbers[:, 0], numbers[:, -1], numbers[:, :, 0], numbers[:, :, -1]):
        touching[np.unique(face)] = True
    return touching
