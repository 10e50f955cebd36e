"""What can be known of one scan from its masks: organs, lesions, sides, segments, contacts. Families ask only this.

All arrays are in canonical order (z to superior, y to anterior, x to the patient's right); slices count from the most inferior, from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cc3d
import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from data_prep.questions.anatomy import LESION_CLASSES, LesionClass
from data_prep.questions.segments import segment_masks
from experts3d.diameter import axial_diameter
from experts3d.thresholds import ENHANCED_BLOOD_HU
from vol3d.contracts import LabelMap, Measurement, Status
from vol3d.volume.geometry import require_same_grid, to_canonical
from vol3d.volume.volume import Volume

Box = tuple[slice, slice, slice]
_SLICE_MARGIN_MM = 10.0
_UNENHANCED = {"unenhanced", "native", "plain", "non-contrast", "noncontrast", "non-enhanced"}


@dataclass(frozen=True)
class Component:
    """One connected lesion: its number (1 is the largest), size, density, and its mask inside its box."""

    index: int
    volume_ml: float
    diameter_mm: float
    perpendicular_mm: float
    mean: float
    slice_index: int
    touches_border: bool
    box: Box
    mask: Bool[np.ndarray, "z y x"]


class Facts:
    """Lazily measured facts of one scan.

    Args:
        volume: the scan.
        labels: masks on its grid.
        phase: contrast phase where it is known (`unenhanced`, `arterial`, `portal venous`, ...); None: judged by the aorta, if there is one.
        measurements: of `experts3d.measure`, used where given so that a corpus is not measured twice.
    """

    def __init__(self, volume: Volume, labels: LabelMap, *, phase: str | None = None, measurements: Sequence[Measurement] | None = None) -> None:
        require_same_grid(volume.shape, volume.affine, labels.array.shape, labels.affine, path=labels.source or None)
        self.volume, self.labels, self.given_phase = volume, labels, phase
        self.image = np.asarray(volume.canonical().array)
        self.array, self.affine = to_canonical(labels.array, labels.affine)
        self.voxel_ml = volume.voxel_ml
        self.spacing_mm = tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        self._numbers = {
            (m.structure, m.name): float(m.value) for m in measurements or () if m.component is None and isinstance(m.value, int | float)
        }
        self._masks: dict[tuple[str, ...], tuple[Box, np.ndarray] | None] = {}
        self._components: dict[str, tuple[Component, ...]] = {}

    @property
    def is_ct(self) -> bool:
        """Whether intensities are HU."""
        return self.volume.unit == "HU"

    @cached_property
    def _boxes(self) -> dict[int, Box]:
        found = ndimage.find_objects(self.array.astype(np.int32, copy=False))
        return {i: box for i, box in enumerate(found, start=1) if box is not None}

    def _box(self, ids: Sequence[int]) -> Box | None:
        boxes = [self._boxes[i] for i in ids if i in self._boxes]
        if not boxes:
            return None
        z, y, x = (slice(min(b[a].start for b in boxes), max(b[a].stop for b in boxes)) for a in range(3))
        return z, y, x

    def region(self, *structures: str) -> tuple[Box, np.ndarray] | None:
        """Box and mask (inside the box) of the union of structures; None where they have no voxel."""
        key = tuple(sorted(structures))
        if key not in self._masks:
            ids = sorted({i for name in structures for i in self.labels.ids(name)})
            box = self._box(ids)
            self._masks[key] = None if box is None else (box, _mask(self.array[box], ids))
        return self._masks[key]

    def status(self, structure: str) -> Status:
        """Found, absent, not covered or failed; without touching all voxels."""
        given = self.labels.statuses.get(structure)
        if given is not None:
            return given
        if structure not in self.labels.structures:
            return Status.NOT_COVERED
        return Status.FOUND if self._box(self.labels.ids(structure)) is not None else Status.ABSENT

    def found(self, structure: str) -> bool:
        """Whether a structure has voxels."""
        return self.region(structure) is not None

    def is_cut(self, *structures: str) -> bool:
        """Whether a structure reaches the scan's border, or ends within 10 mm of its first or last slice, where masks tend to stop short."""
        found = self.region(*structures)
        return found is not None and self._at_border(found[0])

    def _at_border(self, box: Box) -> bool:
        z, size, step = box[0], self.array.shape[0], self.spacing_mm[0]
        if z.start * step < _SLICE_MARGIN_MM or (size - z.stop) * step < _SLICE_MARGIN_MM:
            return True
        return any(axis.start == 0 or axis.stop == size for axis, size in zip(box, self.array.shape, strict=True))

    def volume_ml(self, *structures: str) -> float:
        """Voxels times voxel volume; 0 where there is nothing."""
        if len(structures) == 1 and (structures[0], "volume") in self._numbers:
            return self._numbers[structures[0], "volume"]
        found = self.region(*structures)
        return 0.0 if found is None else int(np.count_nonzero(found[1])) * self.voxel_ml

    def mean(self, structure: str, *, without: Sequence[str] = ()) -> float:
        """Mean intensity of a structure, leaving out others (its lesions)."""
        if not without and (structure, "mean_intensity") in self._numbers:
            return self._numbers[structure, "mean_intensity"]
        found = self.region(structure)
        if found is None:
            return float("nan")
        box, mask = found
        if without:
            mask = mask & ~_mask(self.array[box], [i for name in without for i in self.labels.ids(name)])
        values = self.image[box][mask]
        return float(values.mean(dtype=np.float64)) if values.size else float("nan")

    @property
    def phase(self) -> str | None:
        """`unenhanced`, another phase, `enhanced`, or None where nothing tells."""
        if self.given_phase is not None:
            return "unenhanced" if self.given_phase.lower() in _UNENHANCED else self.given_phase
        if not self.is_ct or not self.found("aorta"):
            return None
        return "enhanced" if self.mean("aorta") > ENHANCED_BLOOD_HU.value else "unenhanced"

    def lesion_status(self, lesion: LesionClass) -> Status:
        """Found, absent (every class that must be told apart was looked for, and has no voxel), or not covered."""
        if any(self.status(name) is Status.FOUND for name in lesion.structures):
            return Status.FOUND
        looked_for = all(any(self.status(name) is Status.ABSENT for name in needed) for needed in lesion.needed)
        return Status.ABSENT if looked_for else Status.NOT_COVERED

    def lesion_volume_ml(self, lesion: LesionClass, side: str | None = None) -> float:
        """Total volume of a lesion class; of one side where the host has two."""
        if side is None:
            return self.volume_ml(*lesion.structures)
        return sum(c.volume_ml for c in self.components(lesion.name) if self.side_of(c, lesion) == side)

    def components(self, lesion_name: str) -> tuple[Component, ...]:
        """26-connected components of a lesion class, largest first."""
        if lesion_name not in self._components:
            found = self.region(*LESION_CLASSES[lesion_name].structures)
            self._components[lesion_name] = () if found is None else tuple(self._split(*found))
        return self._components[lesion_name]

    def _split(self, box: Box, mask: np.ndarray) -> list[Component]:
        numbers, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, return_N=True)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        inner = ndimage.find_objects(numbers.astype(np.int32, copy=False))
        out = []
        for rank, number in enumerate(np.argsort(-sizes, kind="stable"), start=1):
            local = inner[number]
            own = numbers[local] == number + 1
            z, y, x = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(local, box, strict=True))
            whole = (z, y, x)
            per_slice = own.sum(axis=(1, 2))
            diameter = axial_diameter(own, self.affine[:3, 1], self.affine[:3, 2])
            mean = float(self.image[whole][own].mean(dtype=np.float64))
            slice_index = int(np.argmax(per_slice)) + z.start
            out.append(
                Component(
                    rank,
                    int(sizes[number]) * self.voxel_ml,
                    diameter.longest_mm,
                    diameter.perpendicular_mm,
                    mean,
                    slice_index,
                    self._at_border(whole),
                    whole,
                    own,
                )
            )
        return out

    def side_of(self, component: Component, lesion: LesionClass) -> str | None:
        """Which of two paired hosts is nearest to a component: by overlap of boxes' centres with the hosts'."""
        centre = _centre(component.box, self.spacing_mm)
        distances = {}
        for side in ("left", "right"):
            found = self.region(f"{lesion.host}_{side}")
            if found is not None:
                distances[side] = float(np.linalg.norm(_centre(found[0], self.spacing_mm) - centre))
        return min(distances, key=lambda s: distances[s]) if distances else None

    def segments(self, organ: str) -> dict[str, tuple[Box, np.ndarray]]:
        """Named parts of an organ: labelled segments, else thirds of its extent (the names say which)."""
        return segment_masks(self, organ)

    def segment_of(self, component: Component, organ: str) -> str | None:
        """The segment that holds most of a component's voxels; None on a tie or outside.

        Where masks exclude each other (a lesion's voxels are not its segment's) the voxels around the component vote instead.
        """
        segments = self.segments(organ)
        held = {name: _overlap(component.box, component.mask, *region) for name, region in segments.items()}
        if not any(held.values()):
            window = self._grown(component.box, max(self.spacing_mm))
            rim = np.zeros(tuple(w.stop - w.start for w in window), bool)
            rim[_inside(component.box, window)] = component.mask
            rim = ndimage.binary_dilation(rim, structure=np.ones((3, 3, 3), bool)) & ~rim
            held = {name: _overlap(window, rim, *region) for name, region in segments.items()}
        ordered = sorted(held.values(), reverse=True)
        if not ordered or ordered[0] == 0 or (len(ordered) > 1 and ordered[0] == ordered[1]):
            return None
        return max(held, key=lambda name: held[name])

    def distances_mm(self, component: Component, structures: Sequence[str], *, reach_mm: float = 60.0) -> dict[str, float]:
        """Smallest distance between voxel centres of a component and each structure that comes within `reach_mm`."""
        window = self._grown(component.box, reach_mm)
        outside = np.ones(tuple(w.stop - w.start for w in window), bool)
        outside[_inside(component.box, window)] &= ~component.mask
        far = ndimage.distance_transform_edt(outside, sampling=self.spacing_mm)
        reached = {}
        for structure in structures:
            found = self.region(structure)
            part = None if found is None else _common(window, found[0])
            if found is None or part is None:
                continue
            values = far[_inside(part, window)][found[1][_inside(part, found[0])]]
            if values.size and values.min() <= reach_mm:
                reached[structure] = float(values.min())
        return reached

    def _grown(self, box: Box, mm: float) -> Box:
        z, y, x = (
            slice(max(0, axis.start - int(mm / step) - 1), min(size, axis.stop + int(mm / step) + 1))
            for axis, step, size in zip(box, self.spacing_mm, self.array.shape, strict=True)
        )
        return z, y, x

    def contact_degrees(self, component: Component, vessel: str) -> float:
        """Widest share of a vessel's circumference, over axial slices, that lies against a component (within 1.5 pixels), in degrees."""
        found = self.region(vessel)
        if found is None:
            return 0.0
        window = self._grown(component.box, 3 * max(self.spacing_mm))
        tumour = np.zeros(tuple(w.stop - w.start for w in window), bool)
        tumour[_inside(component.box, window)] = component.mask
        vessel_mask = _mask(self.array[window], self.labels.ids(vessel))
        widest = 0.0
        for plane, other in zip(vessel_mask, tumour, strict=True):
            if plane.any() and other.any():
                widest = max(widest, _contact_share(plane, other) * 360.0)
        return widest


def _contact_share(vessel: Bool[np.ndarray, "y x"], tumour: Bool[np.ndarray, "y x"]) -> float:
    """Share of the vessel's rim pixels that have a tumour pixel among their 8 neighbours."""
    rim = vessel & ~ndimage.binary_erosion(vessel)
    near = ndimage.binary_dilation(tumour, structure=np.ones((3, 3), bool))
    return float((rim & near).sum() / rim.sum())


def _mask(crop: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    return crop == ids[0] if len(ids) == 1 else np.isin(crop, list(ids))


def _centre(box: Box, spacing_mm: Sequence[float]) -> np.ndarray:
    return np.array([(axis.start + axis.stop - 1) / 2 * step for axis, step in zip(box, spacing_mm, strict=True)])


def _common(a: Box, b: Box) -> Box | None:
    """The box that two boxes share."""
    z, y, x = (slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return None if any(axis.start >= axis.stop for axis in (z, y, x)) else (z, y, x)


def _inside(inner: Box, outer: Box) -> Box:
    """A box in the indices of a box around it."""
    z, y, x = (slice(p.start - q.start, p.stop - q.start) for p, q in zip(inner, outer, strict=True))
    return z, y, x


def _overlap(own_box: Box, own: np.ndarray, box: Box, mask: np.ndarray) -> int:
    both = _common(own_box, box)
    return 0 if both is None else int((own[_inside(both, own_box)] & mask[_inside(both, box)]).sum())
