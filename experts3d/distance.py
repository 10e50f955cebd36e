"""How two structures lie to one another: shortest distance of their surfaces, and how far one wraps around the other."""

import numpy as np
from jaxtyping import Bool

from vol3d.contracts import LabelMap, Measurement, Status
from vol3d.volume.geometry import to_canonical

_MARGIN_MM = 5.0


def surface_distance(labels: LabelMap, structure: str, other: str) -> Measurement:
    """Shortest distance between two structures in mm: 0 where they share or touch voxels, else between the nearest voxel faces.

    >>> array = np.zeros((1, 1, 9), np.uint8); array[..., 1], array[..., 6] = 1, 2
    >>> labels = LabelMap(array, np.diag([2.0, 1, 1, 1])[[2, 1, 0, 3]], {1: "pancreas_lesion", 2: "aorta"}, "demo", "hand", "1")
    >>> surface_distance(labels, "pancreas_lesion", "aorta").value
    4.0
    """
    method = f"shortest distance to {other}: nearest voxel centres less one voxel, 0 where they touch"
    status = _status(labels, structure, other)
    if status is not Status.FOUND:
        return _record(labels, structure, f"distance_to_{other}", None, "mm", method, status)
    first, second, spacing = _pair(labels, structure, other)
    if (first & second).any():
        return _record(labels, structure, f"distance_to_{other}", 0.0, "mm", method, status)
    import edt

    away = edt.edt(np.ascontiguousarray(~first), anisotropy=spacing, black_border=False, parallel=1)
    nearest_mm = float(away[second].min())
    # Between centres of touching voxels lies one voxel (up to its space diagonal at corners): that much is no gap.
    touching_mm = float(np.linalg.norm(spacing))
    gap = 0.0 if nearest_mm <= touching_mm * (1 + 1e-6) and _touch(first, second) else nearest_mm - _step_mm(first, second, away, spacing)
    return _record(labels, structure, f"distance_to_{other}", max(0.0, gap), "mm", method, status)


def contact_angle(labels: LabelMap, lesion: str, vessel: str, *, reach_mm: float = 1.5) -> Measurement:
    """How many degrees of a vessel's circumference a lesion touches, in the axial slice where it touches most.

    NCCN calls a pancreatic tumour borderline resectable up to 180 degrees of contact with an artery and unresectable above.

    Args:
        labels: the label map.
        lesion: the structure that may wrap around.
        vessel: the structure that may be wrapped.
        reach_mm: contact is when the vessel's border lies within this distance of the lesion (at least one voxel).

    >>> array = np.zeros((1, 9, 9), np.uint8); array[:, 3:6, 3:6] = 2; array[:, 3:6, 6:8] = 1
    >>> labels = LabelMap(array, np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]], {1: "pancreas_lesion", 2: "aorta"}, "demo", "hand", "1")
    >>> 60 <= contact_angle(labels, "pancreas_lesion", "aorta").value <= 135
    True
    """
    name, method = (
        f"contact_angle_with_{vessel}",
        f"degrees of the {vessel}'s axial border within {reach_mm} mm or a voxel of it, seen from its centre",
    )
    status = _status(labels, lesion, vessel)
    if status is not Status.FOUND:
        return _record(labels, lesion, name, None, "degrees", method, status)
    first, second, spacing = _pair(labels, lesion, vessel)
    import edt

    away = edt.edt(np.ascontiguousarray(~first), anisotropy=spacing, black_border=False, parallel=1)
    near = max(reach_mm, max(spacing[1:]) * 1.01)
    degrees = [_covered_degrees(plane, distance <= near, spacing) for plane, distance in zip(second, away, strict=True) if plane.any()]
    return _record(labels, lesion, name, max(degrees), "degrees", method, status)


def _covered_degrees(vessel: Bool[np.ndarray, "y x"], near: Bool[np.ndarray, "y x"], spacing: tuple[float, float, float]) -> float:
    """Share of directions, as degrees, in which the outermost voxel of the vessel is near the lesion."""
    where = np.argwhere(vessel)
    offsets = (where - where.mean(axis=0)) * spacing[1:]
    radius = np.hypot(*offsets.T)
    sector = ((np.degrees(np.arctan2(offsets[:, 0], offsets[:, 1])) + 360) % 360 // 15).astype(int)
    covered, known = 0, 0
    for index in range(24):
        inside = np.flatnonzero(sector == index)
        if len(inside):
            known += 1
            covered += bool(near[tuple(where[inside[radius[inside].argmax()]])])
    return 360.0 * covered / known


def _pair(labels: LabelMap, structure: str, other: str) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Both masks in canonical order, cropped to the box that holds them."""
    array, affine = to_canonical(labels.array, labels.affine)
    spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    either = np.isin(array, (*labels.ids(structure), *labels.ids(other)))
    box = []
    for axis in range(3):
        line = np.flatnonzero(either.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = int(np.ceil(_MARGIN_MM / spacing[axis]))
        box.append(slice(max(0, int(line[0]) - margin), int(line[-1]) + 1 + margin))
    crop = array[tuple(box)]
    return np.isin(crop, labels.ids(structure)), np.isin(crop, labels.ids(other)), (spacing[0], spacing[1], spacing[2])


def _touch(first: Bool[np.ndarray, "z y x"], second: Bool[np.ndarray, "z y x"]) -> bool:
    from scipy import ndimage

    return bool((ndimage.binary_dilation(first, np.ones((3, 3, 3))) & second).any())


def _step_mm(first: np.ndarray, second: np.ndarray, away: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Size of one voxel in the direction of the shortest connection."""
    target = np.argwhere(second)[int(away[second].argmin())]
    starts = np.argwhere(first)
    offsets = (starts - target) * np.array(spacing)
    direction = np.abs(offsets[int(np.square(offsets).sum(axis=1).argmin())])
    unit = direction / np.linalg.norm(direction)
    return float(1 / np.max(unit / np.array(spacing)))


def _status(labels: LabelMap, *structures: str) -> Status:
    statuses = [labels.status(name) for name in structures]
    order = (Status.FAILED, Status.NOT_COVERED, Status.ABSENT)
    return next((status for status in order if status in statuses), Status.FOUND)


def _record(labels: LabelMap, structure: str, name: str, value: float | None, unit: str, method: str, status: Status) -> Measurement:
    mask_id = f"{labels.expert}@{labels.version}:{structure}"
    return Measurement(name=name, value=value, unit=unit, structure=structure, method=method, mask_id=mask_id, status=status)
