"""Small scans with known geometry, for the tests of experts."""

import numpy as np

from vol3d.contracts import LabelMap
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume


def grid_mm(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Millimetres from the middle of a grid, along z, y, x."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z, y, x


def ellipsoid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float] = (0, 0, 0),
) -> np.ndarray:
    """Mask of an ellipsoid with radii along z, y, x."""
    offsets = grid_mm(shape, spacing)
    return sum(((o - c) / r) ** 2 for o, c, r in zip(offsets, centre_mm, radii_mm, strict=True)) <= 1


def scan_of(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), *, modality: str = "CT") -> Volume:
    """A canonical scan."""
    return Volume(array, make_affine(spacing), modality, "HU" if modality == "CT" else "a.u.", "scene")  # type: ignore[arg-type]


def labels_of(scan: Volume, array: np.ndarray, names: dict[int, str], **more: object) -> LabelMap:
    """A label map on a scan's grid."""
    return LabelMap(array, scan.affine, names, scan.source, "hand", "1", **more)  # type: ignore[arg-type]


def stored_as(scan: Volume, array: np.ndarray, flips: tuple[int, int, int], order: tuple[int, int, int]) -> tuple[Volume, np.ndarray]:
    """The same scan and labels with axes flipped and permuted, as a file in another orientation holds them."""
    affine = scan.affine.copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
    index = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    affine = affine[:, [*order, 3]]
    turned = scan.numpy()[index].transpose(order)
    return Volume(np.ascontiguousarray(turned), affine, scan.modality, scan.unit, scan.source), np.ascontiguousarray(array[index].transpose(order))
