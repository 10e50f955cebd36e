"""CT or MR, and whether a CT is in Hounsfield units: read off the histogram, because NIfTI does not say.

The rule: a scan is CT when it holds soft tissue (-200..300 HU, at least 2% of the voxels) together with air or lung (below
-700 HU, at least 0.5%). The same test on values that are shifted by a usual intercept finds CT that was rescaled twice
(CT-RATE's corrected volumes read with the old loader: -1024 or -8192 once too often) or never. A scan without relevant negative
values is MR, unless it is distributed like CT whose intercept of -1024 was never applied. Everything else is `unknown`, and the user says what it is.
"""

from dataclasses import dataclass

import numpy as np

from vol3d.errors import IntensityError
from vol3d.volume.judge import Judge
from vol3d.volume.volume import Modality

_SAMPLE = 500_000
_SOFT_HU, _AIR_HU = (-200.0, 300.0), (-1100.0, -700.0)
_SOFT_FRACTION, _AIR_FRACTION = 0.02, 0.005
_RANGE_HU = (-1100.0, 3100.0)
_TWICE = (-1024.0, -8192.0)
_NEVER = (1024.0, 8192.0)
# Strict, because MR may hold any positive values: none of 600 MR at random scales passed, all of 7 CT did.
_RAW_SOFT_HU, _RAW_SOFT_FRACTION, _RAW_AIR_FRACTION = (-150.0, 150.0), 0.6, 0.05
# MR dips below zero where a resampling rang at an edge; fat in a CT without air dips further.
_RINGING = 0.08
_PADDING_BELOW_HU, _PADDING_FRACTION = -1100, 0.005
AIR_HU = -1024


@dataclass(frozen=True)
class Finding:
    """What the histogram says: the modality, and by how much the values are off Hounsfield units (0: not at all)."""

    modality: Modality
    shift: float = 0.0


def guess(array: np.ndarray) -> Finding:
    """Modality from the values alone.

    >>> rng = np.random.default_rng(0)
    >>> hu = np.concatenate([rng.normal(-1000, 10, 500), rng.normal(40, 20, 500)])
    >>> guess(hu).modality, guess(hu - 1024).shift, guess(rng.gamma(2.0, 200, 1000)).modality
    ('CT', -1024.0, 'MR')
    """
    values = sample(array)
    low, high = float(values.min()), float(values.max())
    # A spike at the very bottom is padding or clipping; it says nothing about tissue.
    inner = values[values > low] if (values > low).any() else values
    if low < -500:
        shift = max((0.0, *_TWICE), key=lambda s: _score(inner - s))
        if _is_ct(inner - shift, values - shift):
            return Finding("CT", shift)
        return Finding("unknown")
    for shift in _NEVER:
        if low > -100 and _is_raw_ct(values - shift):
            return Finding("CT", shift)
    if high <= 255 or low < -_RINGING * high:
        return Finding("unknown")
    return Finding("MR")


def sample(array: np.ndarray) -> np.ndarray:
    """About half a million voxels spread over the scan, as float32."""
    flat = array.reshape(-1)
    # An odd stride does not fall into step with rows of 512 voxels.
    return flat[:: max(1, flat.size // _SAMPLE) | 1].astype(np.float32)


def _within(values: np.ndarray, bounds: tuple[float, float]) -> float:
    return float(((values >= bounds[0]) & (values <= bounds[1])).mean())


def _score(hu: np.ndarray) -> float:
    return _within(hu, _SOFT_HU) + _within(hu, _AIR_HU) + 0.5 * _within(hu, _RANGE_HU) - 2.0 * (1.0 - _within(hu, _RANGE_HU))


def _is_ct(inner_hu: np.ndarray, all_hu: np.ndarray) -> bool:
    return _within(inner_hu, _SOFT_HU) >= _SOFT_FRACTION and _within(all_hu, (-(2.0**15), _AIR_HU[1])) >= _AIR_FRACTION


def _is_raw_ct(hu: np.ndarray) -> bool:
    """Stored values without their intercept: air at its place, and most of the rest within the narrow band of soft tissue."""
    dense = hu[hu > -500]
    return dense.size > 0 and _within(hu, _AIR_HU) >= _RAW_AIR_FRACTION and _within(dense, _RAW_SOFT_HU) >= _RAW_SOFT_FRACTION


def decide(array: np.ndarray, *, declared: Modality | None, given: Modality | None, judge: Judge) -> Modality:
    """The modality of a scan, with CT held to Hounsfield units.

    Args:
        array: voxels.
        declared: what the file says (DICOM does).
        given: what the user says; it counts more than the file.
        judge: where doubts go.

    Raises:
        IntensityError: CT that is not in Hounsfield units.
    """
    found = guess(array)
    modality = given or declared or found.modality
    if modality == "MR":
        return modality
    if found.modality == "CT" and found.shift in _TWICE:
        judge.refuse_unless_accepted(
            IntensityError,
            "rescaled_twice",
            f"this CT looks rescaled twice: its tissues lie {-found.shift:g} HU too low",
            expected="air near -1000 HU, water near 0",
            found=f"air near {-1000 + found.shift:g}",
            hint=f"Read the original without applying slope and intercept again, or add {-found.shift:g}.",
        )
        return "CT"
    if found.modality == "CT" and found.shift in _NEVER:
        return _not_rescaled(found.shift, modality if given or declared else "unknown", judge)
    if modality == "unknown" and not given:
        _note_unknown(array, judge)
    if modality == "CT" and found.modality != "CT" and (array.min() >= -100 or found.modality == "MR"):
        judge.refuse_unless_accepted(
            IntensityError,
            "not_hu",
            "this does not look like CT in Hounsfield units (8-bit pictures, MR, or values that were normalised?)",
            expected="air near -1000 HU",
            found=f"values from {array.min():g} to {array.max():g}",
            hint="Give the original scan, or say --modality MR.",
        )
    return modality


def _not_rescaled(shift: float, modality: Modality, judge: Judge) -> Modality:
    text = f"looks like CT whose intercept was never applied: its tissues lie {shift:g} HU too high"
    if modality != "CT":
        judge.note("not_hu", f"{text}; taken as unknown, say --modality if you know")
        return "unknown"
    judge.refuse_unless_accepted(
        IntensityError,
        "not_hu",
        f"this {text}",
        expected="air near -1000 HU, water near 0",
        found=f"air near {-1000 + shift:g}",
        hint=f"Convert it again with its rescale slope and intercept, or subtract {shift:g}.",
    )
    return "CT"


def _note_unknown(array: np.ndarray, judge: Judge) -> None:
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu" and low >= 0:
        kind = "8-bit grey values"
    elif low >= -10 and high <= 10:
        kind = "values that were normalised"
    else:
        kind = "neither CT nor MR"
    judge.note("unknown_modality", f"values from {low:g} to {high:g} look like {kind}: say --modality CT or MR")


def clamp_padding(array: np.ndarray, judge: Judge) -> tuple[np.ndarray, int | None]:
    """CT only: one exact value far below air, outside the scanner's circle, becomes air; the value is returned and noted."""
    low = array.min()
    if low >= _PADDING_BELOW_HU:
        return array, None
    fraction = float((sample(array) == np.float32(low)).mean())
    if fraction < _PADDING_FRACTION:
        return array, None
    # Interpolation would smear a -3024 into the skin, so it does not stay.
    array = np.maximum(array, np.asarray(AIR_HU, array.dtype)) if array.dtype.kind != "f" else np.where(array == low, np.float32(AIR_HU), array)
    judge.note("padding", f"padding value {low:g} outside the scan circle ({100 * fraction:.1f}% of the voxels): set to {AIR_HU} HU")
    return array, int(low)
