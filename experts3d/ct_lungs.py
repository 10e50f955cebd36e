"""Lungs left and right and the airway in a CT, at about 3 mm; says why when they cannot be told."""

from dataclasses import dataclass

import cc3d
import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from experts3d.coarse import Coarse, box_around, dilate, distance_mm, erode

LUNG_HU = -400.0
# Bowel gas and the airway hold pure air; even destroyed lung keeps some tissue, and its vessels make a tenth of it denser than noise makes gas.
_GAS_HU, _DENSEST_GAS_HU = -965.0, -890.0
_MIN_LUNG_ML = 20.0
_CLOSING_MM = 6.0


@dataclass(frozen=True)
class Lungs:
    """Coarse masks, and the reason for each one that is empty."""

    left: Bool[np.ndarray, "z y x"]
    right: Bool[np.ndarray, "z y x"]
    reasons: dict[str, str]


def find_aerated(coarse: Coarse, body: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Regions of air inside the body that are lung rather than pure gas; bronchi and trachea may hang on them."""
    numbers, num = cc3d.connected_components(body & (coarse.image_hu < LUNG_HU), connectivity=6, return_N=True)
    return _pick_lung(coarse, numbers, num)


def find_lungs(
    coarse: Coarse,
    body: Bool[np.ndarray, "z y x"],
    aerated: Bool[np.ndarray, "z y x"],
    airway: Bool[np.ndarray, "z y x"],
    spine_x: float | None,
) -> Lungs:
    """Aerated lung inside the body, split into the patient's left and right.

    Args:
        coarse: the scan at about 3 mm, canonical (x grows to the patient's right).
        body: from `find_body`.
        aerated: from `find_aerated`.
        airway: lumen of trachea and main bronchi, taken out first; may be empty.
        spine_x: x index of the spine, if known.

    """
    lung = aerated & ~dilate(airway, coarse, max(coarse.spacing_mm))
    empty = np.zeros_like(body)
    if not lung.any():
        why = f"no aerated lung of more than {_MIN_LUNG_ML:.0f} ml in the field of view"
        return Lungs(empty, empty, {"lung_left": why, "lung_right": why, "lungs": why})
    left, right, problem = _split(coarse, lung, spine_x)
    if problem:
        return Lungs(empty, empty, {"lung_left": problem, "lung_right": problem})
    reasons = {}
    for name, side in (("lung_left", left), ("lung_right", right)):
        if side.sum() * coarse.block_ml < _MIN_LUNG_ML:
            reasons[name] = "no aerated lung on this side in the field of view"
    return Lungs(_close(left, coarse, body), _close(right, coarse, body), reasons)


def spine_index(coarse: Coarse, bone_like: Bool[np.ndarray, "z y x"]) -> float | None:
    """X index of the spine: where the posterior half of the skeleton is densest over 40 mm; None where there is hardly any bone."""
    rows = np.flatnonzero(bone_like.any(axis=(0, 2)))
    if len(rows) == 0 or bone_like.sum() * coarse.block_ml < 10.0:
        return None
    posterior = bone_like[:, : max(1, int(rows[0] + 0.55 * (rows[-1] - rows[0] + 1)))]
    width = max(3, round(40.0 / coarse.spacing_mm[2]))
    profile = ndimage.uniform_filter1d(posterior.sum(axis=(0, 1)).astype(np.float64), width, mode="constant")
    return float(profile.argmax())


def _pick_lung(coarse: Coarse, numbers: np.ndarray, num: int) -> Bool[np.ndarray, "z y x"]:
    """Components that are large and hold lung rather than pure gas."""
    counts = np.bincount(numbers.ravel(), minlength=num + 1)
    boxes = ndimage.find_objects(numbers, max_label=num)
    big = [i for i in range(1, num + 1) if counts[i] * coarse.block_ml >= _MIN_LUNG_ML]
    chosen = []
    for i in big:
        box = boxes[i - 1]
        mask = numbers[box] == i
        inside = erode(mask, coarse, 1.5 * min(coarse.spacing_mm))
        values = coarse.image_hu[box][inside if inside.sum() >= 20 else mask]
        third, median, densest = np.percentile(values, (30, 50, 90))
        if median > _GAS_HU and third > _GAS_HU - 15 and densest > _DENSEST_GAS_HU:
            chosen.append(i)
    return np.isin(numbers, chosen)


def _split(coarse: Coarse, lung: Bool[np.ndarray, "z y x"], spine_x: float | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Left and right; components that cross the midline are cut at their waist."""
    numbers, num = cc3d.connected_components(lung, connectivity=6, return_N=True)
    middle = spine_x if spine_x is not None else _middle_of_two(numbers, num)
    if middle is None:
        return lung, lung, "one lung region and no spine in the field of view, so its side cannot be told"
    x = np.arange(lung.shape[2], dtype=np.float64)
    left, right = np.zeros_like(lung), np.zeros_like(lung)
    for i in range(1, num + 1):
        mask = numbers == i
        share = float(mask[:, :, x > middle].sum() / mask.sum())
        if min(share, 1 - share) < 0.2:
            (right if share > 0.5 else left)[mask] = True
            continue
        part_left, part_right = _cut(coarse, mask, middle)
        left |= part_left
        right |= part_right
    return left, right, ""


def _middle_of_two(numbers: np.ndarray, num: int) -> float | None:
    """Halfway between the two largest components, where they lie well apart."""
    if num < 2:
        return None
    counts = np.bincount(numbers.ravel())[1:]
    first, second = np.argsort(-counts)[:2] + 1
    xs = [float(np.argwhere(numbers == i)[:, 2].mean()) for i in (first, second)]
    return (xs[0] + xs[1]) / 2 if counts[second - 1] > 0.1 * counts[first - 1] else None


def _cut(coarse: Coarse, mask: Bool[np.ndarray, "z y x"], middle: float) -> tuple[np.ndarray, np.ndarray]:
    """Shrink until two large pieces are left on both sides, then give each voxel to the nearer piece."""
    depth = distance_mm(mask, coarse)
    for radius in np.arange(1.0, 15.0, 1.5):
        numbers, num = cc3d.connected_components(depth > radius, connectivity=6, return_N=True)
        if num < 2:
            continue
        counts = np.bincount(numbers.ravel())[1:]
        a, b = np.argsort(-counts)[:2] + 1
        xs = [float(np.argwhere(numbers == i)[:, 2].mean()) for i in (a, b)]
        if counts[b - 1] > 0.15 * counts[a - 1] and (xs[0] - middle) * (xs[1] - middle) < 0:
            left_seed, right_seed = (numbers == (a if xs[0] < xs[1] else b)), (numbers == (b if xs[0] < xs[1] else a))
            nearer_left = distance_mm(~left_seed, coarse) <= distance_mm(~right_seed, coarse)
            return mask & nearer_left, mask & ~nearer_left
    side = np.arange(mask.shape[2]) > middle
    return mask & ~side, mask & side


def _close(mask: Bool[np.ndarray, "z y x"], coarse: Coarse, body: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Take in vessels and small dense spots: closing, then holes."""
    if not mask.any():
        return mask
    box = box_around(mask, coarse, 2 * _CLOSING_MM)
    grown = distance_mm(~mask[box], coarse) <= _CLOSING_MM
    closed = (distance_mm(grown, coarse) > _CLOSING_MM) | mask[box]
    out = np.zeros_like(mask)
    out[box] = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
    return out & body
