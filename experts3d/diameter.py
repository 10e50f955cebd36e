"""Longest diameter in an axial slice and the longest chord across it, as radiologists measure lesions.

RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009) takes the longest diameter in the plane of measurement; the bidimensional (WHO) reading adds
the longest perpendicular. Both are measured on the convex hull of a component in one slice. Between voxel centres a round object comes out up to
a voxel or two too short, between voxel edges too long; midway, half a voxel is added to the distance of the centres, and spheres and ellipsoids
come out within one voxel of the truth. A width of a single voxel counts as that voxel, never as less.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import pdist, squareform

CONVENTION = "in the axial slice where the component is longest (RECIST 1.1): greatest distance of voxel centres on its convex hull plus half a voxel"


@dataclass(frozen=True)
class Diameter:
    """Longest diameter and its perpendicular in mm, and the slice (index into the given mask) that holds them."""

    longest_mm: float
    perpendicular_mm: float
    slice_index: int


def axial_diameter(
    mask: Bool[np.ndarray, "z y x"],
    step_y_mm: Float[np.ndarray, " 3"],
    step_x_mm: Float[np.ndarray, " 3"],
) -> Diameter:
    """Longest axial diameter of one component.

    Args:
        mask: one component, not empty; z is the slice axis.
        step_y_mm: world vector from one voxel to the next along y, so that tilted slices are measured in their own plane.
        step_x_mm: the same along x.

    >>> mask = np.zeros((1, 5, 9), bool); mask[0, 1:4, 1:8] = True
    >>> axial_diameter(mask, np.array([0, 1.0, 0]), np.array([1.0, 0, 0]))  # doctest: +ELLIPSIS
    Diameter(longest_mm=6.82..., perpendicular_mm=..., slice_index=0)

    """
    spacing = float(np.linalg.norm(step_y_mm)), float(np.linalg.norm(step_x_mm))
    floor = min(spacing)
    sheared = abs(float(step_y_mm @ step_x_mm)) > 1e-3 * spacing[0] * spacing[1]
    bounds = _slice_bounds(mask, spacing, sheared=sheared)
    best, best_slice, best_points = -1.0, int(np.argmax(bounds)), None
    for index in np.argsort(-bounds, kind="stable"):
        if bounds[index] <= best or bounds[index] < 0:
            break
        points = _plane_mm(_row_ends(mask[index]), step_y_mm, step_x_mm)
        longest = float(pdist(points).max()) if len(points) > 1 else 0.0
        if longest > best:
            best, best_slice, best_points = longest, int(index), points
    if best_points is None:
        raise ValueError("an empty mask has no diameter")
    half_voxel = 0.5 * float(np.linalg.norm(np.cross(step_y_mm, step_x_mm))) ** 0.5
    return Diameter(max(best + half_voxel, floor), max(_perpendicular(best_points) + half_voxel, floor), best_slice)


def _slice_bounds(mask: Bool[np.ndarray, "z y x"], spacing: tuple[float, float], *, sheared: bool) -> Float[np.ndarray, " z"]:
    """Per slice a length that no diameter exceeds: its box's diagonal, or both sides where pixels are no rectangles; -1 where empty."""
    lengths = []
    for axis, step in ((2, spacing[0]), (1, spacing[1])):
        line = np.asarray(mask.any(axis=axis))
        first, last = line.argmax(axis=1), line.shape[1] - 1 - line[:, ::-1].argmax(axis=1)
        lengths.append((last - first) * step)
    reach = lengths[0] + lengths[1] if sheared else np.hypot(*lengths)
    return np.where(mask.any(axis=(1, 2)), reach + 1e-9, -1.0)


def _row_ends(plane: Bool[np.ndarray, "y x"]) -> Float[np.ndarray, "n 2"]:
    """First and last voxel of each row: they include every corner of the convex hull."""
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    return np.unique(np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)]), axis=0).astype(np.float64)


def _plane_mm(points: Float[np.ndarray, "n 2"], step_y_mm: np.ndarray, step_x_mm: np.ndarray) -> Float[np.ndarray, "n 2"]:
    """Voxel indices as millimetres in an orthonormal frame of the slice."""
    along_x = step_x_mm / np.linalg.norm(step_x_mm)
    across = step_y_mm - along_x * (step_y_mm @ along_x)
    along_y = across / np.linalg.norm(across)
    world = points[:, :1] * step_y_mm + points[:, 1:] * step_x_mm
    return np.stack([world @ along_y, world @ along_x], axis=1)


def _perpendicular(points: Float[np.ndarray, "n 2"]) -> float:
    """Longest chord of the convex hull at right angles to the longest diameter."""
    if len(points) < 3:
        return 0.0
    distances = squareform(pdist(points))
    a, b = np.unravel_index(int(distances.argmax()), distances.shape)
    along = (points[b] - points[a]) / distances[a, b]
    along_mm = (points - points[a]) @ along
    across_mm = (points - points[a]) @ np.array([-along[1], along[0]])
    # Upper and lower edge of the hull over the diameter: the chord's length is piecewise linear between hull corners.
    upper, lower = _edge(along_mm, across_mm), _edge(along_mm, -across_mm)
    at = np.union1d(upper[0], lower[0])
    return float((np.interp(at, *upper) + np.interp(at, *lower)).max())


def _edge(along: Float[np.ndarray, " n"], across: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """Upper convex hull of points as (positions, heights), positions ascending (Andrew's monotone chain)."""
    hull: list[tuple[float, float]] = []
    for index in np.lexsort((across, along)):
        point = float(along[index]), float(across[index])
        while len(hull) >= 2 and _turns_left(hull[-2], hull[-1], point):
            hull.pop()
        if hull and hull[-1][0] == point[0]:
            hull.pop()
        hull.append(point)
    positions, heights = zip(*hull, strict=True)
    return np.array(positions), np.array(heights)


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0
