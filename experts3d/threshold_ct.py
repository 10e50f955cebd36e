"""The built-in CT expert: density and shape, no weights. Any CT, cropped or thick-sliced; what the field of view misses is `not_covered`.

Lung bands follow Gattinoni et al. (AJRCCM 2001): aerated below -500 HU, poorly aerated -500 to -100 HU. Low attenuation is below -950 HU
(Gevenois et al., AJRCCM 1996). Bone is what is mineralised (above 160 HU) with the trabecular marrow inside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np

from experts3d.coarse import Coarse, coarsen, dilate, erode
from experts3d.ct_airway import find_airway
from experts3d.ct_body import find_body
from experts3d.ct_bone import Skeleton, filled, find_skeleton
from experts3d.ct_lungs import Lungs, find_aerated, find_lungs, spine_index
from experts3d.orientation import stored_order
from experts3d.snomed import snomed_codes
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ExpertError
from vol3d.volume.volume import Volume

VERSION = "5"
_LEFT, _RIGHT = "lung_left", "lung_right"
# Labels do not overlap; everything with several parts is a union of them.
NAMES = {
    1: "airway",
    2: "lung_low_attenuation_left",
    3: "lung_normally_aerated_left",
    4: "lung_poorly_aerated_left",
    5: "lung_dense_left",
    6: "lung_low_attenuation_right",
    7: "lung_normally_aerated_right",
    8: "lung_poorly_aerated_right",
    9: "lung_dense_right",
    10: "bone",
    11: "fat",
    12: "soft_tissue",
    13: "calcification",
    14: "gas",
    15: "unclassified",
}
UNIONS = {
    "body": tuple(NAMES),
    "lungs": (2, 3, 4, 5, 6, 7, 8, 9),
    "lung_left": (2, 3, 4, 5),
    "lung_right": (6, 7, 8, 9),
    "lung_aerated": (2, 3, 6, 7),
    "lung_poorly_aerated": (4, 8),
    "lung_low_attenuation": (2, 6),
}
TARGETS = (
    "body", "lungs", "lung_left", "lung_right", "airway", "bone", "fat", "soft_tissue", "lung_aerated", "lung_poorly_aerated",
    "lung_low_attenuation", "calcification",
)  # fmt: skip
_LUNG_TARGETS = ("lungs", "lung_left", "lung_right", "lung_aerated", "lung_poorly_aerated", "lung_low_attenuation")
_SPINE_HU = 180
_BONE_HU, _LUNG_EDGE_HU, _SKIN_HU, _LUMEN_HU = 160, -300, -300, -900
# Ribs and cartilage lie within 3 cm of the skin, marrow and the rims of bone within 6 mm of it: bright spots there are no calcification.
_CALCIUM_HU, _CALCIUM_ML, _SKIN_MM, _BONE_MM = 130, (0.005, 2.0), 30.0, 6.0
_ENHANCED_ML = 5.0

# Lower bounds (HU) of the density bands, ascending, and the label offsets of each: in lung, and in the rest of the body.
_LUNG_BANDS = (-950, -500, -100)
_BODY_BANDS = ((-400, 15), (-190, 11), (-30, 12))


@dataclass(frozen=True)
class ThresholdCT:
    """Body, lungs, airway, bone, fat, soft tissue and calcification of a CT.

    >>> ThresholdCT().card.name
    'threshold_ct'
    """

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        return ExpertCard(
            name="threshold_ct",
            version=VERSION,
            modalities=("CT",),
            summary="density thresholds and shape: body, lungs, airway, bone, fat, soft tissue, calcification",
            targets=TARGETS,
            arguments=TARGETS,
            snomed=snomed_codes(TARGETS),
            cost="under 10 s on one CPU core",
            licence="Apache-2.0",
            commercial_use=True,
            weights="none",
        )

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment a CT.

        Args:
            volume: a CT in HU, in any orientation.
            targets: structures of the card; empty: all.

        Raises:
            ExpertError: the scan is no CT in HU, or a target is not on the card.

        """
        wanted = tuple(targets) or TARGETS
        unknown = [t for t in wanted if t not in TARGETS]
        if unknown:
            raise ExpertError("threshold_ct has no such target", expected=", ".join(TARGETS), found=", ".join(unknown))
        if volume.modality != "CT" or volume.unit != "HU":
            raise ExpertError("threshold_ct needs a CT in Hounsfield units", path=volume.source or None, found=f"{volume.modality} in {volume.unit}")
        scan = volume.canonical()
        image = scan.numpy()
        found = _find(coarsen(image, scan.spacing_mm))
        array = _paint(image, found)
        statuses, reasons = _statuses(array, found, wanted)
        return LabelMap(stored_order(array, volume), volume.affine, NAMES, volume.source, "threshold_ct", VERSION, statuses, UNIONS, reasons)


@dataclass(frozen=True)
class _Found:
    """What was found at about 3 mm."""

    coarse: Coarse
    body: np.ndarray
    airway: np.ndarray
    lungs: Lungs
    skeleton: Skeleton

    @property
    def pool_ml(self) -> float:
        return float(self.skeleton.pools.sum()) * self.coarse.block_ml

    @property
    def enhanced_ml(self) -> float:
        return float(self.skeleton.enhanced.sum()) * self.coarse.block_ml


def _find(coarse: Coarse) -> _Found:
    body = find_body(coarse)
    skeleton = find_skeleton(coarse, body)
    aerated = find_aerated(coarse, body)
    spine_x = spine_index(coarse, body & (coarse.image_hu > _SPINE_HU))
    airway = find_airway(coarse, body, aerated, spine_x)
    return _Found(coarse, body, airway, find_lungs(coarse, body, aerated, airway, spine_x), skeleton)


def _paint(image: np.ndarray, found: _Found) -> np.ndarray:
    """Labels on the full grid: regions from the coarse masks, edges and densities from the voxels themselves."""
    regions, edges = _regions(found)
    region, edge = found.coarse.to_full(regions), found.coarse.to_full(edges)
    out = np.zeros(image.shape, np.uint8)
    for z in range(image.shape[0]):
        out[z] = _paint_slice(image[z], region[z], edge[z])
    if found.enhanced_ml < _ENHANCED_ML:
        out[_calcium(image, out, found)] = 13
    return out


def _regions(found: _Found) -> tuple[np.ndarray, np.ndarray]:
    """Coarse regions (0 outside, 1 body, 2 left lung, 3 right lung, 4 airway, 5 at bone, 6 marrow) and what their rims could become (same codes)."""
    coarse, step = found.coarse, 1.01 * max(found.coarse.spacing_mm)
    refined = max(coarse.factors) > 1
    region = found.body.astype(np.uint8)
    edge = np.zeros_like(region)
    if refined:
        edge[dilate(found.body, coarse, step) & ~erode(found.body, coarse, step)] = 1
    for code, mask in ((2, found.lungs.left), (3, found.lungs.right)):
        region[mask] = code
        edge[dilate(mask, coarse, step) & ~mask & found.body & (region < 2)] = code
        if refined:
            edge[mask & ~erode(mask, coarse, step)] = code
    region[found.skeleton.marrow & (region == 1)] = 6
    near_bone = dilate(found.skeleton.bone, coarse, step)
    region[near_bone & (region == 1)] = 5
    edge[found.airway | (dilate(found.airway, coarse, step) & found.body)] = 4
    region[found.airway] = 4
    return region, edge


def _paint_slice(image: np.ndarray, region: np.ndarray, edge: np.ndarray) -> np.ndarray:
    inside = region > 0
    skin = edge == 1
    inside = np.where(skin, image > _SKIN_HU, inside)
    out = np.full(image.shape, 14, np.uint8)
    for lower, code in _BODY_BANDS:
        out[image >= lower] = code
    out[image >= _BONE_HU] = 15
    out[((region == 5) & (image >= _BONE_HU)) | (region == 6)] = 10
    bands = np.digitize(image, _LUNG_BANDS).astype(np.uint8)
    for code, first in ((2, 2), (3, 6)):
        rim = edge == code
        lung = ((region == code) & ~rim) | (rim & (image < _LUNG_EDGE_HU))
        out[lung] = first + bands[lung]
    lumen = ((region == 4) & (image < _LUNG_EDGE_HU)) | ((edge == 4) & (image < _LUMEN_HU))
    out[lumen] = 1
    out[~inside] = 0
    return out


def _calcium(image: np.ndarray, labels: np.ndarray, found: _Found) -> np.ndarray:
    """Small bright spots away from bone and skin."""
    coarse = found.coarse
    away = erode(found.body, coarse, _SKIN_MM) & ~dilate(filled(found.skeleton.bone, coarse), coarse, _BONE_MM)
    bright = (image > _CALCIUM_HU) & (labels > 0) & coarse.to_full(away)
    numbers, num = cc3d.connected_components(bright, connectivity=26, return_N=True)
    voxel_ml = coarse.block_ml / float(np.prod(coarse.factors))
    counts = np.bincount(numbers.ravel(), minlength=num + 1)
    keep = (counts * voxel_ml >= _CALCIUM_ML[0]) & (counts * voxel_ml <= _CALCIUM_ML[1]) & (counts >= 2)
    keep[0] = False
    return keep[numbers]


def _statuses(array: np.ndarray, found: _Found, wanted: Sequence[str]) -> tuple[dict[str, Status], dict[str, str]]:
    counts = np.bincount(array.ravel(), minlength=len(NAMES) + 1)
    reasons = dict(found.lungs.reasons)
    for name in _LUNG_TARGETS:
        if "lungs" in found.lungs.reasons:
            reasons[name] = found.lungs.reasons["lungs"]
    if not counts[1]:
        reasons["airway"] = "no trachea or main bronchus between two lungs in the field of view"
    if found.enhanced_ml >= _ENHANCED_ML:
        reasons["calcification"] = f"contrast medium ({found.enhanced_ml:.0f} ml of bright blood or organs) hides calcification"
    if not found.body.any():
        reasons |= dict.fromkeys(TARGETS, "no tissue in the scan")
    statuses = {}
    for name in wanted:
        ids = UNIONS.get(name) or tuple(i for i, label in NAMES.items() if label == name)
        there = bool(counts[list(ids)].sum())
        statuses[name] = Status.NOT_COVERED if name in reasons else Status.FOUND if there else Status.ABSENT
    if found.pool_ml >= _ENHANCED_ML and statuses.get("bone") is Status.FOUND:
        reasons["bone"] = "contrast medium is as bright as bone here: parts of the skeleton beside vessels may be missing"
    return statuses, {name: why for name, why in reasons.items() if name in wanted}
