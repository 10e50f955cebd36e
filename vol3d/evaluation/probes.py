"""Does a model look at the scan? Changed scans whose right answers are known, and what a representation has left of its dimensions.

A probe changes the scan in one way and says what a model that looks must do: `change` (its answers should fall to chance), `swap` (left and right
must swap) or `stay` (a robust model answers as before). Asking under them: probe_runs.py; what they did: probe_table.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError
from vol3d.evaluation.results import MetricRow, plain_row
from vol3d.volume.volume import Volume


@dataclass(frozen=True)
class Probe:
    """A change of the scan and what it should do to the answers."""

    name: str
    expected: Literal["change", "swap", "stay"]
    apply: Callable[[Volume, np.random.Generator], Volume]


def _blank(volume: Volume, rng: np.random.Generator) -> Volume:
    array = volume.numpy()
    return volume.with_array(np.full_like(array, array.min()))


def _shuffled_slices(volume: Volume, rng: np.random.Generator) -> Volume:
    return volume.with_array(volume.numpy()[rng.permutation(volume.shape[0])])


def _mirrored(volume: Volume, rng: np.random.Generator) -> Volume:
    """The patient's mirror image: voxels turn along left-right, the affine stays."""
    axis = int(np.argmax(np.abs(volume.affine[0, :3])))
    return volume.with_array(np.flip(volume.numpy(), axis).copy())


def _stored_otherwise(volume: Volume, rng: np.random.Generator) -> Volume:
    """The same patient in another storage order: voxels and affine turn together."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    flip[1, 3], flip[2, 3] = volume.shape[1] - 1, volume.shape[2] - 1
    return volume.with_array(volume.numpy()[:, ::-1, ::-1].copy(), affine=volume.affine @ flip)


def _noisy(volume: Volume, rng: np.random.Generator) -> Volume:
    array = volume.numpy().astype(np.float32)
    sd = 25.0 if volume.unit == "HU" else 0.05 * float(np.ptp(array))
    return volume.with_array((array + rng.normal(0, sd, array.shape)).astype(np.float32))


def _thick_slices(volume: Volume, rng: np.random.Generator) -> Volume:
    """Neighbouring slices averaged in threes, on the old grid."""
    array = volume.numpy().astype(np.float32)
    for start in range(0, len(array), 3):
        array[start : start + 3] = array[start : start + 3].mean(axis=0, keepdims=True)
    return volume.with_array(array)


def _narrow_window(volume: Volume, rng: np.random.Generator) -> Volume:
    """Clipped to a soft-tissue window (W400 L50), as corpora of pictures are."""
    return volume.with_array(np.clip(volume.numpy(), -150, 250)) if volume.unit == "HU" else volume


def _half_covered(volume: Volume, rng: np.random.Generator) -> Volume:
    """The upper half of the slices is missing."""
    return volume.crop((0, 0, 0), (max(1, volume.shape[0] // 2), *volume.shape[1:]))


PROBES: Mapping[str, Probe] = {
    p.name: p
    for p in (
        Probe("blank", "change", _blank),
        Probe("shuffled_slices", "change", _shuffled_slices),
        Probe("mirrored", "swap", _mirrored),
        Probe("stored_otherwise", "stay", _stored_otherwise),
        Probe("noise", "stay", _noisy),
        Probe("thick_slices", "stay", _thick_slices),
        Probe("narrow_window", "stay", _narrow_window),
        Probe("half_covered", "change", _half_covered),
    )
}


def effective_rank(features: Float[np.ndarray, "n d"]) -> float:
    """Exponential of the entropy of the normalised singular values (Roy and Vetterli 2007): 1 is a collapsed representation.

    >>> round(effective_rank(np.eye(8) - 1 / 8), 1), round(effective_rank(np.outer(np.arange(8.0), np.ones(4))), 1)
    (7.0, 1.0)
    """
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    share = values / max(float(values.sum()), 1e-12)
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def collapse_rows(features: Float[np.ndarray, "n d"]) -> list[MetricRow]:
    """Effective rank, mean standard deviation per dimension, mean cosine between different items."""
    array = np.asarray(features, float)
    if array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise ConfigError("features must be a finite table of at least two items", expected="n d", found=str(array.shape))
    unit = array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)
    n = len(array)
    cosine = (float(np.square(unit.sum(axis=0)).sum()) - float(np.square(unit).sum())) / (n * (n - 1))
    return [
        plain_row("effective_rank", effective_rank(array), n),
        plain_row("mean_sd", float(array.std(axis=0).mean()), n),
        plain_row("mean_cosine", cosine, n),
    ]
