"""Which slices to show: where the lesions and then the organs are largest, in three planes, the same ones every time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from experts3d.anatomy import is_lesion
from vol3d.contracts import LabelMap
from vol3d.volume.geometry import to_canonical

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_SAMPLE_VOXELS = 1 << 22
_SHOWN_SHARE = 0.5


@dataclass(frozen=True)
class KeySlice:
    """A slice of the canonical grid and the structures that it was chosen for."""

    plane: Plane
    index: int
    structures: tuple[str, ...]


def key_slices(labels: LabelMap, structures: Sequence[str] | None = None, *, per_plane: int = 1) -> tuple[KeySlice, ...]:
    """Up to `per_plane` slices in each plane that together show as much of the structures as they can.

    Lesions count before organs. A structure is shown by a slice that holds at least half of its largest area.

    Args:
        labels: the label map.
        structures: what to show; None: every structure with a voxel.
        per_plane: slices per plane.

    >>> array = np.zeros((5, 4, 4), np.uint8); array[3, 1:3, 1:3] = 1; array[2, 1, 1] = 1
    >>> labels = LabelMap(array, np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]], {1: "liver"}, "demo", "hand", "1")
    >>> key_slices(labels)[0]
    KeySlice(plane='axial', index=3, structures=('liver',))
    """
    array, _ = to_canonical(labels.array, labels.affine)
    step = max(1, round((array.size / _SAMPLE_VOXELS) ** 0.5))
    out: list[KeySlice] = []
    for axis, plane in enumerate(PLANES):
        # Whole slices are skipped by no one: only the two directions inside a slice are thinned.
        thinned = array[tuple(slice(None) if a == axis else slice(None, None, step) for a in range(3))]
        areas = slice_areas(thinned, axis)
        profiles = {}
        for name in structures if structures is not None else labels.structures:
            profile = sum((areas[i] for i in labels.ids(name) if i < len(areas)), np.zeros(array.shape[axis]))
            if profile.any():
                profiles[name] = profile / profile.max()
        out += [KeySlice(plane, index, names) for index, names in _cover(profiles, per_plane)]
    return tuple(out)


def slice_areas(array: np.ndarray, axis: int) -> Float[np.ndarray, "ids n"]:
    """Voxels of every label in every slice along an axis."""
    size = array.shape[axis]
    moved = np.moveaxis(array, axis, 0).reshape(size, -1)
    num = int(array.max(initial=0)) + 1
    return np.stack([np.bincount(plane, minlength=num) for plane in moved], axis=1).astype(np.float64)


def _cover(profiles: dict[str, np.ndarray], limit: int) -> list[tuple[int, tuple[str, ...]]]:
    """Greedy: the slice that shows most of what is not shown yet, lesions first; ties go to the middle of the plateau."""
    left = dict(profiles)
    chosen: list[tuple[int, tuple[str, ...]]] = []
    while left and len(chosen) < limit:
        first = {name: profile for name, profile in left.items() if is_lesion(name)} or left
        score = sum(first.values(), np.zeros_like(next(iter(first.values())))) + 1e-3 * sum(left.values(), np.zeros(1))
        best = np.flatnonzero(score >= score.max() - 1e-9)
        index = int(best[len(best) // 2])
        names = tuple(name for name, profile in profiles.items() if profile[index] > 0)
        chosen.append((index, names))
        left = {name: profile for name, profile in left.items() if profile[index] < _SHOWN_SHARE}
    return chosen
