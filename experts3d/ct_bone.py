"""Skeleton and calcification in a CT. Contrast in blood and urine is as bright as bone: it is recognised, taken out, and said."""

from dataclasses import dataclass

import cc3d
import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from experts3d.coarse import Coarse, box_around, dilate, distance_mm, erode

_CANDIDATE_HU = 160.0
_CORTEX_HU = 350.0
_MIN_BONE_ML = 1.0
_MARROW_HU = 75.0
_POOL_DEPTH_MM = 3.5
_POOL_ROUGHNESS_HU = 45.0
_MIN_POOL_ML = 2.0
_SHELL_MM, _CORTEX_RATIO = 6.5, 1.25
_ENHANCED_HU, _ENHANCED_DEPTH_MM, _BONE_RIM_MM = 110.0, 3.5, 6.0
_ON_POOL_SHARE = 0.12
_UNMIXED_HU = 300.0
_UNMIXED_DEPTH_MM = 7.0


@dataclass(frozen=True)
class Skeleton:
    """Coarse masks: bone; pools of contrast as bright as bone; all soft parts that are too bright to be unenhanced; marrow inside bone."""

    bone: Bool[np.ndarray, "z y x"]
    pools: Bool[np.ndarray, "z y x"]
    enhanced: Bool[np.ndarray, "z y x"]
    marrow: Bool[np.ndarray, "z y x"]


def find_skeleton(coarse: Coarse, body: Bool[np.ndarray, "z y x"]) -> Skeleton:
    """Bone, with contrast pools recognised by their smooth inside and their dimmer surroundings."""
    bright = body & (coarse.image_hu > _CANDIDATE_HU)
    cores = _pool_cores(coarse, bright)
    if cores.any():
        bone, pools = _compete(coarse, bright, cores)
    else:
        bone, pools = bright, np.zeros_like(bright)
    numbers, num = cc3d.connected_components(bone, connectivity=26, return_N=True)
    if num == 0:
        return Skeleton(bone, pools, _enhanced(coarse, body, bone) | pools, bone)
    counts = np.bincount(numbers.ravel(), minlength=num + 1)
    peaks = np.concatenate([[-1024.0], ndimage.maximum(coarse.image_hu, numbers, np.arange(1, num + 1))])
    keep = (counts * coarse.block_ml >= _MIN_BONE_ML) & (peaks >= _CORTEX_HU)
    keep[0] = False
    bone = keep[numbers]
    # Trabecular marrow is denser than what else a slice may show inside a ring of bone: cord, fluid and fat in the spinal canal.
    marrow = filled(bone, coarse) & ~bone & ~pools & (ndimage.uniform_filter(coarse.image_hu, 3) > _MARROW_HU)
    return Skeleton(bone, pools, _enhanced(coarse, body, bone) | pools, marrow)


def filled(bone: Bool[np.ndarray, "z y x"], coarse: Coarse) -> Bool[np.ndarray, "z y x"]:
    """Bone with what it encloses in each slice: marrow, and the spinal canal."""
    if not bone.any():
        return bone
    radius = 2 * max(coarse.spacing_mm[1:])
    box = box_around(bone, coarse, 2 * radius)
    closed = erode(dilate(bone[box], coarse, radius), coarse, radius) | bone[box]
    out = np.zeros_like(bone)
    out[box] = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
    return out


def _enhanced(coarse: Coarse, body: Bool[np.ndarray, "z y x"], bone: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Thick soft parts above what unenhanced blood and organs reach: contrast, even where it is dimmer than bone."""
    soft = body & (coarse.image_hu > _ENHANCED_HU) & ~dilate(filled(bone, coarse), coarse, _BONE_RIM_MM)
    cores = erode(soft, coarse, _ENHANCED_DEPTH_MM)
    return dilate(cores, coarse, _ENHANCED_DEPTH_MM) & soft


def _pool_cores(coarse: Coarse, bright: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Smooth bright insides of some size whose surroundings are dimmer; marrow is smooth too, but its cortex is brighter."""
    size = [max(3, 2 * round(3.0 / s) + 1) for s in coarse.spacing_mm]
    mean = ndimage.uniform_filter(coarse.image_hu, size)
    square = ndimage.uniform_filter(coarse.image_hu**2, size)
    rough = np.sqrt(np.maximum(square - mean**2, 0))
    smooth = bright & (rough < _POOL_ROUGHNESS_HU) & (distance_mm(bright, coarse) > _POOL_DEPTH_MM)
    numbers, num = cc3d.connected_components(smooth, connectivity=6, return_N=True)
    counts = np.bincount(numbers.ravel(), minlength=num + 1)
    chosen = []
    for i in np.flatnonzero(counts * coarse.block_ml >= _MIN_POOL_ML):
        if i and _is_dimmer_outside(coarse, numbers == i):
            chosen.append(i)
    return np.isin(numbers, chosen)


def _is_dimmer_outside(coarse: Coarse, core: Bool[np.ndarray, "z y x"]) -> bool:
    box = box_around(core, coarse, 12.0)
    core, image = core[box], coarse.image_hu[box]
    shell = dilate(core, coarse, _SHELL_MM) & ~core
    if not shell.any():
        return False
    inside = float(np.median(image[core]))
    return float(np.percentile(image[shell], 90)) < _CORTEX_RATIO * inside


def _compete(coarse: Coarse, bright: Bool[np.ndarray, "z y x"], cores: Bool[np.ndarray, "z y x"]) -> tuple[np.ndarray, np.ndarray]:
    """Split what is bright between skeleton and pools: each voxel goes to the seed that reaches it first inside the bright mask."""
    from skimage.segmentation import watershed

    cores = cores | _thick_beside(coarse, bright, cores)
    level = float(np.percentile(coarse.image_hu[cores], 95))
    dense = bright & (coarse.image_hu > level + 150.0)
    rough_bone = _big(dense, coarse, 0.3)
    markers = np.where(cores, 2, np.where(rough_bone, 1, 0)).astype(np.int32)
    owner = watershed(np.zeros(bright.shape, np.uint8), markers, mask=bright)
    unmixed = _lies_on(coarse, owner == 1, owner == 2)
    # What no seed reaches is bright by itself: bone, or a vessel in the lung, which the lung mask takes later.
    return bright & (owner != 2) & ~unmixed, (owner == 2) | unmixed


def _lies_on(coarse: Coarse, bone: Bool[np.ndarray, "z y x"], pools: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Pieces of 'bone' of which much of the surface lies on a pool: contrast too dense for its neighbour, as in the vena cava; bones touch little."""
    numbers, num = cc3d.connected_components(bone, connectivity=6, return_N=True)
    step = 1.01 * max(coarse.spacing_mm)
    surface = bone & ~erode(bone, coarse, step)
    on_pool = surface & dilate(pools, coarse, step)
    counts = [np.bincount(numbers[mask], minlength=num + 1) for mask in (on_pool, surface)]
    share = counts[0] / np.maximum(1, counts[1])
    share[0] = 0.0
    return (share > _ON_POOL_SHARE)[numbers]


def _thick_beside(coarse: Coarse, bright: Bool[np.ndarray, "z y x"], cores: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Thick and very bright next to a pool: contrast that is not mixed yet (right heart, vena cava), too uneven to be a core by itself."""
    depth = distance_mm(bright & (coarse.image_hu > _UNMIXED_HU), coarse)
    numbers, num = cc3d.connected_components(depth > _UNMIXED_DEPTH_MM, connectivity=26, return_N=True)
    near = np.unique(numbers[dilate(cores, coarse, 2 * _UNMIXED_DEPTH_MM)]) if num else np.zeros(0, int)
    return np.isin(numbers, near[near > 0])


def _big(mask: Bool[np.ndarray, "z y x"], coarse: Coarse, least_ml: float) -> Bool[np.ndarray, "z y x"]:
    numbers = cc3d.connected_components(mask, connectivity=26)
    counts = np.bincount(numbers.ravel())
    keep = counts * coarse.block_ml >= least_ml
    keep[0] = False
    return keep[numbers]
