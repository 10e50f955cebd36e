"""Lumen of trachea and main bronchi in a CT: a round tube of air near the spine's plane, grown until it would leak into the lungs."""

import cc3d
import numpy as np
from jaxtyping import Bool

from experts3d.coarse import Coarse, label_in_plane

_LUMEN_HU = -800.0
_AREA_MM2 = (40.0, 900.0)
_MAX_ASPECT = 3.0
_MIN_FILL = 0.5
_CENTRAL_MM = 45.0
_MIN_LENGTH_MM = 15.0
_MAX_ML = 120.0
# Growing is repeated with ever more permissive limits; a step that more than doubles the volume has broken into the lung.
_GROW_HU = (-950.0, -925.0, -900.0, -875.0, -850.0)


def find_airway(coarse: Coarse, body: Bool[np.ndarray, "z y x"], lung: Bool[np.ndarray, "z y x"], spine_x: float | None) -> Bool[np.ndarray, "z y x"]:
    """Airway lumen; empty where no trachea or main bronchus can be told from other gas.

    Args:
        coarse: the scan at about 3 mm, canonical.
        body: from `find_body`.
        lung: from `find_aerated`.
        spine_x: x index of the spine; None gives an empty mask, because gas in the abdomen could not be told apart.
    """
    empty = np.zeros_like(body)
    if spine_x is None or not lung.any():
        return empty
    seeds = _tube_seeds(coarse, body, lung, spine_x)
    if not seeds.any():
        return empty
    return _grow(coarse, body, seeds)


def _tube_seeds(coarse: Coarse, body: Bool[np.ndarray, "z y x"], lung: Bool[np.ndarray, "z y x"], spine_x: float) -> Bool[np.ndarray, "z y x"]:
    """Cross-sections that look like a trachea and stand above one another, with lung on both sides of them."""
    air = body & (coarse.image_hu < _LUMEN_HU)
    numbers, num = label_in_plane(air)
    areas = np.bincount(numbers.ravel(), minlength=num + 1) * coarse.spacing_mm[1] * coarse.spacing_mm[2]
    boxes = _boxes(numbers, num)
    keep = np.zeros(num + 1, bool)
    for i in range(1, num + 1):
        keep[i] = _looks_like_trachea(coarse, areas[i], boxes[i], spine_x, lung)
    tube = keep[numbers]
    stacks, count = cc3d.connected_components(tube, connectivity=18, return_N=True)
    best, length = 0, 0.0
    for i in range(1, count + 1):
        slices = np.flatnonzero((stacks == i).any(axis=(1, 2)))
        if len(slices) * coarse.spacing_mm[0] > length:
            best, length = i, len(slices) * coarse.spacing_mm[0]
    return stacks == best if length >= _MIN_LENGTH_MM else np.zeros_like(body)


def _boxes(numbers: np.ndarray, num: int) -> list[tuple[slice, slice, slice]]:
    """Box of each number, index 0 included."""
    from scipy import ndimage

    return [(slice(0, 0),) * 3, *ndimage.find_objects(numbers, max_label=num)]


def _looks_like_trachea(coarse: Coarse, area: float, box: tuple[slice, slice, slice], spine_x: float, lung: Bool[np.ndarray, "z y x"]) -> bool:
    if not _AREA_MM2[0] <= area <= _AREA_MM2[1]:
        return False
    z, y, x = box[0].start, box[1], box[2]
    height, width = (y.stop - y.start) * coarse.spacing_mm[1], (x.stop - x.start) * coarse.spacing_mm[2]
    middle = (x.start + x.stop - 1) / 2
    if abs(middle - spine_x) * coarse.spacing_mm[2] > _CENTRAL_MM or max(height, width) > _MAX_ASPECT * min(height, width):
        return False
    if area < _MIN_FILL * height * width:
        return False
    # Lung lies to both sides of the trachea in its own slice; around bowel gas it does not.
    least_mm2 = 300.0 / (coarse.spacing_mm[1] * coarse.spacing_mm[2])
    return bool(lung[z, :, : x.start].sum() > least_mm2 and lung[z, :, x.stop :].sum() > least_mm2)


def _grow(coarse: Coarse, body: Bool[np.ndarray, "z y x"], seeds: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Connected lumen at the most permissive limit that does not leak; at least the tube itself."""
    found = seeds
    for limit in _GROW_HU:
        numbers = cc3d.connected_components((body & (coarse.image_hu < limit)) | seeds, connectivity=6)
        touched = np.unique(numbers[seeds])
        grown = np.isin(numbers, touched[touched > 0])
        volume_ml = grown.sum() * coarse.block_ml
        if volume_ml > _MAX_ML or grown.sum() > 2 * max(found.sum(), seeds.sum()):
            break
        found = grown
    return found
