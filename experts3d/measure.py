"""Measure every structure of a label map in one pass: volume, diameters, components, intensities, place.

Conventions, also written into each `Measurement.method`:
- volume is the voxel count times the voxel's volume, exactly;
- slices are the scan's own, brought into canonical order (slice 0 is the most inferior); a tilt of more than 10 degrees is named;
- components are 26-connected; findings (tumour, cyst, nodule, ...) get the numbers of their largest components one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cc3d
import numpy as np

from experts3d.anatomy import is_lesion, side_of_name
from experts3d.diameter import CONVENTION, axial_diameter
from experts3d.midline import midline_x_mm
from experts3d.tally import Tally, compact_labels, crop_mask, split_boxes, tally_compact, union_box
from vol3d.contracts import LabelMap, Measurement, Status
from vol3d.volume.geometry import require_same_grid, to_canonical
from vol3d.volume.volume import Volume

_MIDLINE_MM = 15.0
_TILT_DEGREES = 10.0
_DIAMETER_COMPONENTS = 3
_PERCENTILES = (("p5_intensity", 0.05), ("median_intensity", 0.5), ("p95_intensity", 0.95))


def measure(
    volume: Volume,
    labels: LabelMap,
    structures: Sequence[str] | None = None,
    *,
    max_components: int = 10,
) -> tuple[Measurement, ...]:
    """Measure structures of a label map.

    Args:
        volume: the scan.
        labels: labels on the scan's grid; another grid raises GeometryError.
        structures: names to measure; None: all that the map speaks about.
        max_components: how many components of a finding get numbers of their own, largest first.

    Absent structures get a volume of 0 ml and a count of 0 with status `absent`; what is not covered, or failed, gets no numbers at all
    (its status and reason stand in the label map).

    >>> from vol3d.volume.geometry import make_affine
    >>> cube = np.zeros((4, 6, 6), np.uint8); cube[1:3, 1:4, 2:4] = 1
    >>> scan = Volume(cube * np.int16(60), make_affine((2, 1, 1)), "CT", "HU")
    >>> labels = LabelMap(cube, scan.affine, {1: "spleen"}, "demo", "hand", "1")
    >>> [(m.name, m.value, m.unit) for m in measure(scan, labels)][:2]
    [('volume', 0.024, 'ml'), ('num_components', 1, '')]

    """
    require_same_grid(volume.shape, volume.affine, labels.array.shape, labels.affine, path=labels.source or None)
    scene = _Scene(volume, labels)
    out: list[Measurement] = []
    for structure in labels.structures if structures is None else structures:
        status = scene.status(structure)
        if status is Status.FOUND:
            out += scene.whole(structure)
            out += scene.components(structure, max_components) if is_lesion(structure) else []
        elif status is Status.ABSENT:
            out += scene.absent(structure)
    return tuple(out)


@dataclass(frozen=True)
class _Part:
    """One component: where its box is, how many voxels it has, and its mask inside the box."""

    box: tuple[slice, slice, slice]
    count: int
    mask: np.ndarray


class _Scene:
    """A scan and its labels in canonical order, with what several structures share computed once."""

    def __init__(self, volume: Volume, labels: LabelMap) -> None:
        self.volume, self.labels = volume, labels
        self.image = volume.canonical().numpy()
        self.array, self.affine = to_canonical(labels.array, labels.affine)
        self.voxel_ml = volume.voxel_ml
        self.spacing = tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        self.unit = "HU" if volume.unit == "HU" else "a.u."

    @cached_property
    def tally(self) -> Tally:
        return tally_compact(self.image, *self.compact)

    @cached_property
    def compact(self) -> tuple[np.ndarray, np.ndarray]:
        return compact_labels(self.array)

    @cached_property
    def midline_mm(self) -> float | None:
        return midline_x_mm(self.volume, self.labels)

    @cached_property
    def tilt_note(self) -> str:
        normal = self.affine[:3, 2], self.affine[:3, 1]
        axis = np.cross(*normal)
        degrees = float(np.degrees(np.arccos(min(1.0, abs(axis[2]) / np.linalg.norm(axis)))))
        return f"; slices are {degrees:.0f} degrees off axial" if degrees > _TILT_DEGREES else ""

    def status(self, structure: str) -> Status:
        given = self.labels.statuses.get(structure)
        if given in (Status.NOT_COVERED, Status.FAILED, Status.ABSENT):
            return given
        if structure not in self.labels.structures:
            return Status.NOT_COVERED
        return Status.FOUND if len(self._rows(structure)) else Status.ABSENT

    def absent(self, structure: str) -> list[Measurement]:
        return [
            self._record(structure, "volume", 0.0, "ml", "no voxel", status=Status.ABSENT),
            self._record(structure, "num_components", 0, "", "no voxel", status=Status.ABSENT),
        ]

    def whole(self, structure: str) -> list[Measurement]:
        """All measurements of a structure as one."""
        rows = self._rows(structure)
        count = int(self.tally.counts[rows].sum())
        num_components, parts = self._parts(structure, max(1, _DIAMETER_COMPONENTS))
        box = union_box(self.tally, rows)
        centroid = (self.tally.centroids_vox[rows] * self.tally.counts[rows, None]).sum(axis=0) / count
        mean = self.tally.sums[rows].sum() / count
        variance = max(0.0, self.tally.squares[rows].sum() / count - mean**2)
        of = f"all {count} voxels"
        out = [
            self._volume(structure, count),
            self._record(structure, "num_components", num_components, "", "26-connected components"),
            *self._diameters(structure, parts, "longest of the largest components, "),
            self._record(structure, "mean_intensity", float(mean), self.unit, f"mean of {of}"),
            self._record(structure, "sd_intensity", float(np.sqrt(variance)), self.unit, f"population standard deviation of {of}"),
        ]
        out += [
            self._record(structure, name, self.tally.percentile(rows, share), self.unit, f"lowest value that {share:.0%} of voxels do not exceed")
            for name, share in _PERCENTILES
        ]
        return [*out, *self._place(structure, box, centroid)]

    def components(self, structure: str, limit: int) -> list[Measurement]:
        """The largest components of a finding, one by one."""
        out: list[Measurement] = []
        for number, part in enumerate(self._parts(structure, limit)[1], start=1):
            values = self.image[part.box][part.mask].astype(np.float64)
            centroid = np.argwhere(part.mask).mean(axis=0) + [axis.start for axis in part.box]
            of = f"the component's {part.count} voxels"
            out += [
                self._volume(structure, part.count, component=number),
                *self._diameters(structure, [part], "", component=number),
                self._record(structure, "mean_intensity", float(values.mean()), self.unit, f"mean of {of}", component=number),
                self._record(structure, "sd_intensity", float(values.std()), self.unit, f"population standard deviation of {of}", component=number),
                *self._place(structure, part.box, centroid, component=number),
            ]
        return out

    def _rows(self, structure: str) -> np.ndarray:
        return self.tally.rows(self.labels.ids(structure))

    @cached_property
    def _labelled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Components of every label at once: numbers, label id of each, voxel count, box starts and stops."""
        compact, ids = self.compact
        numbers, num = cc3d.connected_components(compact, connectivity=26, return_N=True)
        owner = np.zeros(num + 1, np.int64)
        owner[numbers.ravel()] = compact.ravel()
        found = cc3d.statistics(numbers)
        starts, stops = split_boxes(found["bounding_boxes"][1:])
        return numbers, np.concatenate([[0], ids])[owner[1:]], np.asarray(found["voxel_counts"][1:], np.int64), starts, stops

    def _parts(self, structure: str, limit: int) -> tuple[int, list[_Part]]:
        """Number of components, and the `limit` largest."""
        ids = self.labels.ids(structure)
        if len(self._rows(structure)) == 1:
            numbers, owner, counts, starts, stops = self._labelled
            chosen, offset = np.flatnonzero(np.isin(owner, ids)), np.zeros(3, np.int64)
        else:
            # Labels of one structure may touch, so a union is labelled again, inside its box.
            box = union_box(self.tally, self._rows(structure))
            numbers, num = cc3d.connected_components(crop_mask(self.array, ids, box), connectivity=26, return_N=True)
            found = cc3d.statistics(numbers)
            counts = np.asarray(found["voxel_counts"][1:], np.int64)
            starts, stops = split_boxes(found["bounding_boxes"][1:])
            chosen, offset = np.arange(num), np.array([axis.start for axis in box])
        order = chosen[np.argsort(-counts[chosen], kind="stable")][:limit]
        parts = []
        for index in order:
            inner = tuple(slice(int(a), int(b)) for a, b in zip(starts[index], stops[index], strict=True))
            z, y, x = (slice(int(axis.start + shift), int(axis.stop + shift)) for axis, shift in zip(inner, offset, strict=True))
            parts.append(_Part((z, y, x), int(counts[index]), numbers[inner] == index + 1))
        return len(chosen), parts

    def _volume(self, structure: str, count: int, *, component: int | None = None) -> Measurement:
        method = f"{count} voxels x {self.voxel_ml:.6g} ml"
        return self._record(structure, "volume", count * self.voxel_ml, "ml", method, component=component)

    def _diameters(self, structure: str, parts: Sequence[_Part], which: str, *, component: int | None = None) -> Iterator[Measurement]:
        found = [axial_diameter(part.mask, self.affine[:3, 1], self.affine[:3, 2]) for part in parts]
        best = max(range(len(found)), key=lambda index: found[index].longest_mm)
        at = found[best].slice_index + parts[best].box[0].start
        method = f"{which}{CONVENTION}; slice {at}{self.tilt_note}"
        yield self._record(structure, "longest_axial_diameter", found[best].longest_mm, "mm", method, component=component)
        across = f"longest chord at right angles to the longest diameter; slice {at}{self.tilt_note}"
        yield self._record(structure, "perpendicular_diameter", found[best].perpendicular_mm, "mm", across, component=component)
        yield self._record(structure, "longest_diameter_slice", at, "", "slice index from inferior, from 0", component=component)

    def _place(self, structure: str, box: tuple[slice, ...], centroid_vox: np.ndarray, *, component: int | None = None) -> Iterator[Measurement]:
        world = (self.affine @ np.array([*centroid_vox, 1.0]))[:3]
        extent = tuple((axis.stop - axis.start) * step for axis, step in zip(box, self.spacing, strict=True))
        border = any(axis.start == 0 or axis.stop == size for axis, size in zip(box, self.array.shape, strict=True))
        counted = "slice index from inferior, from 0"
        yield self._record(
            structure,
            "centroid_ras_mm",
            tuple(float(w) for w in world),
            "mm",
            "mean voxel position, x right, y anterior, z superior",
            component=component,
        )
        yield self._side(structure, float(world[0]), component)
        yield self._record(structure, "first_slice", box[0].start, "", counted, component=component)
        yield self._record(structure, "last_slice", box[0].stop - 1, "", counted, component=component)
        yield self._record(structure, "extent_mm", extent, "mm", "bounding box z, y, x in whole voxels", component=component)
        yield self._record(
            structure,
            "touches_border",
            int(border),
            "",
            "1 if it reaches the first or last voxel of the scan along any axis, else 0",
            component=component,
        )

    def _side(self, structure: str, x_mm: float, component: int | None) -> Measurement:
        named = side_of_name(structure)
        if named is not None:
            return self._record(structure, "side", named, "", "from the structure's name", component=component)
        if self.midline_mm is None:
            method = "no spine, no paired organ and no whole outline in the scan to find the midline from"
            return self._record(structure, "side", None, "", method, component=component, status=Status.NOT_COVERED)
        away = x_mm - self.midline_mm
        side = "midline" if abs(away) <= _MIDLINE_MM else "right" if away > 0 else "left"
        method = f"centroid {away:+.0f} mm from the midline (RAS x, + is the patient's right; within {_MIDLINE_MM:.0f} mm is midline)"
        return self._record(structure, "side", side, "", method, component=component)

    def _record(
        self, structure: str, name: str, value: object, unit: str, method: str, *, component: int | None = None, status: Status = Status.FOUND
    ) -> Measurement:
        mask_id = f"{self.labels.expert}@{self.labels.version}:{structure}"
        return Measurement(
            name=name,
            value=value,  # type: ignore[arg-type]
            unit=unit,
            structure=structure,
            component=component,
            method=method,
            mask_id=mask_id,
            status=status,
        )
