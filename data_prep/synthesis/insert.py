"""Insert a lesion into a scan, with an exact mask and a true sentence.

Hand-crafted synthesis in the manner of Hu et al., "Label-free liver tumor segmentation" (CVPR 2023): a deformed ellipsoid with a
soft edge, its own texture under the scan's own noise, and a local push that moves the host's structures and their labels alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from data_prep.synthesis.kinds import KINDS, LesionKind, LesionPlan, find_kind
from experts3d.diameter import axial_diameter
from vol3d.contracts import LabelMap
from vol3d.errors import ConfigError, GeometryError, IntensityError
from vol3d.volume.volume import Volume

_NOISE_MM = 4.0  # what is finer than this in the host is taken for noise and kept
_PUSH_REACH = 1.8  # radii over which the push fades
_ANGLE_STEP = 9
_MIN_VOXELS = 4


@dataclass(frozen=True)
class Inserted:
    """A scan with one lesion more.

    Args:
        volume: the scan; its header says `synthetic`.
        labels: with a new id for the lesion; the host's own id is renamed to `<host>_parenchyma` and a union keeps the whole.
        label_id: the lesion's id.
        plan: as asked, with everything filled in.
        longest_mm, perpendicular_mm: measured on the mask, axial.
        volume_ml: of the mask.
        sentence: for a report.
    """

    volume: Volume
    labels: LabelMap
    label_id: int
    plan: LesionPlan
    longest_mm: float
    perpendicular_mm: float
    volume_ml: float
    sentence: str


def draw_plan(labels: LabelMap, rng: np.random.Generator, *, kind: str | None = None) -> LesionPlan:
    """A plausible lesion for what the label map holds.

    Raises:
        ConfigError: no structure that could carry one.
    """
    names = [find_kind(kind).name] if kind else list(KINDS)
    possible = [(name, host) for name in names for host in hosts_of(labels, KINDS[name])]
    if not possible:
        raise ConfigError("no structure here can carry this lesion", expected=kind or ", ".join(KINDS), found=", ".join(labels.structures)[:120])
    chosen, host = possible[int(rng.integers(len(possible)))]
    low, high = KINDS[chosen].diameter_mm
    # Small lesions are more frequent than large ones.
    diameter = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return LesionPlan(chosen, host, round(diameter, 1), elongation=round(float(rng.uniform(1, 1.4)), 2))


def hosts_of(labels: LabelMap, kind: LesionKind) -> list[str]:
    """Structures of a map that can carry a kind: named so, and no lesions themselves; the whole organ where the map knows it."""
    barred = (*KINDS, "kidney_vessel", "liver_vessel")
    fitting = [n for n in labels.structures if n.startswith(kind.hosts) and not n.startswith(barred) and labels.ids(n)]
    return [name for name in fitting if not (name.endswith("_parenchyma") and name.removesuffix("_parenchyma") in fitting)]


def insert_lesion(volume: Volume, labels: LabelMap, plan: LesionPlan, rng: np.random.Generator) -> Inserted:
    """Insert one lesion.

    Args:
        volume: CT in HU on the labels' grid.
        labels: organ masks; lesions that they hold are kept clear of.
        plan: what and where; the centre is drawn among the places where it fits.
        rng: decides place, outline and texture; the same state gives the same voxels.

    Raises:
        IntensityError: not CT. GeometryError: the lesion does not fit into its host.
    """
    if volume.unit != "HU":
        raise IntensityError("lesions are inserted into CT only", path=volume.source or None, found=volume.modality)
    if labels.array.shape != volume.shape:
        raise GeometryError("the labels lie on another grid", expected=volume.shape, found=labels.array.shape)
    kind = find_kind(plan.kind)
    host = labels.mask(plan.host)
    if not host.any():
        raise GeometryError(f"there is no {plan.host} in this scan", path=volume.source or None)
    centre = plan.centre_vox or _draw_centre(host & ~_lesions(labels), volume, plan, rng)
    box = _Box.about(centre, plan.diameter_mm * plan.elongation, volume)
    hu, ids = volume.numpy().astype(np.float32), labels.array.copy()
    noise = _noise(hu[box.slices], box)  # before the push, whose interpolation would smooth it
    _push(hu, ids, box, kind.mass_effect, plan.diameter_mm / 2)
    inside = np.isin(ids[box.slices], labels.ids(plan.host))
    alpha = _membership(box, plan, kind, rng) * _soft(inside, box, kind.edge_mm)
    target = plan.attenuation_hu if plan.attenuation_hu is not None else _attenuation(hu[box.slices][inside], kind, rng)
    texture = kind.texture_hu * _smooth_noise(box, 2.0, rng)
    hu[box.slices] = hu[box.slices] * (1 - alpha) + alpha * (target + texture + noise)
    mask = (alpha > 0.5) & inside
    mask = _largest(mask)
    if mask.sum() < _MIN_VOXELS:
        raise GeometryError(
            "the lesion is too small for this grid",
            expected=f"at least {_MIN_VOXELS} voxels",
            found=int(mask.sum()),
            hint="Ask for a larger diameter.",
        )
    label_id = int(ids.max()) + 1
    ids = ids.astype(np.uint16) if label_id > 255 else ids
    ids[box.slices][mask] = label_id
    return _result(volume, labels, replace(plan, attenuation_hu=round(float(target), 1), centre_vox=centre), hu, ids, label_id, mask)


@dataclass(frozen=True)
class _Box:
    """The part of a scan that a lesion touches, with millimetre coordinates about its centre."""

    slices: tuple[slice, slice, slice]
    offsets_mm: tuple[np.ndarray, np.ndarray, np.ndarray]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def about(cls, centre: Sequence[int], diameter_mm: float, volume: Volume) -> "_Box":
        reach = diameter_mm / 2 * _PUSH_REACH + 6
        slices, offsets = [], []
        for axis, (c, n, s) in enumerate(zip(centre, volume.shape, volume.spacing_mm, strict=True)):
            if not 0 <= c < n:
                raise GeometryError("the centre lies outside of the scan", expected=f"0 to {n - 1}", found=c)
            a, b = max(0, int(c - reach / s)), min(n, int(c + reach / s) + 2)
            slices.append(slice(a, b))
            offsets.append(((np.arange(a, b) - c) * s).reshape([-1 if k == axis else 1 for k in range(3)]))
        return cls((slices[0], slices[1], slices[2]), (offsets[0], offsets[1], offsets[2]), volume.spacing_mm)

    @property
    def distance_mm(self) -> np.ndarray:
        z, y, x = self.offsets_mm
        return np.sqrt(z**2 + y**2 + x**2)

    @property
    def shape(self) -> tuple[int, int, int]:
        z, y, x = (s.stop - s.start for s in self.slices)
        return z, y, x


def _lesions(labels: LabelMap) -> Bool[np.ndarray, "z y x"]:
    ids = [i for i, name in labels.names.items() if name.startswith(tuple(KINDS))]
    return np.isin(labels.array, ids)


def _draw_centre(host: np.ndarray, volume: Volume, plan: LesionPlan, rng: np.random.Generator) -> tuple[int, int, int]:
    """A voxel of the host so deep that most of the lesion lies inside."""
    depth = ndimage.distance_transform_edt(host, sampling=volume.spacing_mm)
    needed = 0.75 * plan.diameter_mm / 2
    if depth.max() < needed:
        raise GeometryError(
            f"a lesion of {plan.diameter_mm:g} mm does not fit into the {plan.host}",
            expected=f"at most {2 * float(depth.max()) / 0.75:.0f} mm",
            found=f"{plan.diameter_mm:g} mm",
            hint="Ask for a smaller one.",
        )
    places = np.flatnonzero(depth >= needed)
    z, y, x = (int(i) for i in np.unravel_index(int(rng.choice(places)), host.shape))
    return z, y, x


def _push(hu: np.ndarray, ids: np.ndarray, box: _Box, strength: float, radius_mm: float) -> None:
    """Move what lies around outward, image and labels by the same field: growth displaces, it does not only replace."""
    if strength == 0:
        return
    share = np.clip(box.distance_mm / (radius_mm * _PUSH_REACH), 0, 1)
    # A voxel takes its value from nearer to the centre; at the reach nothing moves.
    factor = 1 - strength * (1 - share) ** 2
    coordinates = [o / s * factor - float(o.flat[0]) / s for o, s in zip(box.offsets_mm, box.spacing_mm, strict=True)]
    hu[box.slices] = ndimage.map_coordinates(hu[box.slices], coordinates, order=1, mode="nearest")
    ids[box.slices] = ndimage.map_coordinates(ids[box.slices], coordinates, order=0, mode="nearest")


def _membership(box: _Box, plan: LesionPlan, kind: LesionKind, rng: np.random.Generator) -> Float[np.ndarray, "z y x"]:
    """1 inside, 0 outside, a soft step of `edge_mm` between: an ellipsoid in a random pose whose outline wanders."""
    ratio = plan.elongation ** np.array([0.5, 0.0, -0.5])
    axes = plan.diameter_mm / 2 * ratio
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    offsets = np.broadcast_arrays(*box.offsets_mm)
    turned = np.tensordot(rotation, np.stack(offsets), axes=1) / axes.reshape(3, 1, 1, 1)
    scaled = np.sqrt((turned**2).sum(axis=0))
    wander = _smooth_noise(box, plan.diameter_mm / 5, rng) * kind.roughness
    signed_mm = (1 + wander - scaled) * plan.diameter_mm / 2
    return 1 / (1 + np.exp(-np.clip(signed_mm / (kind.edge_mm / 4), -40, 40)))


def _smooth_noise(box: _Box, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit standard deviation with structures of about `scale_mm`."""
    noise = ndimage.gaussian_filter(rng.normal(size=box.shape), [max(scale_mm / s, 0.3) for s in box.spacing_mm], mode="reflect")
    return noise / max(float(noise.std()), 1e-6)


def _soft(inside: np.ndarray, box: _Box, edge_mm: float) -> np.ndarray:
    """The host's own border stays where it is, blurred by half the lesion's edge."""
    blurred = ndimage.gaussian_filter(inside.astype(np.float32), [edge_mm / 4 / s for s in box.spacing_mm], mode="nearest")
    return np.clip(2 * blurred - 0.5, 0, 1) * inside


def _attenuation(host_hu: np.ndarray, kind: LesionKind, rng: np.random.Generator) -> float:
    if kind.density_hu is not None:
        return float(rng.uniform(*kind.density_hu))
    assert kind.contrast_hu is not None
    return float(np.median(host_hu)) + float(rng.uniform(*kind.contrast_hu))


def _noise(hu: np.ndarray, box: _Box) -> np.ndarray:
    """The scan's own noise in a box. Vessels and walls are no noise: what exceeds three robust deviations is cut."""
    residue = hu - ndimage.gaussian_filter(hu, [max(_NOISE_MM / s, 1.0) for s in box.spacing_mm], mode="nearest")
    limit = 3 * float(np.median(np.abs(residue))) / 0.6745 + 1
    return np.clip(residue, -limit, limit)


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, num = ndimage.label(mask)
    return labels == (np.bincount(labels.reshape(-1))[1:].argmax() + 1) if num > 1 else mask


def _result(volume: Volume, labels: LabelMap, plan: LesionPlan, hu: np.ndarray, ids: np.ndarray, label_id: int, mask: np.ndarray) -> Inserted:
    diameter = axial_diameter(mask, volume.affine[:3, 1], volume.affine[:3, 2])
    array = np.clip(np.rint(hu), -32768, 32767).astype(np.int16)
    made = volume.with_array(array, header={**volume.header, "synthetic": True})
    names, unions = dict(labels.names), {k: tuple(v) for k, v in labels.unions.items()}
    host_ids, organ = labels.ids(plan.host), plan.host.removesuffix("_parenchyma")
    for old in host_ids:
        if names.get(old) == organ:
            names[old] = f"{organ}_parenchyma"
    unions.setdefault(organ, host_ids)
    names[label_id] = plan.kind
    # An organ includes its lesions, and so does everything that the organ is part of.
    unions = {union: (*members, label_id) if set(host_ids) <= set(members) else members for union, members in unions.items()}
    statuses = {k: v for k, v in labels.statuses.items() if k != plan.kind}
    new_labels = replace(labels, array=ids, names=names, unions=unions, statuses=statuses)
    kind, sizes = find_kind(plan.kind), (diameter.longest_mm, diameter.perpendicular_mm)
    sentence = f"There is a {kind.words} of {sizes[0]:.0f} x {sizes[1]:.0f} mm in the {host_words(plan.host)}."
    return Inserted(made, new_labels, label_id, plan, *sizes, float(mask.sum()) * volume.voxel_ml, sentence)


def host_words(name: str) -> str:
    """A structure in words of a report.

    >>> host_words("lung_upper_lobe_left"), host_words("kidney_right"), host_words("liver")
    ('left upper lobe of the lung', 'right kidney', 'liver')
    """
    name = name.removesuffix("_parenchyma")
    side = next((s for s in ("left", "right") if name.endswith(f"_{s}")), "")
    plain = name.removesuffix(f"_{side}") if side else name
    words = f"{plain.removeprefix('lung_').replace('_', ' ')} of the lung" if plain.startswith("lung_") else plain.replace("_", " ")
    return f"{side} {words}".strip()
