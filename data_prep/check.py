"""Checks of a CT that readers do not make: which side the liver is on, what the values say, what two scans have in common."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume

_GRID_MM, _SMOOTH_MM, _OPENING_MM = 6.0, 4.0, 24.0
_ORGAN_HU = (15.0, 200.0)
_MIN_ORGAN_ML, _MIRRORED = 300.0, -0.4
_CUT_OFF = 0.5
_FINGERPRINT_SHAPE = (8, 8, 8)


@dataclass(frozen=True)
class Intensities:
    """What a corpus page shows of one scan's values."""

    minimum: float
    p01: float
    median: float
    p99: float
    maximum: float
    air_fraction: float
    soft_fraction: float

    def as_dict(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


def intensities(volume: Volume) -> Intensities:
    """Order statistics, and on CT the fractions of air (below -900 HU) and soft tissue (-200 to 200 HU)."""
    flat = volume.numpy().reshape(-1)
    sample = flat[:: max(1, flat.size // 1_000_000) | 1].astype(np.float32)
    p01, median, p99 = (round(float(v), 2) for v in np.percentile(sample, (1, 50, 99)))
    return Intensities(
        round(float(flat.min()), 3),
        p01,
        median,
        p99,
        round(float(flat.max()), 3),
        round(float((sample < -900).mean()), 4),
        round(float((np.abs(sample) < 200).mean()), 4),
    )


def liver_side(volume: Volume) -> float | None:
    """Where the compact organs below the lungs lie: 1 all on the patient's right, -1 all on the left, None where not covered.

    The liver is by far the largest of them, so a clearly negative value means that left and right were exchanged (or situs
    inversus, one person in about ten thousand). Compact: soft tissue that survives an opening by 24 mm.

    Args:
        volume: CT in HU, any orientation.
    """
    scan = volume.canonical()
    z, y, x = (max(s, _GRID_MM) for s in scan.spacing_mm)
    small = resample(scan, spacing_mm=(z, y, x))
    hu = ndimage.gaussian_filter(small.numpy().astype(np.float32), [_SMOOTH_MM / s for s in small.spacing_mm])
    body = _body(hu > -300)
    columns = body.sum(axis=(0, 1)).astype(float)
    if not body.any() or max(columns[0], columns[-1]) > _CUT_OFF * columns.max():
        return None  # a crop inside the body has no midline
    middle = float((columns * np.arange(len(columns))).sum() / columns.sum())
    soft = body & (hu > _ORGAN_HU[0]) & (hu < _ORGAN_HU[1])
    core = ndimage.binary_opening(soft, iterations=max(1, round(_OPENING_MM / max(small.spacing_mm))))
    lung_level = (body & (hu < -500)).sum(axis=(1, 2)) > 0.15 * body.sum(axis=(1, 2))
    places = np.arange(core.shape[2])
    right, left = (float(core[~lung_level][:, :, chosen].sum()) for chosen in (places > middle, places < middle))
    if (right + left) * small.voxel_ml < _MIN_ORGAN_ML:
        return None
    return round((right - left) / (right + left), 3)


def looks_mirrored(side: float | None) -> bool:
    """Whether a liver on that side means exchanged sides."""
    return side is not None and side < _MIRRORED


def _body(dense: np.ndarray) -> np.ndarray:
    labels, num = ndimage.label(dense)
    if num == 0:
        return dense
    body = labels == (np.bincount(labels.reshape(-1))[1:].argmax() + 1)
    return np.stack([ndimage.binary_fill_holes(layer) for layer in body])


def fingerprint(volume: Volume) -> UInt8[np.ndarray, "z y x"]:
    """A scan in 512 bytes that survives another slice thickness or kernel: 8x8x8 means, scaled to its own range."""
    scan = volume.canonical()
    small = resample(scan, shape=_FINGERPRINT_SHAPE).numpy().astype(np.float32)
    if volume.modality == "CT":
        small = np.clip(small, -1000, 400)
    low, high = float(small.min()), float(small.max())
    return np.rint((small - low) / max(high - low, 1e-6) * 255).astype(np.uint8)


def similarity(a: UInt8[np.ndarray, "n 512"], b: UInt8[np.ndarray, "m 512"]) -> Float[np.ndarray, "n m"]:
    """Correlation of fingerprints, each row a flattened one."""

    def standard(rows: np.ndarray) -> np.ndarray:
        centred = rows.astype(np.float64) - rows.mean(axis=1, keepdims=True)
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)

    return standard(a) @ standard(b).T
